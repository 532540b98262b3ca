"""A rule of the configuration, made ready: its tests, its operands, and which memory a sensor is part of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import cached_property
from typing import NamedTuple

from agent.rules.conditions import Test, compile_condition
from agent.rules.config import Condition, Rule, placeholders
from agent.rules.machine import FIRING, OK, PENDING, RECOVERING, Signal, after
from agent.rules.memory import Key, Memory, Said, State, Told, Truth
from agent.rules.operands import (
    Expression,
    Operand,
    SilentOperand,
    all_of,
    any_of,
    not_of,
    operands_of,
    truth_at,
)
from agent.rules.schedule import Schedule
from drivers.base import Reading, Value

Parts = tuple[str, ...]


class Route(NamedTuple):
    """One memory that a sensor's readings are part of."""

    key: Key
    rule: "Compiled"
    indices: tuple[int, ...]
    """Of the operands that the sensor feeds."""


@dataclass(frozen=True)
class Compiled:
    """One rule.

    A plain one judges each value by itself. One with operands keeps their truths: since it has several, since
    time changes them, or since its hours begin while nothing is said.
    """

    name: str
    rule: Rule
    meaning: str
    send_to: tuple[str, ...]
    told: Told
    pulses: bool
    """`each`, not `when`."""
    for_s: float
    clear_for_s: float
    repeat_s: float | None
    test: Test
    """`when` or `each`, of one value by itself."""
    clear: Test | None
    operands: tuple[Operand, ...]
    patterns: tuple[Parts, ...]
    """The sensors of each operand; of a plain rule one, of all."""
    placeholders: Parts
    """Of a compound rule, such as `{room}`, in the order in which its keys have their values."""
    when: Expression
    clears: Expression | None
    schedule: Schedule | None

    # -- whose memory

    @cached_property
    def subject(self) -> str:
        """Of a compound rule."""
        return f"rule:{self.name}"

    @cached_property
    def is_compound(self) -> bool:
        """Whether its conditions name their sensors themselves."""
        return self.rule.is_compound

    @cached_property
    def timed(self) -> tuple[int, ...]:
        """The operands that time alone may change."""
        return tuple(i for i, operand in enumerate(self.operands) if operand.timed)

    @cached_property
    def knows_sensors(self) -> bool:
        """Whether it has to know which sensors there are, as it speaks of their silence."""
        return any(isinstance(operand, SilentOperand) for operand in self.operands)

    @cached_property
    def hard_truths(self) -> bool:
        """Whether the truths must survive: they were told apart, or long ago."""
        return len(self.operands) > 1 or self.schedule is not None or self.knows_sensors

    @cached_property
    def remembers_pulses(self) -> bool:
        """Whether it tells a pulse, or does not, because of those before."""
        each, rule = self.rule.each, self.rule
        changes_by = each is not None and each.changes_by is not None
        return bool(rule.throttle) or changes_by or rule.count is not None

    @cached_property
    def shared(self) -> frozenset[int]:
        """With placeholders: the operands that have none, kept once, in a memory that no binding has."""
        if not self.placeholders:
            return frozenset()
        return frozenset(i for i, pattern in enumerate(self.patterns) if not placeholders(".".join(pattern)))

    @property
    def shared_key(self) -> Key:
        """Of what all bindings have in common; it never fires itself."""
        return self.name, self.subject

    def is_shared(self, key: Key) -> bool:
        """Whether a key is that of what all bindings have in common."""
        return bool(self.placeholders) and key[1] == self.subject

    def own(self, key: Key) -> Sequence[int]:
        """The operands whose truths are kept under a key."""
        if not self.placeholders:
            return range(len(self.operands))
        shared = self.is_shared(key)
        return [i for i in range(len(self.operands)) if (i in self.shared) == shared]

    def sensor(self, key: Key, index: int) -> str:
        """The sensor that feeds an operand."""
        if not self.is_compound:
            return key[1]
        values = key[1][len(self.subject) + 1 :].split(".")
        bound = dict(zip(self.placeholders, values, strict=False))
        return ".".join(bound.get(part, part) for part in self.patterns[index])

    def devices(self, key: Key) -> set[str]:
        """Those whose presence decides what time may change, such as `rooms.kitchen`."""
        own = self.own(key)
        return {self.sensor(key, index).rpartition(".")[0] for index in self.timed if index in own}

    def routes(self, sensor: str) -> list[Route]:
        """The memories that a sensor is part of: one, or with placeholders and without them two."""
        found: dict[Key, list[int]] = {}
        parts = tuple(sensor.split("."))
        for index, pattern in enumerate(self.patterns):
            binding = _binding(pattern, parts)
            if binding is not None:
                found.setdefault(self._key(sensor, binding), []).append(index)
        return [Route(key, self, tuple(indices)) for key, indices in found.items()]

    def _key(self, sensor: str, binding: dict[str, str]) -> Key:
        if not self.is_compound:
            return self.name, sensor
        values = ".".join(binding[name] for name in self.placeholders if name in binding)
        return self.name, f"{self.subject}:{values}" if values else self.subject

    # -- what it makes of it

    @cached_property
    def blank(self) -> Memory:
        """Nothing remembered."""
        nothing = (None,) * len(self.operands)
        return Memory(self.meaning, truths=nothing, windows=nothing)

    def knowing(self, memory: Memory, indices: Sequence[int]) -> Memory:
        """A memory that knows that there is the sensor of some operands, so that it may be silent."""
        silent = [i for i in indices if isinstance(self.operands[i], SilentOperand)]
        windows = tuple(() if i in silent else window for i, window in enumerate(memory.windows))
        return memory._replace(windows=windows)

    def fits(self, memory: Memory) -> bool:
        """Whether a memory has as many parts as it should."""
        windows = len(memory.windows) if self.rule.when else 0
        return len(memory.truths) == windows == len(self.operands)

    def signal(self, value: Value) -> Signal | None:
        """What a value means to the state machine of a plain rule; None where it cannot judge it."""
        bad = self.test(value)
        if bad is None:
            return None
        if bad:
            return Signal.BAD
        good = True if self.clear is None else self.clear(value)
        return Signal.GOOD if good else Signal.BAND

    def signal_of(self, truths: Sequence[Truth], *, active: bool) -> Signal:
        """What the truths mean to it: unknown neither fires nor clears, outside its hours nothing holds."""
        if not active:
            return Signal.GOOD
        bad = self.when(truths)
        if bad:
            return Signal.BAD
        good = bad is False if self.clears is None else self.clears(truths)
        return Signal.GOOD if good else Signal.BAND

    def after(self, state: State, signal: Signal) -> State:
        """The state that follows."""
        return after(state, signal, for_s=self.for_s, clear_for_s=self.clear_for_s)

    def said(self, reading: Reading) -> Said:
        """What is told of a reading. Raises RecursionError for a payload that cannot be written."""
        return Said.of(reading, payload=self.rule.payload)

    # -- time

    def hold_ends_at(self, memory: Memory) -> float | None:
        """When a state ends that ends by time."""
        if memory.state is PENDING:
            return memory.since + self.for_s
        return memory.since + self.clear_for_s if memory.state is RECOVERING else None

    def reminds_at(self, memory: Memory) -> float | None:
        """When a firing one is told again."""
        if self.repeat_s is None or memory.state is not FIRING:
            return None
        told_at = memory.since if memory.told_at is None else memory.told_at
        return max(memory.since, told_at + self.repeat_s)

    def due_at(self, memory: Memory) -> float | None:
        """When something happens to a memory by itself."""
        wake_at = memory.wake_at
        if memory.state is OK:
            return wake_at
        ends_at = self.reminds_at(memory) if memory.state is FIRING else self.hold_ends_at(memory)
        if wake_at is None or ends_at is None:
            return ends_at if wake_at is None else wake_at
        return min(wake_at, ends_at)


def compile_rule(name: str, rule: Rule, webhooks: tuple[str, ...], meaning: str, timezone: tzinfo) -> Compiled:
    """Make a rule ready; `webhooks` are told where it names nobody."""
    condition = rule.when or rule.each
    told = Told(rule.event, rule.severity, condition.words() if condition else {}, rule.expires)
    build = _Operands(rule)
    when = build.expression(rule.when) if rule.when else None
    clears = build.expression(rule.clear) if rule.clear else None
    plain = rule.each is not None or _is_plain(rule)
    return Compiled(
        name=name,
        rule=rule,
        meaning=meaning,
        send_to=webhooks if rule.send_to is None else tuple(dict.fromkeys(rule.send_to)),
        told=told,
        pulses=rule.each is not None,
        for_s=rule.for_,
        clear_for_s=rule.clear_for,
        repeat_s=rule.repeat,
        test=compile_condition(condition.value_words() if condition else {}),
        clear=compile_condition(rule.clear.value_words()) if rule.clear else None,
        operands=() if plain else tuple(build.operands),
        patterns=(tuple(str(rule.sensor).split(".")),) if plain else tuple(build.patterns),
        placeholders=tuple(dict.fromkeys(name for pattern in rule.patterns() for name in placeholders(pattern))),
        when=when or _never,
        clears=clears,
        schedule=Schedule(rule.active, timezone) if rule.active else None,
    )


class _Operands:
    """Gathers the operands of a rule while its conditions become expressions."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self.operands: list[Operand] = []
        self.patterns: list[Parts] = []

    def expression(self, condition: Condition) -> Expression:
        """What the operands' truths come to."""
        if condition.is_compound:
            return all_of(list(self._branches(condition)))
        counts = self._rule.count if condition is self._rule.when else None
        found = operands_of(condition, counts, self._rule.within)
        first = len(self.operands)
        self.operands += found
        self.patterns += [tuple(str(condition.sensor or self._rule.sensor).split("."))] * len(found)
        return all_of([truth_at(first + i) for i in range(len(found))])

    def _branches(self, condition: Condition) -> Sequence[Expression]:
        found = [all_of([self.expression(one) for one in condition.all_])] if condition.all_ else []
        if condition.any_:
            found.append(any_of([self.expression(one) for one in condition.any_]))
        if condition.not_:
            found.append(not_of(self.expression(condition.not_)))
        return found


def _is_plain(rule: Rule) -> bool:
    """Whether a level rule can judge each value by itself."""
    parts = [part for part in (rule.when, rule.clear) if part is not None]
    return rule.active is None and rule.count is None and all(part.words() == part.value_words() for part in parts)


def _binding(pattern: Sequence[str], parts: Sequence[str]) -> dict[str, str] | None:
    """The values of the placeholders where a pattern names this sensor, else None."""
    if len(pattern) != len(parts):
        return None
    bound = {}
    for mine, part in zip(pattern, parts, strict=True):
        if placeholders(mine):
            bound[mine] = part
        elif mine not in ("*", part):
            return None
    return bound


def _never(_: Sequence[Truth]) -> Truth:
    return False
