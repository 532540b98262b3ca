"""What came and what was told since the start, counted once it is durable."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.round import Input, Round
from drivers.base import Message, Refusal

log = logging.getLogger(__name__)


@dataclass(slots=True)
class SourceCount:
    """What came from one source."""

    messages: int = 0
    repeats: int = 0
    """Sent again by the broker though evaluated before."""
    refused_by: Counter[str] = field(default_factory=Counter)
    last: Refusal | None = None


@dataclass(slots=True)
class SensorCount:
    """What of one sensor was no value."""

    refused: int = 0
    last: Refusal | None = None


class Told(NamedTuple):
    """What events are counted by."""

    rule: str
    """Empty: the agent tells of itself."""
    type: str


class Counts:
    """Of all rounds."""

    def __init__(self) -> None:
        self.sources: defaultdict[str, SourceCount] = defaultdict(SourceCount)
        self.sensors: defaultdict[str, SensorCount] = defaultdict(SensorCount)
        self.told: Counter[Told] = Counter()
        """Events that became owed; of rules that are no more, none."""

    def count(self, inputs: Iterable[Input], done: Round) -> None:
        """Take in a round. What was refused before is not refused again by coming again."""
        repeated = {id(repeat) for repeat in done.repeats}
        for _, _, message in inputs:
            if isinstance(message, Message):
                for source in message.sources:
                    self.sources[source].messages += 1
                if message.refusals and id(message) not in repeated:
                    self._refuse(message.refusals)
        for repeat in done.repeats:
            for source in repeat.sources:
                self.sources[source].repeats += 1
        self._refuse(done.failed)
        if done.draft is not None:
            self.told.update(Told(owed.event.rule or "", owed.event.type) for owed in done.draft.owed)

    def keep(self, rules: Iterable[str]) -> None:
        """Go on with these rules: of others nothing was told."""
        kept = {"", *rules}
        self.told = Counter({told: n for told, n in self.told.items() if told.rule in kept})

    def forget(self, sensor: str) -> bool:
        """Let go of a sensor. Returns whether there was anything."""
        return self.sensors.pop(sensor, None) is not None

    def _refuse(self, refusals: Iterable[Refusal]) -> None:
        for refusal in refusals:
            source = self.sources[refusal.source]
            if refusal.reason not in source.refused_by:
                what = refusal.sensor or refusal.source
                log.warning(
                    "%s: refused (%s; others like it are only counted): %s", what, refusal.reason, refusal.detail
                )
            source.refused_by[refusal.reason] += 1
            source.last = refusal
            if refusal.sensor is not None:
                self.sensors[refusal.sensor].refused += 1
                self.sensors[refusal.sensor].last = refusal
