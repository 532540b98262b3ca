"""What a webhook is in the configuration."""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from agent.webhooks.bodies import Where, wrong_places, wrong_text
from agent.webhooks.headers import JSON, Signature, is_secret, wrong_name
from agent.webhooks.presets import Presets
from drivers.settings import Settings
from drivers.signing import github_key_of, key_of
from drivers.tls import Tls
from drivers.units import Duration, Rate
from drivers.urls import split_url

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0
DELAYS_S = [
    0.0,
    5.0,
    30.0,
    *(n * MINUTE_S for n in (2, 10, 30)),
    *(n * HOUR_S for n in (1, 2, 4, 8, 12, 18)),
    DAY_S,
]
"""Before each attempt; the last one repeats until the delivery expires."""


_METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200")))
"""Services that tell a machine its credentials and are not link-local: Amazon's over IPv6, Alibaba's."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NO_URL = "not a URL of a receiver: use https://host/path"


class Timeout(Settings):
    """How long an attempt may take."""

    connect: Annotated[Duration, Field(gt=0)] = 5.0
    """Until the connection stands, with TLS."""
    total: Annotated[Duration, Field(gt=0)] = 15.0
    """Until the whole answer is there."""


class RestBounds(Settings):
    """How long a webhook rests that does not answer: the first time, and at most."""

    min: Annotated[Duration, Field(gt=0)] = 30.0
    """The first time."""
    max: Annotated[Duration, Field(gt=0)] = 15 * MINUTE_S
    """After doubling."""


class Webhook(Settings):
    """One configured receiver."""

    url: str
    """Where each event is sent."""
    signature: Signature = "standard"
    """Standard Webhooks, or GitHub's `X-Hub-Signature-256`."""
    secrets: list[SecretStr] = Field(default_factory=list)
    """`whsec_` and base64 of 24 to 64 bytes; newest first, two while changing over. GitHub's: any text."""
    unsigned: bool = False
    """Has to be said where there is no secret."""
    preset: Presets | None = None
    """The body that a well-known service takes: its name, or `{name: options}`."""
    body: dict[str, Any] | list[Any] | None = Field(default=None, repr=False)
    """JSON in place of the standard body; its texts hold `{placeholders}`."""
    headers: dict[str, str | SecretStr] = Field(default_factory=dict, repr=False, max_length=32)
    """Further ones; they may hold `{placeholders}`."""
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    """Each has a body: a GET has none, and tells nothing."""
    content_type: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]+/[\x20-\x7e]+$", max_length=128)] = JSON
    """Of the body, which is JSON in any case."""
    timeout: Timeout = Timeout()
    """How long an attempt may take."""
    delays: Annotated[list[Duration], Field(min_length=1, max_length=50)] = DELAYS_S
    """Before each attempt; the last one repeats until the event expires."""
    rest: RestBounds = RestBounds()
    """How long it is left alone when it does not answer."""
    concurrency: Annotated[int, Field(ge=1, le=64)] = 8
    """How many attempts at once; of one sensor always one, unless `ordering: none`."""
    ordering: Literal["subject", "none"] = "subject"
    """Whether what is told of one sensor arrives in its order."""
    rate: Rate | None = None
    """How many attempts at most; never more at once than it gives in a second. Off by default."""
    expires: Annotated[Duration, Field(gt=0)] = 7 * DAY_S
    """How long an event is owed."""
    allow_http: bool = False
    """Whether http:// may be used over the open network."""
    tls: Tls | None = None
    """How the receiver is verified; the system's CAs where it is left out."""

    @field_validator("url")
    @classmethod
    def _is_a_plain_url(cls, url: str) -> str:
        parts = split_url(url, _NO_URL)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(_NO_URL)
        if parts.username or parts.password:
            raise ValueError("a URL with a user name or password: it would stand in logs")
        if parts.fragment:
            raise ValueError("a URL with a fragment (#...), which is never sent")
        return url

    @field_validator("secrets")
    @classmethod
    def _are_keys(cls, secrets: list[SecretStr], info: ValidationInfo) -> list[SecretStr]:
        _keys(secrets, info.data.get("signature", "standard"))
        return secrets

    @field_validator("headers", mode="before")
    @classmethod
    def _hides_secrets(cls, given: Any) -> Any:
        """What is a secret by its name is kept as one."""
        if not isinstance(given, dict):
            return given
        return {
            name: SecretStr(text) if isinstance(text, str) and is_secret(str(name)) else text
            for name, text in given.items()
        }

    @model_validator(mode="after")
    def _is_signed_or_says_not(self) -> Self:
        if self.unsigned and self.secrets:
            raise ValueError("`unsigned: true` beside `secrets`: take one of them away")
        if not self.unsigned and not self.secrets:
            raise ValueError("neither `secrets` nor `unsigned: true`: `bellcrank secret new` makes a secret")
        if self.rest.min > self.rest.max:
            raise ValueError("`rest.min` is longer than `rest.max`")
        if self.tls is not None and urlsplit(self.url).scheme == "http":
            raise ValueError("`tls` is for https:// alone")
        if (address := literal_address(urlsplit(self.url).hostname or "")) and (why := self.refuses(address)):
            raise ValueError(why)
        return self

    @model_validator(mode="after")
    def _has_one_body(self) -> Self:
        if self.unsigned and "signature" in self.model_fields_set:
            raise ValueError("`signature` beside `unsigned: true`: it says how `secrets` sign")
        if self.preset is None:
            return self
        for word in ("body", "method", "content_type"):
            if word in self.model_fields_set:
                raise ValueError(f"`{word}` beside `preset`, which has its own: take one of them away")
        if wrong := self.preset.chosen.wrong_path(urlsplit(self.url).path):
            raise ValueError(f"the `url` does not fit the preset: {wrong}")
        return self

    @property
    def keys(self) -> list[bytes]:
        """The keys of the secrets, newest first."""
        return _keys(self.secrets, self.signature)

    @property
    def is_standard(self) -> bool:
        """Whether it is sent the standard body, in which everything can be told."""
        return self.preset is None and self.body is None

    def header_texts(self) -> dict[str, str]:
        """The configured headers, which may hold placeholders."""
        return {
            name: text.get_secret_value() if isinstance(text, SecretStr) else text
            for name, text in self.headers.items()
        }

    def wrong_places(self) -> Iterator[tuple[Where, str]]:
        """What is wrong in `body` and `headers`, and where."""
        yield from ((("body", *where), why) for where, why in wrong_places(self.body))
        before: set[str] = set()
        for name, text in self.header_texts().items():
            if why := wrong_name(name) or ("it stands here twice" if name.lower() in before else wrong_text(text)):
                yield ("headers", name), why
            before.add(name.lower())

    def refuses(self, address: Address) -> str | None:
        """Why nothing is sent to an address; None: it may be sent."""
        address = _meant(address)
        if address.is_link_local or address.is_multicast or address.is_unspecified or address in _METADATA:
            return f"{address} is link-local, a metadata service or no host: never a receiver"
        if self.url.lower().startswith("http://") and not (address.is_private or self.allow_http):
            return "http:// over the open network shows every event to it: use https, or say `allow_http: true`"
        return None


def _keys(secrets: Iterable[SecretStr], signature: Signature) -> list[bytes]:
    """Raises ValueError for one that is none."""
    make = github_key_of if signature == "github" else key_of
    return [make(secret.get_secret_value()) for secret in secrets]


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, if it does: mapped, 6to4 (RFC 3056) or NAT64 (RFC 6052)."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def literal_address(host: str) -> Address | None:
    """The address that a host is written as, if it is one."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
