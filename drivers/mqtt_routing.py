"""Which sources a message of a broker is for, what it says to them, and what is to be subscribed. No I/O."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from drivers.base import Reading, Refusal
from drivers.decoding import Decoded, Decoder, Names, shown
from drivers.mqtt_config import Availability, MqttSource
from drivers.topics import HIGHEST, TOPIC_BYTES_MAX, Topic, named, parse_topic, sensor_prefix

_ROUTES_MAX = 20_000
SENSORS_MAX = 10_000
"""Of one source: more are refused and counted. As many devices may have an availability."""


class Wanted(NamedTuple):
    """How one filter is subscribed."""

    qos: int
    again: bool
    """Its retained messages are asked for at each connection: they say who is there now."""


@dataclass(slots=True)
class _Plan:
    """One source, made ready for messages."""

    name: str
    topic: Topic
    retained: str
    decoder: Decoder
    sensors: int
    prefixes: set[str] = field(default_factory=set)
    """What was seen in place of the placeholders."""


@dataclass(slots=True)
class _Watch:
    """The availability of one source or its devices."""

    name: str
    topic: Topic
    order: Sequence[str]
    """The placeholders as they stand in the sensors' names."""
    says: Availability
    prefixes: set[str] = field(default_factory=set)


class _Route(NamedTuple):
    plan: _Plan
    names: Names | None
    """None: the source has too many sensors already."""


class _Device(NamedTuple):
    watch: _Watch
    prefix: str | None
    """None: the source has too many devices already."""


class Routes(NamedTuple):
    """Whom a topic is for."""

    plans: tuple[_Route, ...] = ()
    devices: tuple[_Device, ...] = ()
    too_long: bool = False
    """It is so long that nothing of it is read: the sources are only told."""
    sources: tuple[str, ...] = ()
    """The names of them all."""


NOBODY = Routes()


T = TypeVar("T", _Plan, _Watch)


class Said(NamedTuple):
    """A source or one device of it is there or away."""

    source: str
    prefix: str
    online: bool


class Router:
    """The sources of one broker, by filter and by subscription identifier."""

    def __init__(self, sources: Mapping[str, MqttSource]) -> None:
        self.wanted: dict[str, Wanted] = {}
        self._plans: dict[str, list[_Plan]] = {}
        self._watches: dict[str, list[_Watch]] = {}
        self._by_number: dict[int, str] = {}
        self._routes: dict[tuple[tuple[int, ...], str], Routes] = {}
        for name, source in sources.items():
            self._add(name, source)

    def number(self, ids: Mapping[str, int]) -> None:
        """Note the subscription identifiers that the broker will name; those of other filters mean nobody."""
        self._by_number = {number: text for text, number in ids.items() if text != HIGHEST}
        self._routes.clear()

    def sources_of(self, text: str) -> Sequence[str]:
        """The sources whose own topic has this filter."""
        return [plan.name for plan in self._plans.get(text, ())]

    def watched_by(self, text: str) -> Sequence[str]:
        """The sources whose availability has this filter."""
        return [watch.name for watch in self._watches.get(text, ())]

    def route(self, numbers: tuple[int, ...], topic: str) -> Routes:
        """Whom a topic is for: by the identifiers that the broker named, or else all that it matches."""
        routes = self._routes.get((numbers, topic))
        if routes is None:
            if len(topic.encode()) > TOPIC_BYTES_MAX:
                return self._too_long(numbers, topic)
            routes = self._new_routes(numbers, topic)
            if len(self._routes) < _ROUTES_MAX:
                self._routes[(numbers, topic)] = routes
        return routes

    def _add(self, name: str, source: MqttSource) -> None:
        topic = parse_topic(source.topic)
        decoder = Decoder(name, source.format, source.sensors, source.labels, source.attributes)
        plan = _Plan(name, topic, source.retained, decoder, len(source.sensors))
        self._plans.setdefault(topic.filter, []).append(plan)
        self._want(topic.filter, source.qos, again=False)
        if source.availability is not None:
            watched = parse_topic(source.availability.topic)
            watch = _Watch(name, watched, named(topic)[: len(named(watched))], source.availability)
            self._watches.setdefault(watched.filter, []).append(watch)
            self._want(watched.filter, 1, again=True)

    def _want(self, text: str, qos: int, *, again: bool) -> None:
        so_far = self.wanted.get(text, Wanted(0, again=False))
        self.wanted[text] = Wanted(max(qos, so_far.qos), again or so_far.again)

    def _new_routes(self, numbers: tuple[int, ...], topic: str) -> Routes:
        plans, watches = self._meant(numbers)
        routes = tuple(_Route(plan, _names(plan, values)) for plan, values in _matching(plans, topic))
        devices = tuple(_Device(watch, _device(watch, values)) for watch, values in _matching(watches, topic))
        names = [route.plan.name for route in routes] + [device.watch.name for device in devices]
        return Routes(routes, devices, sources=tuple(dict.fromkeys(names)))

    def _too_long(self, numbers: tuple[int, ...], topic: str) -> Routes:
        """Find out who is to be told, and remember nothing of it."""
        plans, watches = self._meant(numbers)
        found = [plan.name for plan, _ in _matching(plans, topic)] + [w.name for w, _ in _matching(watches, topic)]
        return Routes(too_long=True, sources=tuple(dict.fromkeys(found)))

    def _meant(self, numbers: tuple[int, ...]) -> tuple[list[_Plan], list[_Watch]]:
        filters = self.wanted if not numbers else [self._by_number.get(number, HIGHEST) for number in numbers]
        plans = [plan for text in filters for plan in self._plans.get(text, ())]
        return plans, [watch for text in filters for watch in self._watches.get(text, ())]


def decoded(routes: Routes, topic: str, payload: bytes, *, retained: bool) -> Decoded:
    """What a payload says to the sources that it is for."""
    if routes.too_long:
        return Decoded((), tuple(Refusal(source, None, "topic_too_long", shown(topic)) for source in routes.sources))
    readings: list[Reading] = []
    refusals: list[Refusal] = []
    for plan, names in routes.plans:
        if retained and plan.retained == "ignore":
            continue
        if names is None:
            refusals.append(Refusal(plan.name, None, "too_many_sensors", shown(topic)))
            continue
        found = plan.decoder.decode(payload, names, retained=retained and plan.retained != "fire")
        readings += found.readings
        refusals += found.refusals
    for watch, prefix in routes.devices:
        if prefix is None:
            refusals.append(Refusal(watch.name, None, "too_many_sensors", shown(topic)))
        elif _online(watch.says, payload) is None:
            refusals.append(Refusal(watch.name, None, "no_availability", shown(payload)))
    return Decoded(tuple(readings), tuple(refusals))


def said(routes: Routes, payload: bytes) -> Iterable[Said]:
    """Who is there or away, as a payload says."""
    for watch, prefix in routes.devices:
        online = _online(watch.says, payload)
        if prefix is not None and online is not None:
            yield Said(watch.name, prefix, online)


def _online(says: Availability, payload: bytes) -> bool | None:
    """What text or `{"state": text}` says; None: neither."""
    word: Any = payload.decode(errors="replace").strip()
    if word.startswith("{"):
        try:
            word = json.loads(word)["state"]
        except (ValueError, KeyError, RecursionError):
            return None
    return True if word == says.online else False if word == says.offline else None


def _matching(candidates: Iterable[T], topic: str) -> Iterable[tuple[T, Mapping[str, str]]]:
    for candidate in candidates:
        values = candidate.topic.match(topic)
        if values is not None:
            yield candidate, values


def _names(plan: _Plan, values: Mapping[str, str]) -> Names | None:
    prefix = sensor_prefix(plan.name, values)
    if prefix not in plan.prefixes and (len(plan.prefixes) + 1) * plan.sensors > SENSORS_MAX:
        return None
    plan.prefixes.add(prefix)
    return plan.decoder.names(prefix, values)


def _device(watch: _Watch, values: Mapping[str, str]) -> str | None:
    prefix = sensor_prefix(watch.name, {name: values[name] for name in watch.order})
    if prefix not in watch.prefixes and len(watch.prefixes) >= SENSORS_MAX:
        return None
    watch.prefixes.add(prefix)
    return prefix
