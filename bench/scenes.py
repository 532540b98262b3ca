"""The scenes of the bench: what is measured of whom, between what."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.contenders.bellcrank import BELLCRANK, BELLCRANK_FAST
from bench.contenders.contender import Contender
from bench.contenders.noop import NOOP
from bench.contenders.registry import ALL
from bench.figures import Figures
from bench.measures import backlog, readings, rest, work
from bench.running import Setting
from bench.size import Size

UNLIMITED = ("max_queued_messages 0",)
"""Of mosquitto: a flood waits at the broker as long as it has to."""

Measure = Callable[[Setting, Sequence[Contender], Size], Iterable[tuple[Contender, Figures]]]


@dataclass(frozen=True)
class Scene:
    """One kind of measurement."""

    name: str
    who: Sequence[Contender]
    measure: Measure
    together: bool = False
    """Whether they run at the same time; else each has a broker of its own, with no sessions left of the others."""
    broker: Sequence[str] = UNLIMITED
    """Settings beside mosquitto's defaults."""


def _in_turn(one: Callable[[Setting, Contender, Size], Figures]) -> Measure:
    def measure(setting: Setting, contenders: Sequence[Contender], size: Size) -> Iterator[tuple[Contender, Figures]]:
        for contender in contenders:
            yield contender, one(setting, contender, size)

    return measure


_TELLING = [contender for contender in ALL if contender.tells]
_OURS = [BELLCRANK, BELLCRANK_FAST]
SCENES = (
    Scene("work", _TELLING, _in_turn(work.measure)),
    Scene("kill", _TELLING, _in_turn(work.killed)),
    Scene("readings", [*_OURS, NOOP], _in_turn(readings.measure)),
    Scene("limits", [*_OURS, NOOP], _in_turn(readings.dropped), broker=()),
    Scene("rest", _TELLING, rest.measure, together=True),
    Scene("backlog", _OURS, _in_turn(backlog.measure)),
)
