"""Cuts the power at many points of one recording, and starts from what there may be."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.faults.fault import Result
from tests.faults.power_cut.disk import Disk
from tests.faults.power_cut.judge import Found, judge, lay_out, start
from tests.faults.power_cut.load import Recording
from tests.faults.power_cut.recording import OF_SOCKETS
from tests.faults.power_cut.revive import revive
from tests.faults.power_cut.story import Story

SAMPLES = 3
"""So many states between all and nothing are tried at a point."""
_STATE_S = 0.025
"""About what a state costs."""
_POINTS_MIN = 20
_TOLD_MAX = 8


@dataclass
class Cuts:
    """Of one recording."""

    recording: Recording
    folder: Path
    chance: Random
    result: Result
    disk: Disk = field(default_factory=Disk)
    lost: set[str] = field(default_factory=set)
    twice: set[str] = field(default_factory=set)
    started: set[int] = field(default_factory=set)
    """States from which something was started."""
    agents: int = 0
    """That were started."""

    def __post_init__(self) -> None:
        self.story = Story(self.recording.mqtt, self.recording.http)
        self._dropped: tuple[int, Found] = -1, Found()
        self._where = ""

    async def make(self, seconds: float, *, with_agent: bool) -> None:
        """Cut for about so long: at points by chance, and whenever something new is promised.

        `with_agent`: at one point the agent itself is started too, which takes some seconds.
        """
        records = self.recording.records
        points = [i for i, one in enumerate(records) if one.kind not in OF_SOCKETS]
        n = max(_POINTS_MIN, int(seconds / _STATE_S / (2 + SAMPLES)))
        chosen = set(self.chance.sample(points, min(n, len(points))))
        lives = self.chance.choice(points[len(points) // 4 :]) if with_agent else None
        for i, one in enumerate(records):
            promised, self._where = self.story.version, f"behind call {i} of {len(records)}"
            self.disk.follow(one)
            self.story.follow(one)
            if i in chosen or self.story.version > promised:
                await self._nothing()
            if i in chosen:
                await self._start("all", self.disk.kept())
                for _ in range(SAMPLES):
                    await self._start("a part", self.disk.sampled(self.chance))
            if i == lives:
                await self._revive()
        await self._end()
        self._sum_up()

    async def _nothing(self) -> None:
        """Nothing is there but what was made durable. One start is held against all points that it is the same at."""
        version, found = self._dropped
        if version != self.disk.version:
            self._dropped = self.disk.version, await self._found(self.disk.dropped())
            found = self._dropped[1]
        self._judge("nothing", found)

    async def _start(self, how_much: str, files: Mapping[str, bytes]) -> None:
        if _digest(files) not in self.started:
            self._judge(how_much, await self._found(files))

    async def _found(self, files: Mapping[str, bytes]) -> Found:
        self.started.add(_digest(files))
        lay_out(files, self.folder / "cut", self.chance)
        return await start(self.folder / "cut")

    async def _revive(self) -> None:
        self.agents += 1
        state = self.folder / "revived"
        lay_out(self.disk.sampled(self.chance), state, self.chance)
        for sentence in await revive(self.folder, state, self.story, self.chance.randrange(2**32)):
            self._tell("a part", f"the agent itself: {sentence}")

    async def _end(self) -> None:
        """Behind the end all is there, and the recording was whole: else it would show nothing."""
        files = self.disk.kept()
        there = {path.name for path in self.recording.state.iterdir()}
        for name in files.keys() | there:
            if not name.endswith("-shm") and name != "control.sock":
                path = self.recording.state / name
                same = name in files and path.exists() and path.read_bytes() == files[name]
                self.result.demand(same, f"{name} was not recorded as it is")
        self._judge("all", await self._found(files), is_end=True)

    def _judge(self, how_much: str, found: Found, *, is_end: bool = False) -> None:
        lost, twice, bad = judge(found, self.story, is_end=is_end)
        self.lost |= lost
        self.twice |= twice
        for sentence in bad:
            self._tell(how_much, sentence)

    def _tell(self, how_much: str, sentence: str) -> None:
        if len(self.result.bad) < _TOLD_MAX:
            self.result.bad.append(f"cut {self._where}, {how_much} of what was not durable is there: {sentence}")

    def _sum_up(self) -> None:
        made = self.recording
        self.result.strikes += len(self.started)
        self.result.lost += len(self.lost)
        self.result.duplicates += len(self.twice)
        figures = Counter(self.result.figures)
        figures.update({"recordings": 1, "calls": len(made.records), "messages": made.published})
        figures.update({"agents started": self.agents, **{f"troubles: {name}": n for name, n in made.troubles.items()}})
        self.result.figures = dict(figures)


def _digest(files: Mapping[str, bytes]) -> int:
    """The same for what is the same to a start."""
    return hash(tuple((name, hash(content)) for name, content in sorted(files.items()) if not name.endswith("-shm")))
