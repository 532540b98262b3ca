"""URLs as people write them into the configuration, and what stands before their path."""

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

_BRACKETED = re.compile(r"\[([0-9a-f:.]+)\](?::([0-9]{0,5}))?")
_NAMED = re.compile(r"([a-z0-9_.-]+?)\.?(?::([0-9]{0,5}))?")
_DEFAULT_PORTS = ("", "80", "443")


class Authority(NamedTuple):
    """Host and port, as they are compared: in lower case, an address in its shortest form, without brackets."""

    host: str
    port: str | None
    """None: the default one of HTTP or HTTPS. A proxy that speaks TLS makes one of the other."""


def parse_authority(text: str) -> Authority | None:
    """Read `name`, `name:port`, `address`, `[address]:port`; None where it is none of them."""
    text = text.lower()
    if found := _BRACKETED.fullmatch(text):
        host = shortest_address(found[1])
    elif found := _NAMED.fullmatch(text):
        host = shortest_address(found[1]) or found[1]
    else:
        return None
    port = None if (found[2] or "") in _DEFAULT_PORTS else found[2]
    return Authority(host, port) if host else None


def shortest_address(text: str) -> str | None:
    """An IP address as it is compared; None where it is none."""
    try:
        return ipaddress.ip_address(text).compressed
    except ValueError:
        return None


def split_url(url: str, otherwise: str) -> SplitResult:
    """Its parts, with a port that is one or None.

    Raises ValueError with the words of `otherwise` alone: urllib's own show parts of it, such as a password in the
    place of the port.
    """
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(otherwise) from None
    return parts
