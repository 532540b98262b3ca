"""What becomes of the alerts of a step: begun, told again, resolved, and the events that tell of it."""

from agent.model import Event, Moment
from agent.rules.compiled import Compiled
from agent.rules.machine import OK, tells
from agent.rules.memory import Key, Memory, Said, State, Weight
from agent.rules.schedule import hours
from agent.rules.staging import Staging
from agent.rules.telling import SOURCES, Teller
from drivers.base import Reading


class Alerts:
    """Of one step."""

    __slots__ = ("_moment", "_staging", "_tell", "events")

    def __init__(self, teller: Teller, staging: Staging, moment: Moment) -> None:
        self._tell, self._staging, self._moment = teller, staging, moment
        self.events: list[Event] = []
        """What it tells, in order."""

    def change(self, key: Key, rule: Compiled, memory: Memory, following: State, said: Said | None, at: float) -> None:
        """Go on to another state; an alert that begins or ends by it is told."""
        told = tells(memory.state, following)
        if told == "firing":
            memory = self._begun(rule, memory, at)
        if told is not None:
            reason = "condition" if hours(rule.schedule, self._moment, at)[0] else "inactive"
            self._announce(key, memory, said, told, at, reason, payload=rule.rule.payload)
        # That a source was away for a moment is nobody's business, not even the disk's.
        weight = Weight.NONE if rule.name == SOURCES and told is None else Weight.HARD
        if following is OK:
            self._staging.keep(key, memory.at_rest(), weight)
        else:
            self._staging.keep(key, memory._replace(state=following, since=at, said=said), weight)

    def remind(self, key: Key, rule: Compiled, memory: Memory, at: float) -> None:
        """Tell of an alert again."""
        self._announce(key, memory, memory.said, "repeated", at, "condition", payload=rule.rule.payload)
        self._staging.keep(key, memory._replace(told_at=at), Weight.HARD)

    def remove(self, key: Key, memory: Memory, reason: str) -> None:
        """Forget what a rule remembered; an alert of it is resolved."""
        if memory.alert_id is not None:
            self._announce(key, memory, memory.said, "resolved", self._moment.at, reason)
        self._staging.forget(key)

    def pulse(self, rule: Compiled, reading: Reading, at: float) -> None:
        """Tell of one reading by itself."""
        self.events.append(self._tell.pulse(rule, reading, at, self._moment))

    def _begun(self, rule: Compiled, memory: Memory, at: float) -> Memory:
        moment = self._moment
        return memory._replace(
            alert_id=self._tell.new_id("alt_"),
            owed=rule.send_to,
            started_wall=moment.wall_of(at),
            started_at=None if moment.synced else at,
            told_at=None if rule.repeat_s is None else at,
            told=rule.told,
        )

    def _announce(
        self, key: Key, memory: Memory, said: Said | None, what: str, at: float, reason: str, *, payload: bool = False
    ) -> None:
        if key[0] == SOURCES:
            told = memory.said if what == "resolved" else said
            event = self._tell.source(key, memory, told, what, at, self._moment)
        else:
            event = self._tell.alert(key, memory, said, what, at, self._moment, reason, payload=payload)
        self.events.append(event)
