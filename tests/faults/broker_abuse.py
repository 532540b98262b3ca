"""Brokers of MQTT 5 and 3.1.1 that redeliver, reorder, flood, send what nobody asked for, and lie of their sessions.

Each is one of several brokers of an agent; a sound one beside them is heard all the while. What DESIGN (1.) says is
told once is told once: what comes again with the DUP flag and its packet id, also over a cut connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from tests.faults.fault import Fault, Result
from tests.faults.house import House, house
from tests.support.badbroker import QUIET_TOPIC, TOPIC, BadBroker, again, length, message
from tests.support.rawbroker import CONNECT
from tests.support.waiting import until

BROKERS = 6
RATE_PER_S = 40.0
CONFIG = """
version: 1
agent: {{name: abuse, events_to: []}}
brokers:
  house: {{url: "mqtt://127.0.0.1:{link}"}}
sources:
  button: {{driver: mqtt, broker: house, topic: "storm/{{room}}/button", sensors: {{press: {{path: n}}}}}}
  level: {{driver: mqtt, broker: house, topic: "storm/{{room}}/level", sensors: {{height: {{path: n}}}}}}
rules:
  pressed: {{sensor: "button.*.press", each: reading}}
  high: {{sensor: "level.*.height", when: {{above: 0}}}}
webhooks:
  oracle: {{url: "http://127.0.0.1:{http}/hook", secrets: [{secret}]}}
status: {{listen: "{{status}}"}}
"""
BROKER = """  bad{n}: {{url: "{url}", protocol: "{version}", keepalive: 1h}}
"""
SOURCES = """  told{n}: {{driver: mqtt, broker: bad{n}, topic: TOPIC, sensors: {{n: {{path: n}}}}}}
  quiet{n}: {{driver: mqtt, broker: bad{n}, topic: QUIET_TOPIC, sensors: {{n: {{path: n}}}}}}
""".replace("QUIET_TOPIC", QUIET_TOPIC).replace("TOPIC", TOPIC)
RULE = """  told{n}: {{sensor: told{n}.n, each: reading}}
"""
DESCRIPTORS_MAX = 12
FLOOD = 6000
"""More than the agent lets a broker leave unacknowledged, and more than its ledger holds."""
GREW_BYTES_MAX = 48 * 2**20


async def repeats(broker: BadBroker) -> None:
    """The same with the DUP flag, before and behind its acknowledgement."""
    packets = [broker.publish(broker.number()) for _ in range(20)]
    broker.raw.say(b"".join(packet + again(packet) for packet in packets))
    await broker.settled()
    broker.raw.say(b"".join(map(again, packets)) * 3)


async def cuts(broker: BadBroker) -> None:
    """A cut in the middle of many; what was not acknowledged comes again."""
    for _ in range(300):
        broker.raw.say(broker.publish(broker.number()))
    await asyncio.sleep(broker.random.choice((0, 0.01, 0.1)))
    await broker.cut()


async def cuts_again(broker: BadBroker) -> None:
    """And what comes again is cut off, too."""
    for _ in range(50):
        broker.raw.say(broker.publish(broker.number()))
    await broker.cut()
    await broker.cut()


async def reorders(broker: BadBroker) -> None:
    """Packet ids and numbers in any order, and new messages by ids that are free again."""
    ids = broker.random.sample(range(1, 65_536), 100)
    for _ in range(3):
        packets = [broker.publish(broker.number(), packet_id) for packet_id in ids]
        broker.raw.say(b"".join(broker.random.sample(packets, len(packets))))
        await broker.settled()


async def floods(broker: BadBroker) -> None:
    """Far beyond the receive maximum."""
    broker.raw.say(b"".join(broker.publish(n, topic=QUIET_TOPIC) for n in range(FLOOD)))
    broker.raw.say(broker.publish(broker.number()))
    await broker.settled()


async def unasked(broker: BadBroker) -> None:
    """Answers to what nobody asked."""
    end = b"" if broker.is_3 else b"\0"
    for kind in (0x40, 0x50, 0x62, 0x70):
        broker.raw.say(bytes([kind, 2]) + broker.random.randbytes(2))
    broker.raw.say(bytes([0x90, 3 + len(end)]) + b"\xff\xf0" + end + b"\x01")
    broker.raw.say(b"\xb0\x02\xff\xf1" if broker.is_3 else b"\xb0\x04\xff\xf1\0\0")
    broker.raw.say(b"\xd0\0" * 3)


async def forbidden(broker: BadBroker) -> None:
    """One packet that no broker may send; who then hangs up has to come back."""
    id_5 = b"" if broker.is_3 else b"\0"
    told = message(TOPIC, b'{"n": -1}', 7, is_3=broker.is_3)
    unknown_property = b"\x32\x0c\x00\x01a\x00\x07\x05\xfe\x01\x02\x03\x04x"
    unknown_alias = b"\x32\x0a\x00\x00\x00\x07\x03\x23\x00\x09{}"
    packet = broker.random.choice(
        (
            b"\x20\x02\x00\x00" if broker.is_3 else b"\x20\x03\x00\x00\x00",
            b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a",
            b"\x82\x06\x00\x01\x00\x01#\x00",
            b"\xc0\x00",
            b"\xf0\x02\x18\x00",
            b"\x00\x00",
            b"\xff\xff\xff\xff\xff\xff",
            bytes([told[0] | 0x06]) + told[1:],
            b"\x32\x08\x00\x03a/+\x00\x08" + id_5,
            b"\x32\x07\x00\x03\xff\xfe\xfd\x00\x09" + id_5,
            b"\x32\x02\x00\x00",
            b"\x32\x05\x00\x09abc",
            b"\x20\x00",
            b"\x40\x00",
            b"\x90\x00",
            unknown_property,
            unknown_alias,
            b"\xe0\x00",
            b"\xe0\x01\x8e",
            b"\xe0\x02\x9c\x00",
            broker.random.randbytes(300),
        )
    )
    broker.raw.say(packet)


async def stops_within(broker: BadBroker) -> None:
    """A cut in the middle of a packet, which comes again whole."""
    packet = broker.publish(broker.number())
    broker.raw.say(packet[: broker.random.randrange(1, len(packet))])
    await asyncio.sleep(0.05)
    await broker.cut()


async def too_long(broker: BadBroker) -> None:
    """A remaining length of 200 MB, of which little comes."""
    broker.raw.say(b"\x30" + length(200_000_000) + b"\0\1a" + bytes(2_000_000))
    await asyncio.sleep(0.2)
    await broker.cut()


async def too_short(broker: BadBroker) -> None:
    """A remaining length that ends in the payload: the rest reads as packets."""
    broker.raw.say(b"\x30\x0c\x00\x01a" + b"\0" * 9 + b'{"n": 1, "m": "\x32\x7f\xff"}')
    await asyncio.sleep(0.05)
    await broker.cut()


async def forgets(broker: BadBroker) -> None:
    """It says that there is no session, and yet sends again what was unacknowledged: that may be told twice."""
    numbers = [broker.number() for _ in range(20)]
    broker.raw.say(b"".join(map(broker.publish, numbers)))
    broker.may_be_twice.update(numbers)
    await broker.cut(session=False)


async def pretends(broker: BadBroker) -> None:
    """It says that there is a session and has none: packet ids begin anew, of messages that are new."""
    ids = [broker.packet_id() for _ in range(20)]
    broker.raw.say(b"".join(broker.publish(broker.number(), packet_id) for packet_id in ids))
    await broker.settled()
    await broker.cut(session=True)
    broker.raw.say(b"".join(broker.publish(broker.number(), packet_id) for packet_id in ids))


async def sends_at_qos_2(broker: BadBroker) -> None:
    """Though QoS 1 was asked for."""
    for packet_id in range(1, 50):
        broker.raw.say(message(QUIET_TOPIC, b'{"n": 1}', packet_id, is_3=broker.is_3, qos=2))
        broker.raw.say(b"\x62\x02" + packet_id.to_bytes(2, "big"))


async def gives_no_welcome(broker: BadBroker) -> None:
    """CONNECT is not answered, until the agent has had enough."""
    broker.raw.ignores.add(CONNECT)
    await broker.cut()
    before = broker.connections
    broker.raw.ignores.discard(CONNECT)
    await broker.client(before)


SHORT: Mapping[str, Callable[[BadBroker], Awaitable[None]]] = {
    abuse.__name__: abuse
    for abuse in (
        repeats,
        cuts,
        cuts_again,
        reorders,
        floods,
        unasked,
        forbidden,
        stops_within,
        too_long,
        too_short,
        forgets,
        pretends,
        sends_at_qos_2,
    )
}
ABUSES = {**SHORT, gives_no_welcome.__name__: gives_no_welcome}


async def broker_abuse(
    folder: Path, *, seconds: float, seed: int, mutant: str | None = None, brokers: int = BROKERS, share: float = 1.0
) -> Result:
    """Each broker does all of it in some order, again and again for so long; `share`: only so much of it."""
    random = Random(seed)
    async with AsyncExitStack() as stack:
        bad = [BadBroker(n + 1, random, is_3=n % 2 == 1) for n in range(brokers)]
        for broker in bad:
            await stack.enter_async_context(broker)
        at = await stack.enter_async_context(
            house(folder, seed, config=_config(bad), mutant=mutant, rate_per_s=RATE_PER_S)
        )
        before, descriptors = at.agent.rss_bytes(), at.agent.descriptors()
        at.agent.forget_peak()
        end = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(_abused(at, broker, end, share) for broker in bad))
        await at.goes_on()
        grew, more = at.agent.peak_bytes() - before, at.agent.descriptors() - descriptors
        at.result.figures.update(brokers=brokers, grew_bytes=grew, descriptors_more=more)
        at.result.figures["repeats dropped"] = sum(s["repeats"] for s in at.agent.status()["sources"].values())
        at.result.demand(grew <= GREW_BYTES_MAX, f"memory grew by {grew} bytes")
        at.result.demand(more <= DESCRIPTORS_MAX, f"{more} descriptors more")
        for broker in bad:
            at.stream.expected |= {f"pulse {number}" for number in broker.said}
        await at.judge(may_be_twice={f"pulse {number}" for broker in bad for number in broker.may_be_twice})
        return at.result


def _config(bad: list[BadBroker]) -> str:
    def all_of(text: str) -> str:
        filled = "".join(
            text.format(n=n, url=broker.raw.url, version="3.1.1" if broker.is_3 else "5")
            for n, broker in enumerate(bad)
        )
        return filled.replace("{", "{{").replace("}", "}}")

    config = CONFIG.replace("sources:\n", all_of(BROKER) + "sources:\n")
    config = config.replace("rules:\n", all_of(SOURCES) + "rules:\n")
    return config.replace("webhooks:\n", all_of(RULE) + "webhooks:\n")


async def _abused(at: House, broker: BadBroker, end: float, share: float) -> None:
    abuses = ABUSES if share == 1 else SHORT
    await _is_heard(at, broker)
    first = True
    while first or asyncio.get_running_loop().time() < end:
        first = False
        for name in broker.random.sample(sorted(abuses), round(share * len(abuses))):
            await abuses[name](broker)
            at.result.strikes += 1
            await _is_heard(at, broker)


async def _is_heard(at: House, broker: BadBroker) -> None:
    """Behind whatever it did the broker says something well, as a right one until it is acknowledged; it is told."""
    number = broker.number()
    broker.publish(number)
    connections = -1

    def heard() -> bool:
        nonlocal connections
        broker.welcome(packets=broker.unacknowledged())
        if broker.connections != connections and broker.raw.lives:
            if connections < 0:
                broker.raw.say(b"".join(broker.unacknowledged()))
            connections = broker.connections
        return f"pulse {number}" in at.oracle.ids

    await until(heard, 120, what=lambda: f"{number} is told; {at.agent.said()[-2000:]}")
    await broker.settled()
    broker.welcome()


FAULTS = [
    Fault(
        "broker-abuse",
        "brokers redeliver, reorder, flood, send what none may send, stop in mid-packet, lie of sessions, never answer",
        "abuses",
        broker_abuse,
        ("no-ledger",),
        can_reload=False,  # what a broker does, and is owed, is of one connection
    )
]
