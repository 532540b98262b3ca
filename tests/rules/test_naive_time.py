"""Conditions of time, of windows and of several sensors against a model that is written quite differently.

The model has no memory, no timers and no operands. It walks through all that ever happened second by second,
and at each second looks at the whole past to say what is true.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.rules import Site
from drivers.base import FeedState, Presence, Value
from tests.rules.parts import Agent, alerts, reading

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()
VALUES: Sequence[Value] = (0, 3, 8, 11, 12, 20, "open", True)
RULES: dict[str, dict[str, Any]] = {
    "rises": {"sensor": "t.a", "when": {"rising": {"by": 5, "within": "10s"}}, "clear_for": "3s"},
    "falls": {"sensor": "t.a", "when": {"falling": {"by": 5, "within": "4s"}}, "for": "2s"},
    "often": {"sensor": "t.a", "when": {"above": 10}, "count": 3, "within": "8s", "for": "2s"},
    "thrice": {"sensor": "t.b", "each": {"equals": "open"}, "count": 3, "within": "8s"},
    "stuck": {"sensor": "t.a", "when": {"unchanged_for": "6s"}},
    "silent": {"sensor": "t.a", "when": {"silent_for": "9s"}},
    "quiet": {"sensor": "t.b", "when": {"silent_for": "5s"}, "for": "3s", "clear_for": "2s"},
    "both": {"when": {"all": [{"sensor": "t.a", "above": 10}, {"not": {"sensor": "t.b", "equals": "open"}}]}},
    "some": {
        "when": {"any": [{"sensor": "t.a", "silent_for": "9s"}, {"sensor": "t.b", "above": 10}]},
        "for": "2s",
        "clear_for": "4s",
    },
    "again": {"sensor": "t.a", "when": {"above": 10}, "clear_for": "5s", "repeat": "7s"},
    "hours": {"sensor": "t.b", "when": {"above": 10}, "for": "3s", "active": {"from": "12:01", "to": "12:03"}},
}


class Read(NamedTuple):
    at: int
    sensor: str
    value: Value
    retained: bool


class Stands(NamedTuple):
    at: int
    open: bool


class Began(NamedTuple):
    """The agent started, and nobody knows after how long."""

    at: int


class Passed(NamedTuple):
    at: int


Happened = Read | Stands | Began | Passed
Past = Sequence[Happened]


# -- what is true of the past, at a second


def live(past: Past, sensor: str) -> list[Read]:
    """What a sensor said since the last start, not counting what a broker had kept."""
    started = max((i for i, one in enumerate(past) if isinstance(one, Began)), default=0)
    said = [one for one in past[started:] if isinstance(one, Read) and one.sensor == sensor]
    return [one for one in said if not one.retained]


def is_open(past: Past) -> bool:
    told = [one.open if isinstance(one, Stands) else False for one in past if isinstance(one, Stands | Began)]
    return bool(told) and told[-1]


def numbers(said: Sequence[Read]) -> list[Read]:
    return [one for one in said if isinstance(one.value, int) and one.value is not True]


def drift(sign: int, by: int, within_s: int) -> Callable[[Past, int, bool | None], bool | None]:
    def truth(past: Past, now: int, before: bool | None) -> bool | None:
        said = numbers(live(past, "t.a"))
        heard_now = bool(said) and said[-1] is past[-1]
        if not said or not (heard_now or is_open(past)):
            return None if isinstance(past[-1], Began) else before
        values = [sign * float(one.value) for one in said if now - one.at < within_s]
        return bool(values) and values[-1] - min(values) >= by

    return truth


def often(past: Past, now: int, before: bool | None) -> bool | None:
    said = numbers(live(past, "t.a"))
    heard_now = bool(said) and said[-1] is past[-1]
    if not said or not (heard_now or is_open(past)):
        return None if isinstance(past[-1], Began) else before
    return len([one for one in said if float(one.value) > 10 and now - one.at < 8]) >= 3


def stuck(past: Past, now: int, before: bool | None) -> bool | None:
    """A kept message that says something else ends a span, and one that says the same neither ends nor makes it."""
    started = max((i for i, one in enumerate(past) if isinstance(one, Began)), default=0)
    said = [one for one in past[started:] if isinstance(one, Read) and one.sensor == "t.a"]
    if not said:
        return None
    equal = []
    for one in reversed(said):
        if (type(one.value), one.value) != (type(said[-1].value), said[-1].value):
            break
        equal.append(one)
    lively = [one for one in equal if not one.retained]
    return bool(lively) and lively[0].at - equal[-1].at >= 6 and lively[0] is not equal[-1]


def silent(sensor: str, for_s: int) -> Callable[[Past, int, bool | None], bool | None]:
    def truth(past: Past, now: int, before: bool | None) -> bool | None:
        last = past[-1]
        if isinstance(last, Read) and last.sensor == sensor and not last.retained and last.at == now:
            return False
        unsure = None if before else before
        if not is_open(past) or not any(isinstance(one, Read) and one.sensor == sensor for one in past):
            return unsure
        opened = max(i for i, one in enumerate(past) if isinstance(one, Stands) and one.open and not is_open(past[:i]))
        said = [one.at for one in live(past, sensor)]
        return True if now - max(past[opened].at, *said, 0) >= for_s else unsure

    return truth


def valued(sensor: str, holds: Callable[[Value], bool | None]) -> Callable[[Past, int, bool | None], bool | None]:
    def truth(past: Past, now: int, before: bool | None) -> bool | None:
        said = [holds(one.value) for one in past if isinstance(one, Read) and one.sensor == sensor]
        return next((one for one in reversed(said) if one is not None), None)

    return truth


def above_10(value: Value) -> bool | None:
    return None if value is True or isinstance(value, str) else value > 10


def both(a: bool | None, b: bool | None) -> bool | None:
    return False if a is False or b is True else True if a is True and b is False else None


def some(a: bool | None, b: bool | None) -> bool | None:
    return True if a or b else None if a is None or b is None else False


class Level(NamedTuple):
    truths: Sequence[Callable[[Past, int, bool | None], bool | None]]
    holds: Callable[..., bool | None]
    for_s: int = 0
    clear_for_s: int = 0
    repeat_s: int | None = None


def itself(a: bool | None) -> bool | None:
    return a


LEVELS = {
    "rises": Level([drift(1, 5, 10)], itself, clear_for_s=3),
    "falls": Level([drift(-1, 5, 4)], itself, for_s=2),
    "often": Level([often], itself, for_s=2),
    "stuck": Level([stuck], itself),
    "silent": Level([silent("t.a", 9)], itself),
    "quiet": Level([silent("t.b", 5)], itself, 3, 2),
    "both": Level([valued("t.a", above_10), valued("t.b", lambda v: v == "open")], both),
    "some": Level([silent("t.a", 9), valued("t.b", above_10)], some, 2, 4),
    "again": Level([valued("t.a", above_10)], itself, 0, 5, 7),
    "hours": Level([valued("t.b", above_10)], itself, 3, 0),
}


class Story:
    """What a level rule has told, second by second."""

    def __init__(self, name: str, history: Sequence[Happened]) -> None:
        self.name, self.level = name, LEVELS[name]
        self.told: list[tuple[str, int]] = []
        self.truths: list[bool | None] = [None] * len(self.level.truths)
        self.on, self.held, self.since, self.reminded, self.now = False, 0, 0, 0, 1000
        self.holding = False
        past: list[Happened] = []
        for happened in history:
            while self.now < happened.at:
                self.now += 1
                self.judge([*past, Passed(self.now)])
            past.append(happened)
            if isinstance(happened, Began):
                self.held, self.reminded = self.now, self.now
            self.judge(past)

    def judge(self, past: Past) -> None:
        truths = zip(self.level.truths, self.truths, strict=True)
        self.truths = [truth(past, self.now, before) for truth, before in truths]
        holds = self.level.holds(*self.truths)
        if self.name == "hours" and not 60 <= self.now - 1000 < 180:
            holds = False
        wanted = holds is (not self.on)
        if wanted and not self.holding:
            self.held = self.now
        elif self.holding and not wanted and self.on:
            self.since = self.now
        self.holding = wanted
        need = self.level.clear_for_s if self.on else self.level.for_s
        if self.holding and self.now - self.held >= need:
            self.on, self.holding, self.since = not self.on, False, self.now
            self.told.append(("firing" if self.on else "resolved", self.now))
            self.reminded = self.now
        self.remind()

    def remind(self) -> None:
        every_s = self.level.repeat_s
        if every_s and self.on and not self.holding and self.now >= max(self.since, self.reminded + every_s):
            self.told.append(("repeated", self.now))
            self.reminded = self.now


def thrice(history: Sequence[Happened]) -> list[tuple[str, int]]:
    """When the third press within was told: each press counts for one pulse only."""
    told: list[tuple[str, int]] = []
    counted: list[int] = []
    for happened in history:
        if isinstance(happened, Began):
            counted = []
        if isinstance(happened, Read) and happened.sensor == "t.b" and happened.value == "open":
            if not happened.retained:
                counted = [at for at in counted if happened.at - at < 8] + [happened.at]
            if len(counted) == 3:
                told.append(("pulse", happened.at))
                counted = []
    return told


class NaiveTime(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.agent = Agent(("ops",), Site(("t",)), **RULES)
        self.agent.wall = NOON - 1000
        self.history: list[Happened] = [Passed(1000)]

    @property
    def now(self) -> int:
        return int(self.agent.at)

    @rule(
        messages=st.lists(
            st.tuples(
                st.sampled_from([0, 0, 1, 1, 2, 3, 5, 8]),
                st.sampled_from(["t.a", "t.b"]),
                st.sampled_from(VALUES),
                st.sampled_from([False, False, False, True]),
            ),
            max_size=6,
        ),
        dropped=st.booleans(),
    )
    def messages_arrive(self, messages: list[tuple[int, str, Value, bool]], dropped: bool) -> None:
        """One batch; where its commit fails, the step is let go of and all is done again."""
        first = self.agent.at
        if dropped:
            self.evaluate(messages)
            self.agent.at = first
        self.agent.finish(self.evaluate(messages))
        at = int(first)
        for gap_s, sensor, value, retained in messages:
            at += gap_s
            self.history.append(Read(at, sensor, value, retained))
        self.history.append(Passed(at))

    def evaluate(self, messages: list[tuple[int, str, Value, bool]]) -> Any:
        step = self.agent.engine.step(self.agent.moment)
        for gap_s, sensor, value, retained in messages:
            self.agent.at += gap_s
            step.run_timers(self.agent.at)
            savepoint = step.savepoint()
            step.reading(reading(17, sensor), self.agent.at)
            step.rollback(savepoint)
            step.reading(reading(value, sensor, retained=retained), self.agent.at)
        step.run_timers(self.agent.at)
        return step

    @rule(seconds=st.sampled_from([1, 2, 3, 5, 8, 13, 30]))
    def time_passes(self, seconds: int) -> None:
        self.agent.waits(seconds)
        self.history.append(Passed(self.now))

    @rule(state=st.sampled_from([FeedState.OPEN, FeedState.OPEN, FeedState.LOST, FeedState.PAUSED]))
    def the_source_stands(self, state: FeedState) -> None:
        step = self.agent.engine.step(self.agent.moment)
        step.run_timers(self.agent.at)
        step.presence(Presence(self.agent.at, "t", "t", state), self.agent.at)
        step.run_timers(self.agent.at)
        self.agent.finish(step)
        self.history.append(Stands(self.now, state is FeedState.OPEN))

    @rule()
    def it_reloads(self) -> None:
        self.agent.reload()

    @rule()
    def it_restarts(self) -> None:
        self.agent.flush()
        self.agent.start(downtime_s=None)
        self.history.append(Began(self.now))

    def teardown(self) -> None:
        """It told what the model does: once at the end, since the model goes through the whole history."""
        told: dict[str, list[tuple[str, int]]] = {name: [] for name in RULES}
        for event in alerts(self.agent.told):
            kind = event.type.rpartition(".")[2]
            told[str(event.rule)].append(("pulse" if kind == "event" else kind, int(event.at)))
        for name, found in told.items():
            expected = Story(name, self.history).told if name in LEVELS else thrice(self.history)
            assert found == expected, name

    @invariant()
    def nothing_is_due_that_is_over(self) -> None:
        due = self.agent.engine.next_due()
        assert due is None or due >= self.agent.at
        assert self.agent.engine.memories.timers == sorted(self.agent.engine.memories.timers)


TestNaiveTime = NaiveTime.TestCase
TestNaiveTime.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
