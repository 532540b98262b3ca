"""The section `status`: where the status page listens, and who may ask it."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, field_validator

from agent.config.strength import TOKEN_BITS_MIN, token_bits
from agent.secretfiles import refuse_if_others_read
from drivers.settings import Settings
from drivers.tls import ServerTls
from drivers.units import parse_address
from drivers.urls import parse_authority

_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}){1,8}")

_OURS = frozenset(
    {"api", "events", "healthz", "live", "login", "logout", "metrics", "readyz", "sensors", "static", "webhooks"}
)
"""How paths of the agent begin, which it has below a prefix and without: with these it could not tell them apart."""


def _check_token(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("a token has letters, digits and signs of ASCII only, and no spaces: a header has to carry it")
    bits = token_bits(text)
    if bits < TOKEN_BITS_MIN:
        raise ValueError(
            f"a token of at least {TOKEN_BITS_MIN} bits is needed, and this looks like {bits:.0f}:"
            " `bellcrank secret new` makes one"
        )
    return token


def _check_host(host: str) -> str:
    if parse_authority(host) is None:
        raise ValueError("has to be a host name, with a port where it is not that of HTTP or HTTPS: cabin.example.com")
    return host


def _check_prefix(prefix: str) -> str:
    if prefix != "/" and not _PREFIX.fullmatch(prefix):
        raise ValueError("has to be the path at which a proxy shows the page, such as /bellcrank")
    if (first := prefix.split("/")[1]) in _OURS:
        raise ValueError(f"/{first} is a path of the page itself: take another one, such as /bellcrank")
    return prefix


class StatusConfig(Settings):
    """The status page."""

    listen: str | Literal[False] = "127.0.0.1:8321"
    """Address and port, or false for none."""
    token: Annotated[SecretStr, AfterValidator(_check_token)] | None = None
    """Asked for where it is set; off loopback it has to be."""
    hosts: list[Annotated[str, AfterValidator(_check_host)]] = Field(default_factory=list)
    """Further names under which the page may be asked, such as that of a proxy; with a port where it has one."""
    prefix: Annotated[str, AfterValidator(_check_prefix)] = "/"
    """The path at which a proxy shows the page, whether it takes it away or leaves it."""
    tls: ServerTls | None = None
    """Certificate and key; without them HTTP is spoken."""

    @field_validator("listen")
    @classmethod
    def _is_an_address(cls, listen: str | Literal[False]) -> str | Literal[False]:
        if listen is not False:
            try:
                parse_address(listen)
            except ValueError as error:
                raise ValueError(f"{error}; or false") from None
        return listen

    @field_validator("tls")
    @classmethod
    def _is_kept_from_others(cls, tls: ServerTls | None) -> ServerTls | None:
        if tls is not None:
            refuse_if_others_read(tls.key)
        return tls

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of `listen`."""
        return parse_address(str(self.listen))

    @property
    def root(self) -> str:
        """What stands before every path of a link: nothing, or the prefix."""
        return "" if self.prefix == "/" else self.prefix

    @property
    def secret_token(self) -> str | None:
        """The token itself."""
        return None if self.token is None else self.token.get_secret_value()

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        host = self.address[0]
        return host == "localhost" or ipaddress.ip_address(host).is_loopback

    def warnings(self) -> Iterator[str]:
        """What is allowed and may not be meant."""
        if not self.listen:
            return
        if not self.on_loopback and self.tls is None:
            yield (
                f"status.listen: at {self.listen} without `status.tls` everybody on the way can read the token and all"
                " that is shown"
            )
        if self.on_loopback and self.token is None and (self.hosts or self.root):
            yield "status: who comes through a proxy sees all without a `token`"
