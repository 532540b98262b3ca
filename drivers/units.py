"""Durations, sizes and names as people write them, as pydantic types.

A duration is integers with units, combinable (``1h30m``), or a bare 0. A size is an integer with a unit:
``kB MB GB`` count by 1000, ``KiB MiB GiB`` by 1024.
"""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, StringConstraints, WithJsonSchema

_DURATION_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZE_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_DURATION = re.compile(r"(?:[0-9]{1,12}(?:ms|[smhdw]))+")
_DURATION_PART = re.compile(r"(\d+)(ms|[smhdw])")
_SIZE = re.compile(r"([0-9]{1,15}) ?(B|kB|MB|GB|KiB|MiB|GiB)")
_CLOCK_LIKE = re.compile(r"\d+:\d\d(:\d\d)?")


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
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
