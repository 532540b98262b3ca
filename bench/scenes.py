"""The scenes of the bench: what is measured of whom, between what, and how much of it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.contenders.bellcrank import BELLCRANK, BELLCRANK_FAST
from bench.contenders.contender import Contender
from bench.contenders.noop import NOOP
from bench.contenders.registry import ALL
from bench.figures import Figures
from bench.measures import backlog, readings, rest, work
from bench.running import Setting

UNLIMITED = ("max_queued_messages 0",)
"""Of mosquitto: a flood waits at the broker as long as it has to."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    flood: int = 8_000
    paced: int = 500
    killed: int = 3_000
    readings: int = 30_000
    limits_s: float = 4.0
    idle_s: float = 20.0
    lone: int = 3
    away_s: float = 3.0
    waiting: int = 100_000


Measure = Callable[[Setting, Sequence[Contender], Size], Iterable[tuple[Contender, Figures]]]


@dataclass(frozen=True)
class Scene:
    """One kind of measurement."""

    name: str
    who: Sequence[Contender]
    measure: Measure
    broker: Sequence[str] = UNLIMITED
    """Settings beside mosquitto's defaults."""


def _in_turn(one: Callable[[Setting, Contender, Size], Figures]) -> Measure:
    return lambda setting, contenders, size: ((who, one(setting, who, size)) for who in contenders)


_TELL = [who for who in ALL if who.tells]
_OURS = [BELLCRANK, BELLCRANK_FAST]
SCENES = (
    Scene("work", _TELL, _in_turn(lambda at, who, size: work.measure(at, who, size.flood, size.paced))),
    Scene("kill", _TELL, _in_turn(lambda at, who, size: work.killed(at, who, size.killed))),
    Scene("readings", [*_OURS, NOOP], _in_turn(lambda at, who, size: readings.measure(at, who, size.readings))),
    Scene("limits", [*_OURS, NOOP], _in_turn(lambda at, who, size: readings.dropped(at, who, size.limits_s)), ()),
    Scene("rest", _TELL, lambda at, all_, size: rest.measure(at, all_, size.idle_s, size.lone, size.away_s).items()),
    Scene("backlog", _OURS, _in_turn(lambda at, who, size: backlog.measure(at, who, size.waiting))),
)
