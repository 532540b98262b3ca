"""The section `status`: where the status page listens, and who may ask it."""

import ipaddress
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from drivers.units import Token, parse_address


class StatusConfig(BaseModel):
    """The status page."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    listen: str | Literal[False] = "127.0.0.1:8321"
    """Address and port, or false for none."""
    token: Token | None = None
    """Asked for where it is set; off loopback it has to be."""
    hosts: list[str] = Field(default_factory=list)
    """Further names under which the page may be asked."""

    @field_validator("listen")
    @classmethod
    def _is_an_address(cls, listen: str | Literal[False]) -> str | Literal[False]:
        if listen is not False:
            try:
                parse_address(listen)
            except ValueError as error:
                raise ValueError(f"{error}; or false") from None
        return listen

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of `listen`."""
        return parse_address(str(self.listen))

    @property
    def secret_token(self) -> str | None:
        """The token itself."""
        return None if self.token is None else self.token.get_secret_value()

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        host = self.address[0]
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
