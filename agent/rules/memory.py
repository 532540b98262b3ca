"""What a rule remembers of one sensor: an immutable value, and its form on disk.

The hard part is durable before the acknowledgement of what changed it. The soft part (`throttled`, `windows`)
rides with the next commit, or goes at the latest after a minute. When a sensor was last heard is no part of
it, since silence counts from the start; `wake_at` and `minds_source` neither, since they follow from the rest.
"""

import json
import math
from collections.abc import Mapping
from enum import Enum, StrEnum, auto
from typing import Any, NamedTuple, Self

from drivers.base import Json, Reading, Value

_TEXT_KEPT = 2048
"""Of a text; an event tells of half as many bytes and marks the rest as truncated."""

_IN_MEMORY_ONLY = 2
"""So many of the last fields of a memory."""

Key = tuple[str, str]
"""Rule and subject: a sensor, or of a compound rule `rule:NAME`, with placeholders `rule:NAME:kitchen`."""
Truth = bool | None
"""None: unknown."""
Window = tuple[Any, ...]
"""What an operand remembers of readings; see `agent.rules.operands`."""


class State(StrEnum):
    """Of a level rule for one sensor."""

    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"
    RECOVERING = "recovering"


class Weight(Enum):
    """What a change of memory asks of the disk."""

    HARD = auto()
    """Written before the acknowledgement."""
    SOFT = auto()
    """Written with the next commit, at the latest after a minute."""
    NONE = auto()
    """Goes along when the row is written for another reason."""


class Said(NamedTuple):
    """What an event tells of a reading, kept for a timer that ends after a restart."""

    sensor: str
    value: Value | None
    """None: it has said nothing yet."""
    unit: str | None
    labels: Mapping[str, str]
    attributes: Mapping[str, Any]
    payload: Json

    @classmethod
    def of(cls, reading: Reading, *, payload: bool) -> Self:
        """Take what is told of a reading; the payload only where it is asked for.

        Raises RecursionError for a payload that is nested too deeply to be written.
        """
        origin = reading.origin
        told = _strict(origin.payload) if payload else None
        value, attributes = shortened(reading.value), _strict(origin.attributes)
        return cls(reading.sensor, value, reading.unit, origin.labels, attributes, told)


class Told(NamedTuple):
    """What `firing` said of its rule: `resolved` says the same, even where the rule is gone."""

    event: str | None
    severity: str
    condition: Mapping[str, Any]
    expires_s: float | None


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
    """The reading that led into the state; while a hold runs, the last one that the rule could judge."""
    baseline: Value | None = None
    """The last value that `changes_by` told."""
    told_at: float | None = None
    """When the last pulse was told, for `throttle`, or the alert, for `repeat`."""
    throttled: int = 0
    """Soft: pulses that `throttle` dropped."""
    told: Told | None = None
    """While an alert is on."""
    truths: tuple[Truth, ...] = ()
    """Of the operands of its condition, as far as they are known."""
    windows: tuple[Window | None, ...] = ()
    """Soft: what the operands remember."""
    started_at: float | None = None
    """When the alert began, on the agent's time line, where the clock showed no sign of being right then."""
    wake_at: float | None = None
    """In memory only: when time itself may change a truth."""
    minds_source: bool = False
    """In memory only: whether it has to be looked at as soon as the source of a sensor opens or closes."""

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to keep."""
        return self == Memory(self.meaning)

    def at_rest(self) -> Self:
        """The same in ok: no alert, no hold."""
        return self._replace(
            state=State.OK,
            since=0.0,
            alert_id=None,
            owed=(),
            started_wall=None,
            started_at=None,
            said=None,
            told_at=None,
            told=None,
        )

    def dump(self) -> str:
        """As strict JSON."""
        return json.dumps(self[:-_IN_MEMORY_ONLY], allow_nan=False, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def load(cls, text: str) -> Self:
        """Read what `dump` wrote. Raises ValueError, TypeError, RecursionError."""
        row = cls(*json.loads(text))
        return row._replace(
            state=State(row.state),
            since=float(row.since),
            owed=tuple(row.owed),
            said=None if row.said is None else Said(*row.said),
            told=None if row.told is None else Told(*row.told),
            truths=tuple(row.truths),
            windows=tuple(None if window is None else _frozen(window) for window in row.windows),
        )


def shortened(value: Value) -> Value:
    """A value as it is kept: of a long text the beginning."""
    return value[:_TEXT_KEPT] if isinstance(value, str) else value


def _frozen(window: Any) -> Window:
    return tuple(_frozen(entry) if isinstance(entry, list) else entry for entry in window)


def _strict(document: Json) -> Json:
    """A document that can be written: null for numbers that are not finite, which some devices send."""
    if isinstance(document, Mapping):
        return {key: _strict(member) for key, member in document.items()}
    if isinstance(document, list):
        return [_strict(member) for member in document]
    if isinstance(document, float) and not math.isfinite(document):
        return None
    return document
