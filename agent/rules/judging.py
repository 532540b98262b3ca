"""How rules judge: what a reading, a source that comes or goes, or the time makes of a memory.

A reading comes in at `level` (a rule that judges each value by itself), `hear` (one with operands) or `pulse`, and
finds the memory caught up with its time; a timer that is over comes in at `end`. What has changed a truth goes on to
`judge`, and what has changed a state to `Alerts`.
"""

from agent.model import Moment
from agent.rules import pulses
from agent.rules.alerts import Alerts
from agent.rules.attendance import Arrivals
from agent.rules.compiled import Compiled, Route
from agent.rules.machine import PENDING, RECOVERING, Signal
from agent.rules.memory import Key, Memory, Said, Truth, Weight
from agent.rules.schedule import hours
from agent.rules.staging import Staging
from drivers.base import Reading


class Judge:
    """Of one step."""

    __slots__ = ("_alerts", "_arrivals", "_moment", "_staging")

    def __init__(self, staging: Staging, arrivals: Arrivals, alerts: Alerts, moment: Moment) -> None:
        self._staging, self._arrivals, self._alerts, self._moment = staging, arrivals, alerts, moment

    # -- a reading

    def level(self, key: Key, rule: Compiled, reading: Reading, at: float, now: float) -> None:
        """Put a reading to a rule that judges each value by itself.

        `at`: when it came; `now` is later where the step is ahead of its feed.
        """
        memory = self._caught_up(key, rule, at)
        signal = rule.signal(reading.value)
        if signal is None:
            self._arrivals.unfit.append(reading.sensor)
            return
        if memory is None and signal is not Signal.BAD:
            return  # nothing was the matter, and nothing is
        memory = memory or rule.blank
        following = rule.after(memory.state, signal)
        if following is not memory.state:
            self._alerts.change(key, rule, memory, following, rule.said(reading), now)
        elif following in (PENDING, RECOVERING):
            self._staging.keep(key, memory._replace(said=rule.said(reading)), Weight.NONE)

    def hear(self, route: Route, reading: Reading, at: float, now: float) -> None:
        """Put a reading to the operands of a rule; only what changes a truth is judged. Times as of `level`."""
        key, rule, indices = route
        memory, weight = self._caught_up(key, rule, at) or rule.blank, Weight.NONE
        truths, windows, judged = memory.truths, memory.windows, False
        for i in indices:
            heard = rule.operands[i].hear(truths[i], windows[i], reading, now)
            if heard is None:
                continue
            judged = True
            if heard.truth is not truths[i]:
                truths = (*truths[:i], heard.truth, *truths[i + 1 :])
            if heard.window is not windows[i]:
                windows = (*windows[:i], heard.window, *windows[i + 1 :])
                weight = weight if heard.weight is Weight.NONE else heard.weight
        if not judged:
            self._arrivals.unfit.append(reading.sensor)
            return
        if truths != memory.truths or weight is Weight.HARD:
            changed = memory._replace(truths=truths, windows=windows)
            self.judge(key, rule, changed, now, weight, rule.said(reading))
        elif windows is not memory.windows or memory.state in (PENDING, RECOVERING):
            hold = memory.state in (PENDING, RECOVERING)
            said = rule.said(reading) if hold else memory.said
            self._staging.keep(key, memory._replace(windows=windows, said=said), weight)

    def pulse(self, key: Key, rule: Compiled, reading: Reading, now: float) -> None:
        """Put a reading to a rule that tells of single ones."""
        if reading.origin.retained or reading.value == "" or not hours(rule.schedule, self._moment, now)[0]:
            return
        memory = self._staging.recall(key)
        matches = pulses.matches(rule, memory, reading)
        if matches is None:
            self._arrivals.unfit.append(reading.sensor)
        if not matches:
            return
        counted = pulses.count(rule, memory, reading, now)
        if counted.told:
            self._alerts.pulse(rule, reading, now)
        if counted.memory is not None:
            self._staging.keep(key, counted.memory, counted.weight)

    # -- time

    def _caught_up(self, key: Key, rule: Compiled, until: float) -> Memory | None:
        """What is remembered after the end of all that was over before a reading of it came.

        Its timers may be behind, where another feed has messages that wait; that feed has nothing to say of it.
        """
        while (memory := self._staging.known(key)) is not None:
            due = rule.due_at(memory)
            if due is None or due > until:
                break
            self.end(key, rule, due)
        return memory

    def end(self, key: Key, rule: Compiled, due: float) -> None:
        """Do what a timer asks for: look again, end a hold, or remind."""
        memory, now = self._staging.recall(key), self._staging.now
        hold_ends_at = rule.hold_ends_at(memory)
        if memory.wake_at is not None and memory.wake_at <= due:
            self.judge(key, rule, memory, now)
        elif hold_ends_at is not None and hold_ends_at <= due:
            self._alerts.change(key, rule, memory, rule.after(memory.state, Signal.TIME), memory.said, now)
        else:
            self._alerts.remind(key, rule, memory, now)

    # -- what has changed

    def judge(
        self,
        key: Key,
        rule: Compiled,
        memory: Memory,
        at: float,
        weight: Weight = Weight.NONE,
        said: Said | None = None,
    ) -> None:
        """See what is true of a memory at a time, and let the state machine follow.

        `weight`: of what the memory already differs in from the one that is known.
        """
        before = self._staging.known(key)
        looked, active = self._look(key, rule, memory, at)
        weight = _weight(rule, rule.blank.truths if before is None else before.truths, looked.truths, weight)
        if rule.is_shared(key):
            self._staging.keep(key, looked, weight)
            if before is None or before.truths != looked.truths:
                self._judge_bindings(rule, at, said)
            return
        following = rule.after(looked.state, rule.signal_of(self._truths(rule, looked), active=active))
        if following is looked.state:
            hold = following in (PENDING, RECOVERING)
            self._staging.keep(key, looked._replace(said=said) if hold and said else looked, weight)
        else:
            self._alerts.change(key, rule, looked, following, said or self._last_said(key, rule, looked), at)

    def _judge_bindings(self, rule: Compiled, at: float, said: Said | None) -> None:
        """What all bindings have in common has changed."""
        for key in self._staging.bindings(rule):
            memory = self._staging.known(key)
            if memory is not None:
                self.judge(key, rule, memory, at, said=said)

    def _look(self, key: Key, rule: Compiled, memory: Memory, at: float) -> tuple[Memory, bool]:
        """What time has made of a memory, and whether the rule is active."""
        truths, windows, wakes, minds = list(memory.truths), list(memory.windows), [], False
        own = rule.own(key)
        for i in rule.timed:
            if i in own:
                life = self._arrivals.life(rule.sensor(key, i))
                truths[i], windows[i], wake_at, minds_this = rule.operands[i].look(truths[i], windows[i], at, life)
                wakes.append(wake_at)
                minds = minds or minds_this
        active, until = hours(rule.schedule, self._moment, at)
        wakes.append(until)
        wake_at = min((wake_at for wake_at in wakes if wake_at is not None), default=None)
        looked = memory._replace(truths=tuple(truths), windows=tuple(windows), wake_at=wake_at, minds_source=minds)
        return looked, active

    def _truths(self, rule: Compiled, memory: Memory) -> tuple[Truth, ...]:
        """Those of a memory, and those that all bindings have in common."""
        if not rule.shared:
            return memory.truths
        common = self._staging.recall(rule.shared_key).truths
        return tuple(common[i] if i in rule.shared else truth for i, truth in enumerate(memory.truths))

    def _last_said(self, key: Key, rule: Compiled, memory: Memory) -> Said | None:
        """What is told where time itself changed something: what led into the state, or was said last."""
        if memory.said is not None or not (rule.timed or rule.schedule):
            return memory.said
        sensor = rule.sensor(key, rule.timed[0] if rule.timed else 0)
        last = self._arrivals.last(sensor)
        return Said(sensor, None, None, {}, {}, None) if last is None else rule.said(last)


def _weight(rule: Compiled, before: tuple[Truth, ...], after: tuple[Truth, ...], weight: Weight) -> Weight:
    """What new truths ask of the disk. That one became unknown is known after a start anyway."""
    if weight is Weight.HARD or before == after:
        return weight
    learned = any(new is not old and new is not None for old, new in zip(before, after, strict=True))
    if learned and rule.hard_truths:
        return Weight.HARD
    return Weight.SOFT if learned else weight
