"""Brokers: reached, logged in, subscribed; what they may lose, and who publishes so that it may be lost."""

import asyncio
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from agent.config import Config
from agent.doctor import mosquitto
from agent.doctor.finding import Finding, Verdict
from agent.doctor.guest import SYS_DROPPED, SYS_HEAP, SYS_VERSION, Visit, visit
from agent.doctor.patient import Patient, without_config
from agent.doctor.reach import Reach, reach
from agent.doctor.reach import judge as judge_reach
from agent.status.words import size
from drivers.mqtt import BrokerConfig, MqttSource
from drivers.tls import Tls
from drivers.topics import parse_topic

SUBJECT = "broker"
_TOPICS_SHOWN = 10
_IF_REFUSED = (
    "is the broker started? mosquitto 2 listens on loopback alone where its file names no `listener`;"
    " is a firewall between?"
)
_finding = partial(Finding, SUBJECT)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured of one broker."""

    name: str
    config: BrokerConfig
    filters: Mapping[str, str]
    """Topic filter -> the source that it is of."""
    reach: Reach | None
    """None: it is behind a unix socket."""
    visit: Visit | None
    """None: it could not be reached."""
    settings: mosquitto.Settings | None = None
    """Of a mosquitto on this machine."""
    listened_s: float = 0.0


async def examine(patient: Patient) -> list[Finding]:
    """All brokers, at the same time."""
    config = patient.config
    if config is None:
        return without_config(SUBJECT)
    if not config.brokers:
        return [_finding("all", Verdict.OK, "the configuration has no brokers")]
    facts = await asyncio.gather(*(_measure(name, patient, config) for name in config.brokers))
    wall = patient.clock.wall()
    return [finding for one in facts for finding in judge(one, wall)]


async def _measure(name: str, patient: Patient, config: Config) -> Facts:
    broker, filters = config.brokers[name], filters_of(config, name)
    reached = None
    if not broker.is_unix:
        secured = (broker.tls or Tls()) if broker.url.startswith("mqtts:") else None
        reached = await reach(broker.host, broker.port, secured)
        if reached.failed:
            return Facts(name, broker, filters, reached, None)
    echo = f"bellcrank/{config.agent.name}/doctor/{secrets.token_hex(4)}"
    listen_s = patient.listen_s if filters else 0.0
    visited = await visit(broker, list(filters), echo, listen_s)
    is_local = reached is None or mosquitto.on_this_machine(reached.addresses)
    settings = mosquitto.read() if is_local else None
    return Facts(name, broker, filters, reached, visited, settings, listen_s)


def filters_of(config: Config, broker: str) -> dict[str, str]:
    """What the agent subscribes at a broker, and for which source."""
    only = next(iter(config.brokers), "")
    found: dict[str, str] = {}
    for name, source in config.sources.items():
        if isinstance(source, MqttSource) and (source.broker or only) == broker:
            topics = [source.topic, *([source.availability.topic] if source.availability else [])]
            found |= {parse_topic(topic).filter: name for topic in topics}
    return found


def judge(it: Facts, wall: float) -> list[Finding]:
    """`wall`: Unix seconds now."""
    found = judge_reach(SUBJECT, it.name, it.reach, wall, _IF_REFUSED) if it.reach else []
    if it.visit is None:
        return found
    if it.visit.version is None:
        advice = "try the same by hand: mosquitto_sub -h HOST -u NAME -P PASSWORD -t '#' -C 1"
        return [*found, _finding(f"{it.name}: login", Verdict.BAD, it.visit.refused or "refused", advice)]
    return [
        *found,
        _login(it, it.visit),
        *_abilities(it, it.visit.connack),
        *_subscriptions(it, it.visit),
        _round_trip(it, it.visit),
        _queue(it, it.visit),
        *_heard(it, it.visit),
    ]


def _login(it: Facts, visit: Visit) -> Finding:
    who = f"as {it.config.username}" if it.config.username else "without a user name"
    seen = f"MQTT {visit.version}, logged in {who} in {visit.login_s * 1000:.0f} ms"
    if visit.lost:
        advice = "it let the guest in and then closed: its log says why"
        return _finding(f"{it.name}: login", Verdict.BAD, f"{seen}, then: {visit.lost}", advice)
    return _finding(f"{it.name}: login", Verdict.OK, seen)


def _abilities(it: Facts, connack: Mapping[str, Any]) -> Iterable[Finding]:
    """What the broker says that it cannot do (MQTT 5, 3.2.2.3)."""
    name = f"{it.name}: abilities"
    if connack.get("MaximumQoS", 2) < 1:
        yield _finding(name, Verdict.BAD, "it knows QoS 0 only: nothing is acknowledged, so messages may be lost")
    if connack.get("WildcardSubscriptionAvailable", 1) == 0 and any("+" in text for text in it.filters):
        yield _finding(name, Verdict.BAD, "it allows no wildcards", "a topic with {placeholders} needs them")
    if connack.get("RetainAvailable", 1) == 0 and it.config.availability_topic is not False:
        advice = "`availability_topic: false` does without"
        yield _finding(name, Verdict.BAD, "it keeps no retained messages, as the agent's availability is one", advice)
    limit = connack.get("MaximumPacketSize")
    receive = connack.get("ReceiveMaximum")
    if limit is not None or receive is not None:
        said = [f"packets of at most {size(limit)}"] if limit is not None else []
        said += [f"at most {receive} unacknowledged messages of ours"] if receive is not None else []
        yield _finding(name, Verdict.OK, f"it takes {' and '.join(said)}")


def _subscriptions(it: Facts, visit: Visit) -> Iterable[Finding]:
    refused = {
        text: visit.filters.get(text, "no answer") for text in it.filters if visit.filters.get(text, "no answer")
    }
    for text, why in refused.items():
        advice = f"let the broker's access list grant {it.config.username or 'anonymous clients'} to read {text}"
        seen = f"{text} (source {it.filters[text]}): {why}"
        yield _finding(f"{it.name}: subscription", Verdict.BAD, seen, advice)
    if it.filters and not refused:
        yield _finding(
            f"{it.name}: subscriptions", Verdict.OK, f"granted for {len(it.filters)} of {len(it.filters)} topic filters"
        )


def _round_trip(it: Facts, visit: Visit) -> Finding:
    name = f"{it.name}: round trip"
    if visit.round_trip_s is not None:
        return _finding(name, Verdict.OK, f"what was published came back in {visit.round_trip_s * 1000:.1f} ms")
    if it.config.availability_topic is False:
        return _finding(name, Verdict.SKIPPED, "what was published did not come back; the agent publishes nothing")
    advice = (
        "the agent publishes its availability under bellcrank/#: let the broker's access list grant that; mosquitto"
        " grants subscriptions that its acl_file forbids, and then delivers nothing"
    )
    return _finding(name, Verdict.WARN, "what was published did not come back", advice)


def _queue(it: Facts, visit: Visit) -> Finding:
    """What it holds while the agent is away, as far as that can be known."""
    name = f"{it.name}: queue"
    about = _about(visit.sys)
    dropped = visit.sys.get(SYS_DROPPED, "0")
    if dropped.isdecimal() and int(dropped):
        advice = "raise max_queued_messages (0: no limit) in its file; see who was away for so long"
        seen = f"{about}; it has dropped {dropped} messages since it was started, of all its clients"
        return _finding(name, Verdict.WARN, seen, advice)
    if it.settings is not None:
        return _by_settings(name, about, it.settings)
    if "mosquitto" in about:
        advice = f"max_queued_messages is {mosquitto.QUEUED_DEFAULT} where its file does not say: look there"
        return _finding(name, Verdict.OK, f"{about}; what it holds for who is away cannot be asked", advice)
    seen = f"{about}; what it holds while the agent is away, and for how long, cannot be asked"
    return _finding(name, Verdict.OK, seen, "look it up in its configuration")


def _by_settings(name: str, about: str, settings: mosquitto.Settings) -> Finding:
    queued = settings.max_queued_messages
    held = f"holds {queued or 'all'} messages for who is away"
    if not settings.persistence:
        advice = "`persistence true` in its file keeps sessions over a restart of the broker"
        seen = f"{about}; by {mosquitto.FILE}, if that is its file, it {held}, and forgets them when it is restarted"
        return _finding(name, Verdict.WARN, seen, advice)
    advice = "`max_queued_messages 0` holds all of them" if queued else ""
    seen = f"{about}; by {mosquitto.FILE}, if that is its file, it {held}, and keeps them over a restart"
    return _finding(name, Verdict.OK, seen, advice)


def _about(sys: Mapping[str, str]) -> str:
    version = sys.get(SYS_VERSION, "it does not tell what it is")
    heap = sys.get(SYS_HEAP, "")
    return f"{version}, {size(int(heap))} of memory" if heap.isdecimal() else version


def _heard(it: Facts, visit: Visit) -> Iterable[Finding]:
    if not it.filters:
        return
    live = sum(heard.messages - heard.retained for heard in visit.topics.values()) + visit.overlooked
    retained = sum(heard.retained for heard in visit.topics.values())
    seen = f"{live} messages in {it.listened_s:g} s and {retained} retained ones, on {len(visit.topics)} topics"
    advice = "do the sensors speak seldom (`--listen 5m`)? else `bellcrank discover mqtt` tells which topics there are"
    if visit.topics:
        yield _finding(f"{it.name}: messages", Verdict.OK, seen)
    else:
        yield _finding(f"{it.name}: messages", Verdict.WARN, seen, advice)
    unsafe = sorted(topic for topic, heard in visit.topics.items() if heard.qos_0)
    if unsafe:
        advice = (
            "set QoS 1 where the device or its bridge can be told: what is published with QoS 0 is lost while the agent"
            " or the broker is away"
        )
        seen = f"published with QoS 0: {_shortened(unsafe)}"
        yield _finding(f"{it.name}: QoS 0", Verdict.WARN, seen, advice)


def _shortened(topics: Sequence[str]) -> str:
    more = f" and {len(topics) - _TOPICS_SHOWN} more" if len(topics) > _TOPICS_SHOWN else ""
    return ", ".join(topic[:100] for topic in topics[:_TOPICS_SHOWN]) + more
