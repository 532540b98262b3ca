"""How the page words values, ages and conditions. All that came from outside stays plain text of one line."""

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

from agent.status.words import age

NOTHING = "\N{EN DASH}"
VALUE_CHARS = 40
"""Of a value in a table; the page of its sensor has the whole."""
WHOLE_CHARS = 16_384
_LASTING = frozenset({"silent_for", "unchanged_for", "within", "for"})
"""Words of a condition that are durations in seconds."""


def visible(text: str) -> str:
    """A text without effect on what stands around it: control, bidirectional and invisible characters as escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def visible_lines(text: str) -> str:
    """The same for a text of several lines."""
    return "\n".join(visible(line) for line in text.split("\n"))


def cut(text: str, chars: int) -> str:
    """The beginning of a text; an ellipsis tells that there is more."""
    return text if len(text) <= chars else f"{text[: chars - 1].rstrip()}…"


def value(said: Any, unit: str | None = None, chars: int = VALUE_CHARS) -> str:
    """What a sensor said; a dash for nothing."""
    match said:
        case None:
            return NOTHING
        case bool():
            text = "true" if said else "false"
        case "":
            text = "(empty)"
        case float():
            text = f"{said:.10g}"
        case _:
            text = str(said)
    return cut(f"{text} {unit}" if unit else text, chars)


def calm_age(seconds: float) -> str:
    """How long ago something was, in steps: what has just happened does not count up before one's eyes."""
    if seconds < 5:
        return "just now"
    if seconds < 60:
        return f"{int(seconds // 5) * 5} s ago"
    return f"{lasting(seconds)} ago"


def lasting(seconds: float) -> str:
    """A duration in steps of 5 s, beyond a minute in whole minutes."""
    return age(seconds // 5 * 5 if seconds < 60 else seconds // 60 * 60)


def milliseconds(ms: float | None) -> str:
    """A duration of a request."""
    if ms is None:
        return NOTHING
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def percent(rate: float | None) -> str:
    """A part of one; what is not all is never rounded to all."""
    if rate is None:
        return NOTHING
    return "100 %" if rate == 1 else f"{min(99.9, rate * 100):.1f} %"


def time_of_day(wall: float, zone: tzinfo) -> str:
    """Hours, minutes and seconds."""
    return f"{datetime.fromtimestamp(wall, zone):%H:%M:%S}"


def time_with_day(wall: float, now_wall: float, zone: tzinfo) -> str:
    """The same, behind the day where it is not today."""
    then, today = datetime.fromtimestamp(wall, zone), datetime.fromtimestamp(now_wall, zone).date()
    return f"{then:%H:%M:%S}" if then.date() == today else f"{then:%Y-%m-%d %H:%M:%S}"


def iso(wall: float, zone: tzinfo) -> str:
    """For machines: RFC 3339 with the offset of the zone."""
    return datetime.fromtimestamp(wall, zone).isoformat(timespec="seconds")


def condition(words: Mapping[str, Any], unit: str | None = None) -> str:
    """A `when`, `each` or `clear` as people say it: `below 5 °C`; durations in it are in seconds."""
    return " and ".join(_word(word, wanted, unit) for word, wanted in words.items() if word != "sensor")


def _word(word: str, wanted: Any, unit: str | None) -> str:
    name = word.replace("_", " ")
    if word in ("all", "any") and isinstance(wanted, Sequence):
        return f"{name} of ({'; '.join(_operand(one) for one in wanted)})"
    if word == "not" and isinstance(wanted, Mapping):
        return f"not ({_operand(wanted)})"
    if isinstance(wanted, Mapping):  # rising, falling
        return f"{name} {' '.join(_word(key, one, unit) for key, one in wanted.items())}"
    if word == "reading":
        return "every reading"
    if word in _LASTING and isinstance(wanted, int | float):
        return f"{name} {age(wanted)}"
    if word in ("inside", "outside") and isinstance(wanted, Sequence):
        return f"{name} {' to '.join(value(one) for one in wanted)}{f' {unit}' if unit else ''}"
    if isinstance(wanted, list | tuple):
        return f"{name} {', '.join(value(one) for one in wanted)}"
    return f"{name} {value(wanted, unit if isinstance(wanted, int | float) else None)}"


def _operand(words: Mapping[str, Any]) -> str:
    sensor = words.get("sensor")
    return f"{sensor} {condition(words)}" if sensor else condition(words)
