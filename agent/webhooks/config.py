"""What a webhook is in the configuration."""

import ipaddress
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from drivers.signing import key_of
from drivers.units import Duration, Rate

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


_NO_URL = "not a URL of a receiver: use https://host/path"


class Timeout(BaseModel):
    """How long an attempt may take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connect: Annotated[Duration, Field(gt=0)] = 5.0
    """Until the connection stands, with TLS."""
    total: Annotated[Duration, Field(gt=0)] = 15.0
    """Until the whole answer is there."""


class RestBounds(BaseModel):
    """How long a webhook rests that does not answer: the first time, and at most."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min: Annotated[Duration, Field(gt=0)] = 30.0
    """The first time."""
    max: Annotated[Duration, Field(gt=0)] = 15 * MINUTE_S
    """After doubling."""


class Webhook(BaseModel):
    """One configured receiver."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    """Where each event is sent with POST."""
    secrets: list[SecretStr] = Field(default_factory=list)
    """`whsec_` and base64 of 24 to 64 bytes; newest first, two while changing over."""
    unsigned: bool = False
    """Has to be said where there is no secret."""
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

    @field_validator("url")
    @classmethod
    def _is_a_plain_url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise ValueError(_NO_URL) from None  # what urllib says shows parts of it
        if parts.scheme not in ("http", "https") or not host:
            raise ValueError(_NO_URL)
        if parts.username or parts.password:
            raise ValueError("a URL with a user name or password: it would stand in logs")
        if parts.fragment:
            raise ValueError("a URL with a fragment (#...), which is never sent")
        return url

    @field_validator("secrets")
    @classmethod
    def _are_keys(cls, secrets: list[SecretStr]) -> list[SecretStr]:
        for secret in secrets:
            key_of(secret.get_secret_value())
        return secrets

    @model_validator(mode="after")
    def _is_signed_or_says_not(self) -> Self:
        if self.unsigned and self.secrets:
            raise ValueError("`unsigned: true` beside `secrets`: take one of them away")
        if not self.unsigned and not self.secrets:
            raise ValueError("neither `secrets` nor `unsigned: true`: `bellcrank secret new` makes a secret")
        if self.rest.min > self.rest.max:
            raise ValueError("`rest.min` is longer than `rest.max`")
        if (address := literal_address(urlsplit(self.url).hostname or "")) and (why := self.refuses(address)):
            raise ValueError(why)
        return self

    @property
    def keys(self) -> list[bytes]:
        """The keys of the secrets, newest first."""
        return [key_of(secret.get_secret_value()) for secret in self.secrets]

    def refuses(self, address: Address) -> str | None:
        """Why nothing is sent to an address; None: it may be sent."""
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        address = mapped or address
        if address.is_link_local or address.is_multicast or address.is_unspecified:
            return f"{address} is link-local, a metadata service or no host: never a receiver"
        if self.url.lower().startswith("http://") and not (address.is_private or self.allow_http):
            return "http:// over the open network shows every event to it: use https, or say `allow_http: true`"
        return None


def literal_address(host: str) -> Address | None:
    """The address that a host is written as, if it is one."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
