"""Which sensors a rule may see: the patterns that it names, against the names that the sources may bring."""

import re
from collections.abc import Iterator, Mapping, Sequence

from agent.config.values import Where
from agent.rules.config import Condition, Rule, placeholders
from drivers.base import SourceConfig
from drivers.mqtt import MqttSource
from drivers.topics import parse_topic

_IN_BRACES = re.compile(r"\{\w+\}")


def sensor_parts(source: str, model: SourceConfig, sensor: str) -> list[str]:
    """The parts of a sensor's name, with the placeholders of its topic."""
    if not isinstance(model, MqttSource):
        return [source, sensor]
    named = [name for name in parse_topic(model.topic).placeholders if name]
    return [source, *(f"{{{name}}}" for name in named), sensor]


def may_match(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a pattern may name a sensor; a placeholder in it is one of the topic, by its name."""
    return len(pattern) == len(parts) and all(
        wanted in ("*", part) or (bool(placeholders(part)) and not placeholders(wanted))
        for wanted, part in zip(pattern, parts, strict=True)
    )


def named_by(pattern: str, sources: Mapping[str, SourceConfig]) -> Iterator[tuple[str, str]]:
    """The sensors that a pattern may name, each by its source and its own name.

    These are the first part and the last, so that no pattern is compared with every sensor there is.
    """
    source, *_, last = parts = pattern.split(".")
    if source in sources:
        model = sources[source]
        for sensor in model.sensors if last == "*" else model.sensors.keys() & {last}:
            if may_match(parts, sensor_parts(source, model, sensor)):
                yield source, sensor


def with_stars(text: str) -> str:
    """`rooms.{room}.t` as a rule of one sensor would name it: `rooms.*.t`."""
    return _IN_BRACES.sub("*", text)


def patterns(where: Where, rule: Rule) -> Iterator[tuple[Where, str]]:
    """The sensors that a rule names, and where each stands."""
    if rule.sensor is not None:
        yield (*where, "sensor"), rule.sensor
    for word in ("when", "clear"):
        condition = getattr(rule, word)
        if condition is not None:
            yield from _operand_patterns((*where, word), condition)


def _operand_patterns(where: Where, condition: Condition) -> Iterator[tuple[Where, str]]:
    if condition.sensor is not None:
        yield (*where, "sensor"), condition.sensor
    for word, several in (("all", condition.all_), ("any", condition.any_)):
        for i, one in enumerate(several or ()):
            yield from _operand_patterns((*where, word, i), one)
    if condition.not_ is not None:
        yield from _operand_patterns((*where, "not"), condition.not_)
