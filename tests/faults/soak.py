"""The soak: one agent under 500 readings a second, and every so often something goes wrong that is not its end.

What is bounded must stay so: memory, descriptors and files are looked at whenever nothing waits, and compared with what
they were behind the warm-up, in which each fault has struck once.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.faults.fault import Fault, Result
from tests.faults.house import House, house
from tests.faults.stream import CONFIG as STORM
from tests.support.faulty import Faulty
from tests.support.waiting import TooLate, until

CONFIG = (
    STORM.replace(
        "rules:",
        '  meter: {{driver: mqtt, topic: "meter/{{unit}}", sensors: {{t: {{path: t}}}}}}\nrules:\n'
        '  hot: {{sensor: "meter.*.t", when: {{above: 30}}, for: 10m}}\n'
        '  jump: {{sensor: "meter.*.t", when: {{rising: {{by: 80, within: 1m}}}}}}',
    )
    + "outbox: {{keep_delivered: 2m}}\n"
)
THIS, THAT = "sensors: {t:", "labels: {floor: cellar}, sensors: {t:"
"""What a reload changes, forth and back: the feed, but not what a rule means."""
EVENTS_PER_S, METERS_PER_S = 40.0, 460.0
"""Readings that each cause an event, and readings that cause none."""
METERS = 200
TICK_S = 0.05
WARM_UP_SHARE, WARM_UP_S_MAX = 1 / 6, 300.0
PAUSE_S_MAX = 10.0
"""Between two faults."""
FULL_PACE_S, PACE_MIN = 300.0, 0.05
"""A shorter soak has each fault too, and the looks: by so much less do faults and pauses last in it."""
FAULTS_BETWEEN_LOOKS, LOOKS_MIN = 4, 3
CALM_WITHIN_S = 60.0
MEMORY_GREW_BYTES_MAX = 8 * 2**20
DESCRIPTORS_GREW_MAX = 2
DESCRIPTOR_LOOKS = 10
FILES_GREW_RATIO_MAX = 1.25
FILES_SETTLE_S = 600.0
"""What is delivered is kept for two minutes: in a shorter soak the outbox is not at its working size by half time."""


class Meters:
    """Publishes temperatures of many units that cross no threshold."""

    def __init__(self, port: int, random: Random) -> None:
        self.count = 0
        self._random = random
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "soak-meters")
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    async def run(self) -> None:
        while True:
            for _ in range(round(METERS_PER_S * TICK_S)):
                self.count += 1
                said = json.dumps({"t": round(self._random.gauss(20, 5), 2)})
                self._client.publish(f"meter/{self._random.randrange(METERS)}", said, qos=1)
            await asyncio.sleep(TICK_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@dataclass(frozen=True)
class Footprint:
    """What the agent takes of the machine while nothing waits."""

    memory_bytes: int
    descriptors: int
    """But for the connections to the receiver: as many are kept alive as were in use at once, 8 at most."""
    files_bytes: int


@dataclass
class Soak:
    """The house, what can be done to it, and its footprints."""

    at: House
    disk: Faulty
    configs: list[str]
    random: Random
    seconds: float
    looks_min: int
    footprints: list[Footprint] = field(default_factory=list)

    def faults(self) -> Sequence[Callable[[], Awaitable[None]]]:
        return (
            self.receiver_away,
            self.receiver_busy,
            self.answers_lost,
            self.link_cut,
            self.agent_not_heard,
            self.agent_hears_nothing,
            self.broker_hangs,
            self.broker_restarts,
            self.reload,
            self.disk_fails,
            self.agent_hangs,
            self.clock_set,
        )

    async def receiver_away(self) -> None:
        await self.at.oracle.stop()
        await self._some(2, 15)
        await self.at.oracle.start()

    async def receiver_busy(self) -> None:
        self.at.oracle.busy = 0.5
        await self._some(1, 6)
        self.at.oracle.busy = 0.0

    async def answers_lost(self) -> None:
        self.at.oracle.lose = 0.3
        await self._some(1, 6)
        self.at.oracle.lose = 0.0

    async def link_cut(self) -> None:
        self.at.link.cut()

    async def agent_not_heard(self) -> None:
        self.at.link.lose_what_the_agent_says()
        await self._some(0.1, 3)
        self.at.link.cut()

    async def agent_hears_nothing(self) -> None:
        self.at.link.lose_what_the_agent_hears()
        await self._some(0.1, 3)
        self.at.link.cut()

    async def broker_hangs(self) -> None:
        self.at.broker.freeze()
        await self._some(1, 4)
        self.at.broker.thaw()

    async def broker_restarts(self) -> None:
        """In a pause of the events: of what is on its way then, the broker may say something twice or forget it."""
        self.at.running.cancel()
        await self.at.all_told()
        self.at.broker.stop()
        self.at.broker.start()
        await until(self.at.stream.is_connected)  # what paho is given before, it may send behind what comes later
        self.at.run_stream()

    async def reload(self) -> None:
        self.configs.reverse()
        await self.at.agent.reload(self.configs[0])

    async def disk_fails(self) -> None:
        self.disk.fail_sync()
        await self._some(0.5, 4)
        self.disk.heal()

    async def agent_hangs(self) -> None:
        with self.at.agent.frozen():
            await self._some(0.5, 3)

    async def clock_set(self) -> None:
        self.disk.step_clock(self.random.choice([-7200, -60, 60, 7200]))

    async def _some(self, least_s: float, most_s: float) -> None:
        pace = min(1.0, max(PACE_MIN, self.seconds / FULL_PACE_S))
        await asyncio.sleep(pace * self.random.uniform(least_s, most_s))

    async def warm_up(self, seconds: float) -> None:
        """Each fault once, then quiet; the first footprint."""
        end = asyncio.get_running_loop().time() + seconds
        for fault in self.faults():
            await self._strike(fault)
        await asyncio.sleep(max(end - asyncio.get_running_loop().time(), 0))
        await self.look()

    async def last(self, seconds: float) -> None:
        """One random fault after another, with a footprint behind each few, until a promise is broken."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self.at.result.good and (loop.time() < end or len(self.footprints) < self.looks_min):
            for fault in self.random.sample(self.faults(), FAULTS_BETWEEN_LOOKS):
                await self._strike(fault)
            await self.look()

    async def _strike(self, fault: Callable[[], Awaitable[None]]) -> None:
        await fault()
        self.at.result.strikes += 1
        await self.at.goes_on()
        await self._some(0, PAUSE_S_MAX)

    async def look(self) -> None:
        """Take a footprint as soon as nothing waits, as it has to come to that."""
        try:
            await until(self._calm, CALM_WITHIN_S)
        except TooLate:
            self.at.result.demand(False, f"much still waits: {self.at.agent.status().get('outbox')}")
            return
        files = sum(file.stat().st_size for file in self.at.agent.state.glob("outbox.db*"))
        self.footprints.append(Footprint(self.at.agent.rss_bytes(), await self._descriptors(), files))

    async def _descriptors(self) -> int:
        """The least of some looks: the answer to the last question may still be open."""
        found = []
        for _ in range(DESCRIPTOR_LOOKS):
            found.append(self.at.agent.descriptors(but_to=self.at.oracle.port))
            await asyncio.sleep(TICK_S)
        return min(found)

    def _calm(self) -> bool:
        pending = self.at.agent.status().get("outbox", {}).get("pending")
        return pending is not None and pending < EVENTS_PER_S / 4

    def judge(self) -> None:
        """Compare with the first footprint, and the files' second half with their first."""
        if not self.at.result.good:
            return
        first, later = self.footprints[0], self.footprints[1:]
        memory = max(one.memory_bytes for one in later) - first.memory_bytes
        descriptors = max(one.descriptors for one in later) - first.descriptors
        half = len(self.footprints) // 2
        before, behind = (max(one.files_bytes for one in part) for part in (self.footprints[:half], later[half - 1 :]))
        figures, demand = self.at.result.figures, self.at.result.demand
        figures.update(memory_mib=first.memory_bytes / 2**20, memory_grew_mib=memory / 2**20)
        figures.update(descriptors=first.descriptors, descriptors_grew=descriptors)
        figures.update(files_mib=before / 2**20, files_later_mib=behind / 2**20, looks=len(self.footprints))
        demand(memory <= MEMORY_GREW_BYTES_MAX, f"memory grew by {memory} bytes")
        demand(descriptors <= DESCRIPTORS_GREW_MAX, f"{descriptors} descriptors leaked")
        settled = self.seconds >= FILES_SETTLE_S
        demand(
            not settled or behind <= before * FILES_GREW_RATIO_MAX, f"the outbox grows: {before}, then {behind} bytes"
        )


async def soak(
    folder: Path, *, seconds: float, seed: int, mutant: str | None = None, looks_min: int = LOOKS_MIN
) -> Result:
    """Run it in a folder."""
    disk, random = Faulty(folder, folder / "state"), Random(seed)
    settings = ("log_type none", "persistence true", f"persistence_location {folder}/")
    async with house(
        folder, seed, *settings, config=CONFIG, mutant=mutant, env=disk.env, rate_per_s=EVENTS_PER_S
    ) as at:
        at.oracle.any_time = True
        meters = Meters(at.broker.port, Random(seed))
        running = asyncio.create_task(meters.run())
        try:
            config = at.agent.config.read_text()
            soaking = Soak(at, disk, [config, config.replace(THIS, THAT)], random, seconds, looks_min)
            warm_up_s = min(seconds * WARM_UP_SHARE, WARM_UP_S_MAX)
            await soaking.warm_up(warm_up_s)
            await soaking.last(seconds - warm_up_s)
            soaking.judge()
            running.cancel()
            await at.judge()
        finally:
            running.cancel()
            meters.close()
        at.result.figures["readings"] = meters.count + at.stream.count
        return at.result


FAULTS = [
    Fault(
        "soak",
        "500 readings a second, and receiver, links, broker, disk, clock and configuration that go wrong in turn",
        "faults",
        soak,
        ("marks-lost",),
    )
]
