"""Durations, sizes, rates, names, addresses and tokens as people write them, as pydantic types.

A duration is integers with units, combinable (``1h30m``), or a bare 0. A size is an integer with a unit:
``kB MB GB`` count by 1000, ``KiB MiB GiB`` by 1024. A rate is so many a second, minute or hour (``50/s``).
"""

import ipaddress
import re
from typing import Annotated, Any, NamedTuple

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
)

_DURATION_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZE_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_DURATION = re.compile(r"(?:[0-9]{1,12}(?:ms|[smhdw]))+")
_DURATION_PART = re.compile(r"(\d+)(ms|[smhdw])")
_SIZE = re.compile(r"([0-9]{1,15}) ?(B|kB|MB|GB|KiB|MiB|GiB)")
_RATE = re.compile(r"([1-9][0-9]{0,5})/([smh])")
TOKEN_BYTES_MIN = 16
_CLOCK_LIKE = re.compile(r"\d+:\d\d(:\d\d)?")


class RateLimit(NamedTuple):
    """At most so many in such a time; so many may come at once."""

    times: int
    within_s: float


def parse_duration(text: Any) -> float:
    """Seconds of ``90s``, ``1h30m`` or 0. Raises ValueError that says what would be valid."""
    if text == 0 and not isinstance(text, bool):
        return 0.0
    if isinstance(text, str) and _DURATION.fullmatch(text):
        return float(sum(int(n) * _DURATION_S[unit] for n, unit in _DURATION_PART.findall(text)))
    hint = ""
    if isinstance(text, str) and _CLOCK_LIKE.fullmatch(text):
        hint = " (`00:02:00` is written `2m`)"
    if isinstance(text, int | float) and not isinstance(text, bool):
        hint = f" (a unit is missing: `{text:g}s`?)"
    raise ValueError(f"not a duration: use an integer and ms, s, m, h, d or w, such as 90s or 1h30m{hint}")


def parse_size(text: Any) -> int:
    """Bytes of ``64MB`` or ``256KiB``. Raises ValueError that says what would be valid."""
    if isinstance(text, str) and (match := _SIZE.fullmatch(text)):
        return int(match[1]) * _SIZE_BYTES[match[2]]
    raise ValueError("not a size: use an integer and B, kB, MB, GB, KiB, MiB or GiB, such as 64MB or 256KiB")


def parse_rate(text: Any) -> RateLimit:
    """`50/s`, `10/m` or `5/h`. Raises ValueError that says what would be valid."""
    if isinstance(text, str) and (match := _RATE.fullmatch(text)):
        return RateLimit(int(match[1]), float(_DURATION_S[match[2]]))
    raise ValueError("not a rate: use an integer from 1 and /s, /m or /h, such as 50/s")


def format_rate(rate: RateLimit) -> str:
    """As it is read."""
    return f"{rate.times}/{format_duration(rate.within_s).removeprefix('1')}"


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of this machine to listen on: `127.0.0.1:8321`, `[::1]:8321`, `localhost:8321`.

    Raises ValueError that says what would be valid.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536) or not host:
        raise ValueError("has to be host:port, such as 127.0.0.1:8321")
    if host != "localhost":
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError("has to be an address of this machine, such as 127.0.0.1 or 0.0.0.0") from None
    return host, int(port)


def _check_token(token: SecretStr) -> SecretStr:
    if len(token.get_secret_value().encode()) < TOKEN_BYTES_MIN:
        raise ValueError(f"a token has at least {TOKEN_BYTES_MIN} bytes: `openssl rand -hex 24` makes one")
    return token


def format_duration(seconds: float) -> str:
    """The shortest exact way to write it: 5400 is ``1h30m``."""
    left = round(seconds * 1000)
    parts = []
    for unit in ("w", "d", "h", "m", "s", "ms"):
        n, left = divmod(left, round(_DURATION_S[unit] * 1000))
        if n:
            parts.append(f"{n}{unit}")
    return "".join(parts) or "0s"


def format_size(size_bytes: int) -> str:
    """The shortest exact way to write it: 262144 is ``256KiB``."""
    exact = [f"{size_bytes // unit}{name}" for name, unit in _SIZE_BYTES.items() if size_bytes % unit == 0]
    return min(exact, key=len)


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": f"^{_DURATION.pattern}$"}, {"const": 0}],
            "examples": ["90s", "1h30m"],
        }
    ),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_SIZE.pattern}$", "examples": ["64MB", "256KiB"]}),
]
Rate = Annotated[
    RateLimit,
    BeforeValidator(parse_rate),
    PlainSerializer(format_rate, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,6}/[smh]$", "examples": ["50/s", "10/m"]}),
]
Token = Annotated[SecretStr, AfterValidator(_check_token)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
