"""Starts the agent itself from what a disk had when its power was cut; its broker and its receiver had no cut.

The broker sends again what was not acknowledged, as it would. Then each message that was ever acknowledged, or is now,
must have been told under one id, before the cut or after it.
"""

import json
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any

from tests.faults.oracle import SECRET, Oracle
from tests.faults.power_cut.story import Story
from tests.faults.stream import CONFIG
from tests.support.agent import AgentProcess
from tests.support.rawbroker import CONNACK_SESSION, CONNECT, RawBroker, publish
from tests.support.waiting import until

_BUSY = 0.1
_PATIENCE_S = 240.0
"""A busy machine takes its time; what never comes costs a run no more than that."""
_NEW_ID, _NEW = 65_535, 1_000_000
"""The packet and the number of a message that comes after the cut."""


async def revive(folder: Path, state: Path, story: Story, seed: int) -> list[str]:
    """Run it until all is told. Returns a sentence for each broken promise."""
    again = list(story.unacknowledged.values())
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(RawBroker())
        broker.greeting = CONNACK_SESSION + b"".join(heard.again() for heard in again)  # at once, as brokers do
        oracle = Oracle(Random(seed), busy=_BUSY)
        await oracle.start()
        stack.push_async_callback(oracle.stop)
        link = int(broker.url.rpartition(":")[2])
        agent = AgentProcess(folder, CONFIG.format(link=link, http=oracle.port, secret=SECRET))
        agent.state = state
        stack.callback(agent.kill)
        agent.start()
        await agent.ready(_PATIENCE_S)
        broker.say(publish(_NEW_ID, b"storm/0/button", b'{"n": %d}' % _NEW))
        expected = story.acknowledged | {heard.what for heard in again} | {f"pulse {_NEW}"}
        connection = max(packet.connection for packet in broker.got if packet.type == CONNECT)
        asked = story.unacknowledged.keys() | {_NEW_ID}
        with suppress(AssertionError):  # what is missing is told below
            await until(lambda: expected <= oracle.told() | story.told.keys(), _PATIENCE_S)
            await until(lambda: asked <= set(broker.acknowledged(connection)), _PATIENCE_S)
            await until(lambda: agent.status()["outbox"]["pending"] == 0, _PATIENCE_S)
        bad = [*_broken(expected, story, oracle), *_wrong_counts(agent.status().get("outbox", {}), len(expected))]
        if missing := asked - set(broker.acknowledged(connection)):
            bad.append(f"{len(missing)} messages are not acknowledged")
        if agent.stop() != 0 or "damage" in agent.said():
            bad.append(f"it did not end well, or was damaged: {agent.said()[-500:]}")
        return bad


def _wrong_counts(counts: dict[str, Any], owed: int) -> list[str]:
    agree = counts and counts["balanced"] and counts["owed"] == counts["delivered"] == owed and not counts["pending"]
    return [] if agree else [f"the counters are not those of {owed} events: {json.dumps(counts)[:300]}"]


def _broken(expected: set[str], story: Story, oracle: Oracle) -> list[str]:
    bad = [f"the receiver has to complain: {oracle.wrong[:2]}"] if oracle.wrong else []
    if lost := expected - oracle.told() - story.told.keys():
        bad.append(f"{len(lost)} were never told: {sorted(lost)[:3]}")
    ids = {what: {*oracle.ids.get(what, ()), *([story.told[what]] if what in story.told else [])} for what in expected}
    if twice := [what for what, theirs in ids.items() if len(theirs) > 1]:
        bad.append(f"{len(twice)} were told under two ids: {sorted(twice)[:3]}")
    return bad
