"""Poison: more bad messages than the broker leaves unacknowledged, at QoS 1 and 2, retained too, among good ones.

Each must be acknowledged and counted as refused, or it blocks what comes behind it; nothing of it is told. A second
webhook makes of each event texts whose format specs do not fit what the messages say.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from tests.faults.fault import Fault, Result
from tests.faults.house import House, house
from tests.support.hostile import HOSTILE
from tests.support.mosquitto import Said
from tests.support.receiver import Receiver

INFLIGHT_MAX = 20
DEEP = 100_000
RATE_PER_S = 40.0
CONFIG = """
version: 1
agent: {{name: poison, events_to: []}}
brokers:
  house: {{url: "mqtt://127.0.0.1:{link}", max_payload: 128KiB}}
sources:
  button: {{driver: mqtt, topic: "storm/{{room}}/button", sensors: {{press: {{path: n, type: number}}}}}}
  level: {{driver: mqtt, topic: "storm/{{room}}/level", sensors: {{height: {{path: n, type: number}}}}}}
rules:
  pressed: {{sensor: "button.*.press", each: reading}}
  high: {{sensor: "level.*.height", when: {{above: 0}}}}
webhooks:
  oracle: {{url: "http://127.0.0.1:{http}/hook", secrets: [{secret}]}}
  templates:
    url: "http://127.0.0.1:TEMPLATES/hook"
    unsigned: true
    headers: {{X-Room: "{{labels.room}}", X-Summary: "{{summary:>99d}}"}}
    body: {{a: "{{value:s}} {{sensor:d}} {{labels.room:.2f}} {{time:x}}", b: ["{{value:%}}", "{{state:>8}}"]}}
status: {{listen: "{{status}}"}}
"""
KEPT = """
  kept: {{driver: mqtt, topic: "kept/{{name}}", sensors: {{n: {{path: n, type: number}}}}}}
rules:"""
"""A source that comes with a reload, and with it the retained poison."""
KEPT_TOPICS = 3 * INFLIGHT_MAX


def poisons(random: Random) -> Sequence[bytes]:
    """Payloads in which there is no number `n`; each of them is refused once."""
    return [
        b"\xff\xfe\xfd",
        b'{"n": "\xc3\x28"}',
        b"{",
        b"[1, 2",
        b'{"n": NaN}',
        b'{"n": -Infinity}',
        b'{"n": 1e999}',
        b'{"n": 1%s}' % (b"0" * 5000),
        b'{"n": {"n": 1}}',
        b'{"n": [1]}',
        b'{"n": true}',
        b'{"n": "twelve"}',
        b'{"n": "\\ud800"}',
        b'{"n": "unavailable"}',
        b'{"n": null}',
        b'{"n": %s1%s}' % (b"[" * 100, b"]" * 100),
        b"[" * DEEP,
        b'{"n":' * (DEEP // 6),
        b"[" * (DEEP // 2) + b"]" * (DEEP // 2),
        b'{"n": "' + b"x" * 200_000 + b'"}',
        b"\0" * 1000,
        b"\x1b[2J\r\n<script>alert(1)</script>",
        random.randbytes(2000),
    ]


async def poison(folder: Path, *, seconds: float, seed: int, mutant: str | None = None) -> Result:
    """Waves of it for so long, one at least; then a reload that brings the retained."""
    async with AsyncExitStack() as stack:
        templates = await stack.enter_async_context(Receiver())
        config = CONFIG.replace("TEMPLATES", str(templates.port))
        broker = f"max_inflight_messages {INFLIGHT_MAX}"
        at = await stack.enter_async_context(
            house(folder, seed, broker, config=config, mutant=mutant, rate_per_s=RATE_PER_S)
        )
        bad, end = 0, asyncio.get_running_loop().time() + seconds
        while not bad or asyncio.get_running_loop().time() < end:
            wave = _wave(at.random)
            bad += len(wave)
            await _publish(at, [*wave, *_good_from_hostile_topics(at)])
            await _refused(at, "button", bad)
            await at.goes_on()
        kept = [Said(f"kept/{n}", at.random.choice(poisons(at.random)), 1, retain=True) for n in range(KEPT_TOPICS)]
        await _publish(at, kept)
        await at.agent.reload(at.config_of(config.replace("\nrules:", KEPT, 1)))
        await _refused(at, "kept", len(kept))
        await at.goes_on()
        at.result.strikes = bad + len(kept)
        await at.judge()
        told = at.counts("templates")
        unique = len({got.id for got in templates.got})
        at.result.demand(told["delivered"] == told["owed"] == unique, f"templates: {unique} came: {str(told)[:200]}")
        at.result.demand(_left(at) == 0, f"{_left(at)} messages were never acknowledged")
        return at.result


async def _publish(at: House, said: Sequence[Said]) -> None:
    """The broker takes no more at QoS 2 from a publisher than it leaves unacknowledged."""
    for begin in range(0, len(said), INFLIGHT_MAX):
        await at.broker.publish(*said[begin : begin + INFLIGHT_MAX])


def _wave(random: Random) -> list[Said]:
    """Each kind three times over, and topics that are too long."""
    payloads = [payload for payload in poisons(random) for _ in range(3)]
    long_topics = [Said(f"storm/{'x' * 2000}/button", b'{"n": 1}', qos) for qos in (1, 2)]
    told = [Said(f"storm/{random.randrange(4)}/button", payload, random.choice((1, 2))) for payload in payloads]
    return random.sample(told + long_topics, len(told) + 2)


def _good_from_hostile_topics(at: House) -> list[Said]:
    said = []
    for name in HOSTILE:
        if name.isprintable() and not set(name) & set("/+#") and len(name) < 1000:
            at.stream.count += 1
            at.stream.expected.add(f"pulse {at.stream.count}")
            said.append(Said(f"storm/{name}/button", json.dumps({"n": at.stream.count})))
    return said


async def _refused(at: House, source: str, count: int) -> None:
    """Wait until so many are counted as refused; more is wrong, and fewer too."""

    def refused() -> int:
        return int(at.agent.status().get("sources", {}).get(source, {}).get("refused", 0))

    found = await asyncio.to_thread(refused)
    for _ in range(300):
        if found >= count:
            break
        await asyncio.sleep(0.1)
        found = await asyncio.to_thread(refused)
    at.result.demand(found == count, f"{source}: {found} refused of {count} that are bad")


def _left(at: House) -> int:
    """What the broker sent and has not seen acknowledged."""
    log = at.broker.log()
    sent = sum("(d0, q1" in line for line in log.splitlines() if "Sending PUBLISH to bellcrank" in line)
    return sent - log.count("Received PUBACK from bellcrank")


FAULTS = [
    Fault(
        "poison",
        "more bad messages than the broker leaves unacknowledged, at QoS 1 and 2, retained too",
        "bad messages",
        poison,
        ("poison-stays",),
    )
]
