"""MQTT topics of the configuration: `home/{room}/climate`, in which a placeholder is one level.

The filter that is subscribed has `+` in its place, and what stands there names the sensor:
`rooms.kitchen.temperature`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})\}")
_IN_NAMES = str.maketrans({"%": "%25", ".": "%2E", "*": "%2A"})
TOPIC_BYTES_MAX = 1024
"""Of what is configured and of what arrives, which MQTT lets be 64 KiB: topics are kept in memory."""
HIGHEST = ""
"""No filter is empty: under this word the highest identifier ever given is kept."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic with placeholders, ready to match."""

    levels: tuple[str, ...]
    placeholders: tuple[str | None, ...]
    """For each level the name of its placeholder, or None."""

    @property
    def filter(self) -> str:
        """What is subscribed."""
        return "/".join("+" if name else level for level, name in zip(self.levels, self.placeholders, strict=True))

    def match(self, topic: str) -> Mapping[str, str] | None:
        """The placeholders' values in a topic; None where it is not this one."""
        levels = topic.split("/")
        if len(levels) != len(self.levels) or (topic.startswith("$") and self.placeholders[0]):
            return None  # MQTT 5, 4.7.2: no wildcard matches a $ at the beginning
        values = {}
        for level, mine, name in zip(levels, self.levels, self.placeholders, strict=True):
            if name is not None:
                values[name] = level
            elif level != mine:
                return None
        return values


def parse_topic(text: str) -> Topic:
    """Read a topic of the configuration. Raises ValueError that says what would be valid."""
    if not text or len(text.encode()) > TOPIC_BYTES_MAX or "\0" in text:
        raise ValueError(f"a topic is 1 to {TOPIC_BYTES_MAX:,} bytes of text")
    levels = tuple(text.split("/"))
    if levels[0] == "$share":
        raise ValueError("no shared subscription: name the topic itself, each agent is given all of it")
    placeholders = []
    for level in levels:
        found = _PLACEHOLDER.fullmatch(level)
        if "+" in level or "#" in level:
            raise ValueError("a topic has no wildcards: in place of + use a placeholder such as {room}")
        if ("{" in level or "}" in level) and not found:
            raise ValueError(f"a placeholder is a whole level, such as {{room}}; {level!r} is none")
        placeholders.append(found[1] if found else None)
    topic = Topic(levels, tuple(placeholders))
    if len(named(topic)) != len(set(named(topic))):
        raise ValueError("a placeholder stands twice in the topic")
    return topic


def named(topic: Topic) -> tuple[str, ...]:
    """The names of a topic's placeholders, in their order."""
    return tuple(name for name in topic.placeholders if name)


def sensor_prefix(source: str, values: Mapping[str, str]) -> str:
    """What the sensors of a topic are named under.

    Dots, stars and percent signs in a level are percent-encoded.
    """
    return ".".join((source, *(value.translate(_IN_NAMES) for value in values.values())))


def identifiers(filters: Iterable[str], kept: Mapping[str, int]) -> dict[str, int]:
    """What was kept, and for each new filter a subscription identifier that was never given.

    So that an identifier never comes to mean another filter, under which messages may still wait at the broker.
    """
    highest = max(kept.values(), default=0)
    ids = dict(kept)
    for text in filters:
        if text not in ids:
            highest += 1
            ids[text] = highest
    if highest:
        ids[HIGHEST] = highest
    return ids
