"""`tls:` of a broker, a webhook or the status page, and what to tell people when TLS fails."""

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from drivers.settings import Settings

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_DOUBTS = {
    9: "its certificate is not valid yet: is the clock right?",
    10: "its certificate has expired",
    18: "its certificate is signed by itself: name it as `tls.ca`",
    19: "its certificate is of a CA that is not known here: name that as `tls.ca`",
    20: "its certificate is of a CA that is not known here: name that as `tls.ca`",
    21: "its certificate is of a CA that is not known here: name that as `tls.ca`",
}
"""By OpenSSL's X509_V_ERR numbers (x509_vfy.h)."""
_OTHER_HOST, _OTHER_ADDRESS = 62, 64
_OUTDATED = (9, 10)
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)
"""X509_V_FLAG_NO_CHECK_TIME (x509_vfy.h), which the module has no name for."""
_ALERTS = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS there",
    "UNSUPPORTED_PROTOCOL": "it speaks older versions of TLS only: `tls.min_version`",
    "ALERT_PROTOCOL_VERSION": "it does not speak a version of TLS that `tls.min_version` allows",
    "CERTIFICATE_REQUIRED": "it asks for a client certificate: `tls.cert` and `tls.key`",
    "ALERT_HANDSHAKE_FAILURE": "it refuses the handshake: does it ask for a client certificate (`tls.cert`)?",
    "ALERT_UNKNOWN_CA": "it does not know the CA of the client certificate",
    "ALERT_BAD_CERTIFICATE": "it refuses the client certificate",
    "CERTIFICATE_EXPIRED": "the client certificate has expired",
}
"""By what OpenSSL's reason contains: the other side's alerts (RFC 8446, 6.2) and our own finding."""


def _is_absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("has to be the whole path of a file, such as /etc/bellcrank/ca.pem")
    return path


PemFile = Annotated[Path, Field(strict=False), AfterValidator(_is_absolute)]


def _as_text(version: Any) -> Any:
    """YAML reads 1.3 as a number."""
    return str(version) if isinstance(version, float) else version


class Tls(Settings):
    """How the other side is verified, and who the agent is. Files are looked at when the configuration is."""

    ca: PemFile | None = None
    """Certificates of the CAs to trust, in place of the system's."""
    cert: PemFile | None = None
    """The agent's own certificate, with its chain."""
    key: PemFile | None = None
    """Its private key; None: it stands in `cert` too."""
    min_version: Annotated[Literal["1.2", "1.3"], BeforeValidator(_as_text)] = "1.2"

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        if self.key is not None and self.cert is None:
            raise ValueError("`key` without `cert`")
        _try(self.context)
        return self

    def context(self) -> ssl.SSLContext:
        """For one connection: the files may have been renewed. Raises OSError, with a sentence that names the file."""
        ca = _readable(self.ca)
        try:
            context = ssl.create_default_context(cafile=ca)
        except ssl.SSLError as error:
            raise OSError(f"{ca} holds no certificate that can be used: {_reason(error)}") from None
        context.minimum_version = _VERSIONS[self.min_version]
        if self.cert is not None:
            _load_own(context, self.cert, self.key)
        return context


class ServerTls(Settings):
    """How the agent itself is known to who asks it. Files are looked at when the configuration is."""

    cert: PemFile
    """The certificate, with its chain."""
    key: PemFile
    """Its private key."""
    min_version: Annotated[Literal["1.2", "1.3"], BeforeValidator(_as_text)] = "1.2"

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        _try(self.context)
        return self

    def context(self) -> ssl.SSLContext:
        """For a server. Raises OSError, with a sentence that names the file."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[self.min_version]
        _load_own(context, self.cert, self.key)
        return context


def is_outdated(error: BaseException | None) -> bool:
    """Whether a certificate was refused only since it has expired or is not valid yet."""
    return isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _OUTDATED


def blind_to_time(tls: Tls) -> ssl.SSLContext:
    """To look at an outdated certificate that is otherwise right, and for nothing else. Raises OSError."""
    context = tls.context()
    context.verify_flags |= _NO_CHECK_TIME
    return context


def validity(certificate: Mapping[str, Any]) -> str:
    """From when until when a certificate is valid, as `SSLSocket.getpeercert` gives it."""
    return f"valid from {certificate.get('notBefore')} until {certificate.get('notAfter')}"


def why(error: Exception) -> str:
    """A sentence about the other side for what failed while TLS was set up; of another error, what it says."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in (_OTHER_HOST, _OTHER_ADDRESS):
            return f"its certificate is for another host ({error.verify_message.partition(', ')[2].rstrip('.')})"
        return _DOUBTS.get(error.verify_code, f"its certificate is refused: {error.verify_message}")
    return alert(str(error)) or (_reason(error) if isinstance(error, ssl.SSLError) else str(error))


def alert(text: str) -> str | None:
    """A sentence for OpenSSL's reason in a text, if one of those that people can do something about is there."""
    text = text.upper().replace(" ", "_")
    return next((sentence for word, sentence in _ALERTS.items() if word in text), None)


def _try(context: Callable[[], ssl.SSLContext]) -> None:
    """What the files are like is told where the configuration is read. Raises ValueError."""
    try:
        context()
    except OSError as error:
        raise ValueError(str(error)) from None


def _load_own(context: ssl.SSLContext, cert: Path, key: Path | None) -> None:
    _readable(cert)
    _readable(key)
    try:
        context.load_cert_chain(cert, key, password=lambda: "")  # else it would ask on the terminal
    except ssl.SSLError as error:
        what = "do not belong together" if error.reason == "KEY_VALUES_MISMATCH" else "cannot be used"
        raise OSError(f"{cert} and {key or 'the key in it'} {what}: {_reason(error)}") from None


def _readable(path: Path | None) -> Path | None:
    """The path, if the file can be read and is PEM. Raises OSError."""
    if path is not None:
        try:
            with path.open("rb") as file:
                if b"-----BEGIN" not in file.read():
                    raise OSError(f"{path} is no PEM file")
        except OSError as error:
            raise OSError(f"{path}: {error.strerror}" if error.strerror else str(error)) from None
    return path


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")
