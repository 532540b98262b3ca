"""The headers of a request: which may be configured, how a text fits into one, and who signed."""

import re
from collections.abc import Mapping, Sequence
from email.header import Header
from typing import Literal

from multidict import CIMultiDict

from agent.templates import Template
from agent.version import __version__
from drivers import signing

HEADER_CHARS_MAX = 1000
JSON = "application/json"
Signature = Literal["standard", "github"]
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
"""RFC 9110, 5.6.2."""
_RESERVED = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "content-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "proxy-authorization",
        "proxy-connection",
        "x-hub-signature-256",
        "x-github-delivery",
    }
)
_TELLS_A_SECRET = re.compile(r"auth|token|secret|key|password|cookie", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def wrong_name(name: str) -> str | None:
    """Why a header cannot be configured; None: it can."""
    lower = name.lower()
    if not _TOKEN.fullmatch(name):
        return "not a name of a header: letters, digits and -"
    if lower == "content-type":
        return "it has a key of its own: `content_type`"
    if lower in _RESERVED or lower.startswith("webhook-"):
        return "it is written by bellcrank itself"
    return None


def is_secret(name: str) -> bool:
    """Whether the value of a header is nothing to be shown, as far as its name tells."""
    return _TELLS_A_SECRET.search(name) is not None


def encoded(text: str) -> str:
    """A text as the value of a header: without control characters, and what is not ASCII by RFC 2047."""
    plain = _CONTROL.sub(" ", text[:HEADER_CHARS_MAX]).strip()
    if plain.isascii():
        return plain
    return Header(plain.encode(errors="replace").decode(), "utf-8", maxlinelen=75).encode(linesep="")


def fixed(texts: Mapping[str, str]) -> dict[str, str]:
    """Of configured headers those without placeholders, as they are sent."""
    plain = {name: template for name, text in texts.items() if (template := Template(text)).is_plain}
    return {name: encoded(template.text({}, HEADER_CHARS_MAX)) for name, template in plain.items()}


def usual(texts: Mapping[str, str]) -> CIMultiDict[str]:
    """Those of every request; what is configured goes before what is usual."""
    headers = CIMultiDict({"content-type": JSON, "user-agent": f"bellcrank/{__version__}"})
    headers.update(fixed(texts))
    return headers


def with_placeholders(texts: Mapping[str, str]) -> dict[str, Template]:
    """The others."""
    return {name: template for name, text in texts.items() if not (template := Template(text)).is_plain}


def signed(
    signature: Signature, keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes
) -> Mapping[str, str]:
    """Id, time and signature of one attempt; `timestamp` is in Unix seconds.

    With GitHub's signature id and time go along, though nothing vouches for them.
    """
    if signature == "github":
        return signing.headers([], message_id, timestamp, body) | signing.github_headers(keys, message_id, body)
    return signing.headers(keys, message_id, timestamp, body)
