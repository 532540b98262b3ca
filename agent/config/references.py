"""What one part of the file says of another: names that have to be known, addresses that only one can have."""

from collections.abc import Iterable, Iterator
from typing import Any

from agent.config.model import Config
from agent.config.patterns import named_by, patterns, with_stars
from agent.config.suggestions import unknown
from agent.config.values import Where, mapping_at
from agent.rules.config import Rule
from drivers.base import SourceConfig
from drivers.http import HttpSource
from drivers.mqtt import MqttSource
from drivers.serial import SerialSource

Wrong = Iterator[tuple[Where, str]]
"""What is wrong, and where."""
_ANY_HOST = ("0.0.0.0", "::")  # noqa: S104  # to be told of, not to be listened on


def wrong_references(config: Config, document: Any) -> Wrong:
    """What does not fit together in the sound parts of a file; names may be of parts that are wrong themselves."""
    brokers, webhooks = mapping_at(("brokers",), document), mapping_at(("webhooks",), document)
    unsound = mapping_at(("sources",), document).keys() - config.sources.keys()
    for name, source in config.sources.items():
        yield from _wrong_broker(("sources", name), source, brokers)
        yield from ((("sources", name, *where), wrong) for where, wrong in source.wrong_paths())
    yield from _wrong_ports(config)
    yield from _wrong_listening(config)
    for name, rule in config.rules.items():
        yield from _wrong_sensors(("rules", name), rule, config, unsound)
        yield from _wrong_webhooks(("rules", name, "send_to"), rule.send_to, webhooks)
    yield from _wrong_webhooks(("agent", "events_to"), config.agent.events_to, webhooks)
    if config.agent.heartbeat is not None:
        yield from _wrong_webhooks(("agent", "heartbeat", "send_to"), config.agent.heartbeat.send_to, webhooks)
    for name, webhook in config.webhooks.items():
        yield from ((("webhooks", name, *where), wrong) for where, wrong in webhook.wrong_places())
    if config.status.listen and not config.status.on_loopback and config.status.token is None:
        yield ("status", "listen"), "off loopback a `token` is needed"


def _wrong_broker(where: Where, source: SourceConfig, brokers: Iterable[str]) -> Wrong:
    if not isinstance(source, MqttSource):
        return
    known = list(brokers)
    if source.broker is None and len(known) != 1:
        which = "there is none in `brokers`" if not known else "there are several: name one"
        yield where, f"`broker` may be left out only where there is one; {which}"
    elif source.broker is not None and source.broker not in known:
        yield (*where, "broker"), unknown("broker", source.broker, known)


def _wrong_ports(config: Config) -> Wrong:
    ports: dict[str | tuple[str, int], str] = {}
    for name, source in config.sources.items():
        if isinstance(source, SerialSource):
            first = ports.setdefault(source.place, name)
            if first != name:
                yield ("sources", name, "port"), f"{first} reads this port already"


def _wrong_listening(config: Config) -> Wrong:
    before: dict[str, HttpSource] = {}
    for name, source in config.sources.items():
        if not isinstance(source, HttpSource):
            continue
        if config.status.listen and _overlap(source.address, config.status.address):
            yield ("sources", name, "listen"), "the status page listens there (`status.listen`)"
        for other, theirs in before.items():
            if source.address == theirs.address and source.path == theirs.path:
                yield ("sources", name, "path"), f"{other} has this path already"
            elif source.address != theirs.address and _overlap(source.address, theirs.address):
                yield ("sources", name, "listen"), f"{other} has this port already, as {theirs.listen}"
        before[name] = source


def _wrong_sensors(where: Where, rule: Rule, config: Config, unsound: Iterable[str]) -> Wrong:
    """Sensors that no source brings; one of a source that is wrong itself may be right."""
    for at, pattern in patterns(where, rule):
        source = pattern.partition(".")[0]
        if source not in unsound and not any(named_by(pattern, config.sources)):
            known = [".".join(sensor) for sensor in config.sensors()]
            yield at, unknown("sensor", pattern, known if rule.is_compound else map(with_stars, known))


def _wrong_webhooks(where: Where, named: Iterable[str] | None, webhooks: Iterable[str]) -> Wrong:
    known = list(webhooks)
    for i, webhook in enumerate(named or ()):
        if webhook not in known:
            yield (*where, i), unknown("webhook", webhook, known)


def _overlap(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Whether not both addresses can be listened on."""
    hosts = {host.replace("localhost", "127.0.0.1") for host in (one[0], other[0])}
    return one[1] == other[1] and (len(hosts) == 1 or any(host in _ANY_HOST for host in hosts))
