"""The engine against a model that is written quite differently.

The model keeps no memory. It tells the whole story of one rule and one sensor anew from all that ever
happened, second by second, with a counter in place of due times and a switch in place of four states.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.model import Event
from agent.rules import Key, Site, Step
from drivers.base import Value
from tests.rules.parts import Agent, reading

SENSORS = ("t.a", "t.b")
VALUES: Sequence[Value] = (0, 3, 5, 6, 9, 10, 11, 12, 20, True, "open", "")
RULES: dict[str, dict[str, Any]] = {
    "plain": {"sensor": "t.*", "when": {"above": 10}},
    "held": {
        "sensor": "t.*",
        "when": {"above": 10},
        "clear": {"below": 6},
        "for": "10s",
        "clear_for": "6s",
    },
    "slow": {"sensor": "t.a", "when": {"at_least": 12}, "for": "7s"},
    "stays": {"sensor": "t.b", "when": {"one_of": ["open", 20]}, "clear_for": "9s"},
    "ring": {"sensor": "t.*", "each": {"equals": "open"}, "throttle": "7s"},
    "all": {"sensor": "t.b", "each": "reading"},
    "moves": {"sensor": "t.*", "each": {"changes_by": 3}},
    "rarely": {"sensor": "t.a", "each": {"changes_by": 3}, "throttle": "5s"},
}


class Read(NamedTuple):
    at: int
    value: Value
    retained: bool


class Began(NamedTuple):
    """The agent started; the downtime is on the time line where it is known."""

    at: int
    downtime_s: int | None
    new_meaning: bool


class Passed(NamedTuple):
    """A step ended, and what changed in it was written."""

    at: int


Happened = Read | Began | Passed
Said = tuple[str, int, Value]
"""State (or `pulse`), when, the value."""


class Level(NamedTuple):
    """A level rule by hand: what is bad, what is good (None: cannot tell), and how long it takes."""

    judge: Callable[[Value], str | None]
    for_s: int
    clear_for_s: int


def numeric(bad: Callable[[float], bool], good: Callable[[float], bool]) -> Callable[[Value], str | None]:
    def judge(value: Value) -> str | None:
        if value is True or value is False or isinstance(value, str):
            return None
        return "bad" if bad(value) else "good" if good(value) else "between"

    return judge


LEVELS = {
    "plain": Level(numeric(lambda v: v > 10, lambda v: v <= 10), 0, 0),
    "held": Level(numeric(lambda v: v > 10, lambda v: v < 6), 10, 6),
    "slow": Level(numeric(lambda v: v >= 12, lambda v: v < 12), 7, 0),
    "stays": Level(lambda v: "bad" if v is not True and v in {"open", 20} else "good", 0, 9),
}
THROTTLES_S = {"ring": 7, "rarely": 5}


class LevelStory:
    """Told from the beginning: what the rule has told, and when its hold will end."""

    def __init__(self, level: Level, history: Sequence[Happened]) -> None:
        self.level = level
        self.told: list[Said] = []
        self.clock, self.on = 0, False
        self.held: int | None = None
        """For how many seconds there has been a reason to switch."""
        self.last: Value = 0
        self.written: Value = 0
        """What was said last in the step in which something changed, for that is on disk."""
        self.changed = False
        for happened in history:
            if isinstance(happened, Began):
                self.begins(happened)
            self.passes(happened.at)
            if isinstance(happened, Read) and (verdict := level.judge(happened.value)) is not None:
                self.hears(verdict, happened.value)
            if isinstance(happened, Passed) and self.changed:
                self.written, self.changed = self.last, False

    @property
    def need(self) -> int:
        return self.level.clear_for_s if self.on else self.level.for_s

    @property
    def ends_at(self) -> int | None:
        return None if self.held is None else self.clock + self.need - self.held

    def begins(self, began: Began) -> None:
        self.last, self.clock = self.written, began.at
        if self.held is not None and (began.downtime_s is None or began.downtime_s > 3600):
            self.held = 0
        if began.new_meaning:
            self.told += [("resolved", self.clock, self.written)] if self.on else []
            self.on, self.held = False, None

    def passes(self, until: int) -> None:
        while self.held is not None and self.clock < until:
            self.clock += 1
            self.held += 1
            self.switch_if_over()
        self.clock = until

    def hears(self, verdict: str, value: Value) -> None:
        wanted = verdict == ("good" if self.on else "bad")
        if wanted or self.held is not None:
            self.last = value
        if not wanted:
            self.changed = self.changed or self.held is not None
            self.held = None
        elif self.held is None:
            self.held, self.changed = 0, True
            self.switch_if_over()

    def switch_if_over(self) -> None:
        if self.held is not None and self.held >= self.need:
            self.on, self.held, self.changed = not self.on, None, True
            self.told.append(("firing" if self.on else "resolved", self.clock, self.last))


def pulse_story(name: str, history: Sequence[Happened]) -> tuple[list[Said], int]:
    """What the rule has told, and how many pulses were dropped."""
    told: list[Said] = []
    known_from, base_from, dropped = 0, 0, 0
    for happened in history:
        if isinstance(happened, Began):
            known_from = len(told) if happened.downtime_s is None or happened.new_meaning else known_from
            base_from = len(told) if happened.new_meaning else base_from
        if not isinstance(happened, Read) or happened.retained or happened.value == "":
            continue
        if not matches(name, happened.value, told[base_from:]):
            continue
        recent = [at for _, at, _ in told[known_from:] if happened.at - at < THROTTLES_S.get(name, 0)]
        if recent:
            dropped += 1
        else:
            told.append(("pulse", happened.at, happened.value))
    return told, dropped


def matches(name: str, value: Value, told: Sequence[Said]) -> bool:
    if name == "all":
        return True
    if name == "ring":
        return value == "open"
    if value is True or isinstance(value, str):
        return False
    return not told or abs(value - float(told[-1][2])) >= 3


MESSAGES = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 1, 2, 5, 9]),
        st.sampled_from(SENSORS),
        st.sampled_from(VALUES),
        st.sampled_from([False, False, True]),
        st.sampled_from(["fine", "fine", "fine", "fails"]),
    ),
    max_size=8,
)


class Naive(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.agent = Agent(("ops", "phone"), Site(), **RULES)
        self.decoding = 0
        keys = [(name, s) for name, r in RULES.items() for s in SENSORS if r["sensor"] in ("t.*", s)]
        self.history: dict[Key, list[Happened]] = {key: [] for key in keys}
        self.send_to: dict[str, tuple[str, ...]] = {}
        self.note(Passed(1000))

    def note(self, happened: Happened, sensor: str | None = None) -> None:
        for key, history in self.history.items():
            if sensor in (None, key[1]):
                history.append(happened)

    @rule(messages=MESSAGES, commits_that_fail=st.integers(0, 2))
    def messages_arrive(self, messages: list[tuple[int, str, Value, bool, str]], commits_that_fail: int) -> None:
        """One batch; where its commit fails, the step is let go of and all is done again."""
        first, engine = self.agent.at, self.agent.engine
        for _ in range(commits_that_fail):
            before = (dict(engine.memory), list(engine.memories.timers), dict(engine.latest), engine.memories.now)
            self.evaluate(messages)
            assert before == (engine.memory, engine.memories.timers, engine.latest, engine.memories.now)
            self.agent.at = first
        self.agent.finish(self.evaluate(messages))
        at = int(first)
        for gap_s, sensor, value, retained, fate in messages:
            at += gap_s
            if fate == "fine":
                self.note(Read(at, value, retained), sensor)
        self.note(Passed(at))

    def evaluate(self, messages: list[tuple[int, str, Value, bool, str]]) -> Step:
        step = self.agent.engine.step(self.agent.moment)
        for gap_s, sensor, value, retained, fate in messages:
            self.agent.at += gap_s
            step.run_timers(self.agent.at)
            savepoint = step.savepoint()
            step.reading(reading(value, sensor, retained=retained), self.agent.at)
            if fate == "fails":
                step.rollback(savepoint)
        step.run_timers(self.agent.at)
        return step

    @rule(seconds=st.integers(1, 12))
    def time_passes(self, seconds: int) -> None:
        self.agent.waits(seconds)
        self.note(Passed(int(self.agent.at)))

    @rule()
    def a_minute_of_soft_memory_is_written(self) -> None:
        self.agent.flush()

    @rule(
        downtime_s=st.sampled_from([0, 1, 8, 3600, 3601, 9000, None]),
        new_meaning=st.sampled_from([False, False, False, True]),
        send_to=st.sampled_from([None, ["ops"], ["phone"], []]),
    )
    @precondition(lambda self: self.agent.told)
    def it_restarts(self, downtime_s: int | None, new_meaning: bool, send_to: list[str] | None) -> None:
        self.decoding += new_meaning
        self.agent.rules = {name: config | {"send_to": send_to} for name, config in RULES.items()}
        self.agent.start(downtime_s=downtime_s, decoding=str(self.decoding) if self.decoding else "")
        self.note(Began(int(self.agent.at), downtime_s, new_meaning))

    @invariant()
    def it_told_and_waits_for_what_the_model_does(self) -> None:
        told: dict[Key, list[Said]] = {key: [] for key in self.history}
        for event in self.agent.told:
            assert event.value is not None
            told[str(event.rule), str(event.sensor)].append((event.state or "pulse", int(event.at), event.value))
        levels = {key: LevelStory(LEVELS[key[0]], h) for key, h in self.history.items() if key[0] in LEVELS}
        for key, history in self.history.items():
            expected = levels[key].told if key in levels else pulse_story(key[0], history)[0]
            assert told[key] == expected, key
        dues = sorted(story.ends_at for story in levels.values() if story.ends_at is not None)
        assert [due for due, _ in self.agent.engine.memories.timers] == dues
        assert self.agent.engine.next_due() == (dues[0] if dues else None)

    @invariant()
    def it_never_counts_more_dropped_pulses_than_there_were(self) -> None:
        for key, memory in self.agent.engine.memory.items():
            dropped = 0 if key[0] in LEVELS else pulse_story(key[0], self.history[key])[1]
            assert memory.throttled <= dropped

    @invariant()
    def each_firing_has_one_resolved_and_both_go_to_the_same(self) -> None:
        on: dict[Key, Event] = {}
        for event in self.agent.told:
            key = (str(event.rule), str(event.sensor))
            if event.state == "firing":
                assert key not in on
                on[key] = event
            elif event.state == "resolved":
                firing = on.pop(key)
                assert (event.alert_id, event.send_to, event.started_wall) == (
                    firing.alert_id,
                    firing.send_to,
                    firing.started_wall,
                )
        alert_ids = [event.alert_id for event in self.agent.told if event.state == "firing"]
        assert len(set(alert_ids)) == len(alert_ids)
        assert len({event.id for event in self.agent.told}) == len(self.agent.told)

    @invariant()
    def time_goes_forward(self) -> None:
        times = [event.at for event in self.agent.told]
        assert times == sorted(times)

    @invariant()
    def the_disk_has_what_must_not_be_lost(self) -> None:
        """A restart at once would find the same states, alerts, baselines and throttles."""
        memory = self.agent.engine.memory
        assert self.agent.disk.keys() == memory.keys()
        for key, row in self.agent.disk.items():
            assert hard(type(memory[key]).load(row)) == hard(memory[key])


def hard(memory: Any) -> Any:
    return memory._replace(said=None, throttled=0)


TestNaive = Naive.TestCase
TestNaive.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
