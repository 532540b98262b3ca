"""The YAML for what was seen: sources that pass `bellcrank config check`.

Topics that differ in one level only and say the same become one source with a placeholder.
"""

import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from agent.discovery.homeassistant import Announced
from agent.discovery.seen import Field, Path, Place

_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_PLAIN_STEP = re.compile(r"(?!(?i:true|false|null)$)[A-Za-z_][A-Za-z0-9_-]*")
"""What YAML reads as text without quotes."""
_PLACEHOLDER = "{device}"
_MEMBERS_SHOWN = 4
_NO_TOPIC = set("{}+#")


class Suggested(NamedTuple):
    """One source: a topic (with a placeholder, or not) or a port."""

    where: str
    members: Sequence[str]
    """The topics behind a placeholder."""
    place: Place
    """What was seen there; of several topics, of the first."""


def grouped(places: Mapping[str, Place]) -> list[Suggested]:
    """Topics by source; those that have the same fields and differ in one level are one."""
    left, found = dict(places), list[Suggested]()
    while left and (alike := _largest_group(left)):
        where, members = alike
        found.append(Suggested(where, members, left[members[0]]))
        for topic in members:
            del left[topic]
    found += [Suggested(topic, (topic,), place) for topic, place in left.items()]
    return sorted(found, key=lambda one: one.where)


def sources_yaml(
    suggested: Iterable[Suggested], announced: Iterable[Announced], span_s: float, *, baudrate: int | None = None
) -> str:
    """The `sources:` for them, with what was seen in comments. `baudrate`: they are serial ports of this speed."""
    known = {(one.topic, one.path): one for one in announced}
    names: set[str] = set()
    lines: list[str] = []
    for one in suggested:
        if baudrate is None and _is_no_topic(one.where):
            lines.append(
                f"  # {_quoted(one.where)} cannot be a source: + # $share/ and braces mean something in a topic"
            )
        else:
            lines += _source(one, known, names, span_s, baudrate)
    head = "sources:" if names else "sources: {}"
    return "\n".join([head, *lines]) + "\n"


def _is_no_topic(where: str) -> bool:
    """Whether the configuration would take it for something else than the one topic that it is."""
    return where.split("/")[0] == "$share" or bool(_NO_TOPIC & set(where.replace(_PLACEHOLDER, "")))


def _largest_group(places: Mapping[str, Place]) -> tuple[str, Sequence[str]] | None:
    groups: defaultdict[tuple[Sequence[str | None], str, frozenset[Path]], list[str]] = defaultdict(list)
    for topic, place in places.items():
        levels = topic.split("/")
        for i in range(topic.startswith("$"), len(levels)):  # a first level of $ is found by no wildcard (4.7.2)
            alike: Sequence[str | None] = (*levels[:i], None, *levels[i + 1 :])
            groups[alike, place.format, frozenset(place.fields)].append(topic)
    largest = max(groups.items(), key=lambda group: len(group[1]), default=None)
    if largest is None or len(largest[1]) < 2:
        return None
    (shape, *_), members = largest
    return "/".join(_PLACEHOLDER if level is None else level for level in shape), sorted(members)


def _source(
    one: Suggested, known: Mapping[tuple[str, Path], Announced], names: set[str], span_s: float, baudrate: int | None
) -> list[str]:
    place = one.place
    qos = "" if baudrate else f", QoS {place.qos}"
    lines = [f"  {_name(one.where.replace(_PLACEHOLDER, ''), names)}:  # {_rate(place, span_s)}{qos}"]
    if len(one.members) > 1:
        lines.append(f"    # {len(one.members)} topics: {_listed(one.members)}")
    if baudrate is None:
        lines += ["    driver: mqtt", f"    topic: {_quoted(one.where)}"]
    else:
        lines += ["    driver: serial", f"    port: {_quoted(one.where)}", f"    baudrate: {baudrate}"]
    lines += [f"    format: {place.format}"] if place.format != "json" else []
    lines.append("    sensors:")
    sensors: set[str] = set()
    for path, field in place.fields.items():
        told = next((known[topic, path] for topic in one.members if (topic, path) in known), None)
        lines.append(_sensor(path, field, told, sensors))
    return lines if place.fields else [*lines[:-1], "    sensors: {}"]


def _sensor(path: Path, field: Field, told: Announced | None, names: set[str]) -> str:
    words = [f"path: {_written(path)}"] if path else []
    words += [f"unit: {_quoted(told.unit)}"] if told is not None and told.unit else []
    called = told.name if told is not None and len(path) == 0 else ""
    name = _name(called or "_".join(str(step) for step in path[-2:]) or "value", names)
    announced = f", {told.name}" if told is not None and told.name else ""
    return f"      {name}: {{{', '.join(words)}}}  # {_comment(str(field) + announced)}"


def _written(path: Path) -> str:
    """A path with dots where its parts are plain, else as a list."""
    if all(isinstance(step, str) and _PLAIN_STEP.fullmatch(step) for step in path):
        return ".".join(map(str, path))
    return "[" + ", ".join(_quoted(step) if isinstance(step, str) else str(step) for step in path) + "]"


def _name(text: str, taken: set[str]) -> str:
    """A name that the configuration takes, and that was not given yet."""
    name = _NO_NAME.sub("_", text).strip("_").lower()[-60:].strip("_") or "source"
    n = next(n for n in itertools.count(1) if (name if n == 1 else f"{name}_{n}") not in taken)
    taken.add(name if n == 1 else f"{name}_{n}")
    return name if n == 1 else f"{name}_{n}"


def _quoted(text: str) -> str:
    """A text in double quotes (YAML 1.2, 7.3.1): as JSON has it, but for characters beyond 16 bits."""
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in json.dumps(text, ensure_ascii=False))


def _comment(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:100]


def _listed(members: Sequence[str]) -> str:
    more = f" and {len(members) - _MEMBERS_SHOWN} more" if len(members) > _MEMBERS_SHOWN else ""
    return _comment(", ".join(members[:_MEMBERS_SHOWN])) + more


def _rate(place: Place, span_s: float) -> str:
    live = place.messages - place.retained
    kept = " (the broker keeps the last one)" if place.retained else ""
    return f"{live} messages in {span_s:.0f} s{kept}"
