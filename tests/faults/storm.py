"""The kill storm: agent and broker are killed, links are cut, configurations change, while a receiver answers badly.

The receiver answers 503 at times and loses answers at times. The broker keeps its sessions and saves them each second.
What it takes and has not saved is its own loss when it is killed, and what it has passed on and forgets, its own
repetition.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.fault import Fault, Result
from tests.faults.house import House, house
from tests.faults.stream import CONFIG
from tests.support.faulty import Faulty

PERSISTENT = ("persistence true", "persistence_location {folder}/", "autosave_interval 1")
"""As in config/mosquitto.conf, but each second: to save with each change would make the broker what is waited for."""
_SAVED_WITHIN_S = 4.0
SYNC_S = 0.03
"""As on an SD card, so that a kill finds messages that are not committed yet."""
OTHER = {
    "sensors: {{press:": "labels: {{floor: cellar}}, sensors: {{press:",
    "rest: {{": "concurrency: 3\n    rest: {{",
    "rules:": "  door: {{driver: mqtt, topic: storm/door, sensors: {{open: {{}}}}}}\nrules:",
}
"""What changes the feed, the webhook and the sources, but not what a rule means."""
ROUND = {"kill": 5, "cut": 3, "reload": 2, "kill the broker": 1}
"""Of each kind so many, in an order by chance; then again."""


@dataclass
class Storm:
    """One storm over a running house."""

    at: House
    configs: list[str]
    """The running one, and the other."""
    env: dict[str, str]
    """With what an agent is started."""
    unsure: set[str] = field(default_factory=set)
    """What a broker may have lost, or said twice."""
    struck: Counter[str] = field(default_factory=Counter)
    repeats: int = 0
    """Messages that came again, and were known, as dead agents have said."""

    async def strike(self, kind: str) -> None:
        """Behind some progress."""
        oracle, aim = self.at.oracle, len(self.at.oracle.ids) + self.at.random.randrange(5, 60)
        await self.at.comes(lambda: len(oracle.ids) >= aim, "progress")
        ways: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "kill": self._kill,
            "cut": self._cut,
            "reload": self._reload,
            "kill the broker": self._kill_broker,
        }
        await ways[kind]()
        self.struck[kind] += 1

    async def _kill(self) -> None:
        self.repeats += repeats(await asyncio.to_thread(self.at.agent.status))
        self.at.oracle.agent_dies()
        self.at.agent.kill()
        self.at.agent.start(**self.env)

    async def _cut(self) -> None:
        await self._deafen()
        self.at.link.cut()

    async def _deafen(self) -> None:
        """Acknowledgements get lost."""
        self.at.link.lose_what_the_agent_says()
        await asyncio.sleep(self.at.random.uniform(0.02, 0.3))

    async def _reload(self) -> None:
        await self.at.ready()
        self.configs.reverse()
        if deaf := self.at.random.random() < 0.5:
            await self._deafen()
        await self.at.agent.reload(self.configs[0])
        if deaf:
            self.at.link.cut()

    async def _kill_broker(self) -> None:
        self.unsure |= await kill_broker(self.at)


async def kill_broker(at: House) -> set[str]:
    """`kill -9`, and a new one at its place; returns what the dead one may have lost, or may say twice."""
    at.running.cancel()
    unsaved_since = time.monotonic() - _SAVED_WITHIN_S
    at.broker.kill()
    told_at = at.oracle.told_at
    unsure = {what for what in at.stream.expected if told_at.get(what, unsaved_since) >= unsaved_since}
    at.stream.close()
    connections = _connections(at)
    at.broker.start()
    await at.comes(lambda: _connections(at) > connections, "it comes back")
    await at.ready()
    at.stream.connect(at.broker.port)
    at.run_stream()
    return unsure


def _connections(at: House) -> int:
    return len(re.findall("New client connected .* as bellcrank", at.broker.log()))


async def kill_storm(
    folder: Path,
    *,
    seconds: float,
    seed: int,
    mutant: str | None = None,
    a_round: Mapping[str, int] = ROUND,
) -> Result:
    """Round after round, at least one."""
    settings, faulty = [line.format(folder=folder) for line in PERSISTENT], Faulty(folder, folder / "state")
    faulty.slow_sync(SYNC_S)
    async with house(folder, seed, *settings, mutant=mutant, busy=0.10, lose=0.05, env=faulty.env) as at:
        configs, end = [at.config_of(CONFIG), at.config_of(changed(CONFIG))], time.monotonic() + seconds
        storm = Storm(at, configs, faulty.env)
        while not storm.struck or time.monotonic() < end:
            kinds = [kind for kind, count in a_round.items() for _ in range(count)]
            at.random.shuffle(kinds)
            for kind in kinds:
                await storm.strike(kind)
        await at.judge(storm.unsure, storm.unsure)
        late = at.oracle.late_repeats
        at.result.demand(not late, f"{late} came again though they had long been answered when the agent was killed")
        at.result.strikes = sum(storm.struck.values())
        at.result.figures.update({f"times: {kind}": count for kind, count in storm.struck.items()})
        at.result.figures["repeats that were known"] = storm.repeats + repeats(at.agent.status())
        at.result.figures["lost by the broker"] = len(at.stream.expected - at.oracle.told())
        return at.result


def changed(text: str) -> str:
    """The configuration, with other settings of feed, webhook and sources."""
    for this, that in OTHER.items():
        assert this in text
        text = text.replace(this, that, 1)
    return text


def repeats(status: Mapping[str, Any]) -> int:
    """How many messages came again and were known, as an agent says."""
    return sum(source["repeats"] for source in status.get("sources", {}).values())


FAULTS = [
    Fault(
        "kill-storm",
        "`kill -9` of agent and broker, cut links, reloads, 503s and lost answers, at random instants",
        "strikes",
        kill_storm,
        ("acknowledge-early", "no-ledger", "marks-lost"),
    )
]
