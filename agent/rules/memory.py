"""What a rule remembers of one sensor: an immutable value, and its form on disk.

The hard part is durable before the acknowledgement of what changed it. The soft part (`throttled`) rides
with the next commit, or goes at the latest after a minute.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple, Self

from drivers.base import Reading, Value

Key = tuple[str, str]
"""Rule and sensor."""


class State(StrEnum):
    """Of a level rule for one sensor."""

    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"
    RECOVERING = "recovering"


class Said(NamedTuple):
    """What an event tells of a reading, kept for a timer that ends after a restart."""

    value: Value
    unit: str | None
    labels: Mapping[str, str]
    attributes: Mapping[str, Any]
    payload: Any

    @classmethod
    def of(cls, reading: Reading) -> Self:
        """Take what is told of a reading."""
        origin = reading.origin
        return cls(reading.value, reading.unit, origin.labels, origin.attributes, origin.payload)


class Memory(NamedTuple):
    """Of one rule for one sensor; `Memory(meaning)` is nothing remembered."""

    meaning: str
    """Digest of what the rule means: memory of another meaning is not its memory."""
    state: State = State.OK
    since: float = 0.0
    """When the state began, on the agent's time line; 0 for ok."""
    alert_id: str | None = None
    owed: tuple[str, ...] = ()
    """The webhooks that were owed `firing`, and so will be owed `resolved`."""
    started_wall: float | None = None
    said: Said | None = None
    """The reading that led into the state."""
    baseline: Value | None = None
    """The last value that `changes_by` told."""
    told_at: float | None = None
    """When the last pulse was told, for `throttle`."""
    throttled: int = 0
    """Soft: pulses that `throttle` dropped."""

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to keep."""
        return self == Memory(self.meaning)

    def dump(self) -> str:
        """As strict JSON."""
        return json.dumps(self, allow_nan=False, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def load(cls, text: str) -> Self:
        """Read what `dump` wrote. Raises ValueError, TypeError."""
        meaning, state, since, alert_id, owed, started, said, *rest = json.loads(text)
        known = None if said is None else Said(*said)
        return cls(meaning, State(state), since, alert_id, tuple(owed), started, known, *rest)
