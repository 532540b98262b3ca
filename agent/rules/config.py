"""What a rule is in the configuration: pydantic models, checked when they are read."""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    model_validator,
)
from pydantic_core import CoreSchema

from agent.rules.conditions import is_empty, overlap
from agent.rules.patterns import check_pattern
from agent.templates import SUMMARY_NAMES, Template
from drivers.settings import Settings
from drivers.units import Duration, Name

Scalar = bool | int | float | str
Number = int | float
SensorPattern = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}(\.(\*|[^.*\x00-\x1f]+))+$", max_length=512)
]
Severity = Literal["info", "warning", "critical"]
EventType = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", max_length=128)]
"""Dots and words, such as `freezer.too_warm`."""
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

COUNT_MAX = 1000
"""So many times are remembered for each sensor."""
_REPEAT_MIN_S = 1.0
_OPERANDS_MAX = 64
_PLACEHOLDER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]{0,63}\}")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00")


def _above_zero(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("has to be longer than 0")
    return seconds


def _lo_and_hi(bounds: list[Number]) -> list[Number]:
    if len(bounds) != 2:
        raise ValueError("has to be two numbers, [lo, hi]")
    if bounds[0] >= bounds[1]:
        raise ValueError(f"has to be [lo, hi] with lo below hi: {bounds[0]} is not below {bounds[1]}")
    return bounds


def _clock(text: str) -> str:
    if not _CLOCK.fullmatch(text):
        raise ValueError('has to be a time of day in quotes, such as "22:00"')
    return text


def _summary(text: str) -> str:
    Template(text, SUMMARY_NAMES)
    return text


Bounds = Annotated[list[Number], AfterValidator(_lo_and_hi)]
Regex = Annotated[str, AfterValidator(check_pattern)]
Span = Annotated[Duration, AfterValidator(_above_zero)]
ClockTime = Annotated[str, AfterValidator(_clock)]


class Drift(Settings):
    """How far a value goes within how long."""

    model_config = ConfigDict(allow_inf_nan=False)

    by: float = Field(gt=0)
    within: Span


class _Words(Settings):
    """What has to hold; of several words, all."""

    model_config = ConfigDict(allow_inf_nan=False)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("an empty condition: name at least one of " + ", ".join(self._names().values()))
        if any(value is None for value in self.words().values()):
            raise ValueError("a condition needs a value")
        return self

    @classmethod
    def _names(cls) -> dict[str, str]:
        return {name: field.alias or name for name, field in cls.model_fields.items()}

    def words(self) -> dict[str, Any]:
        """The condition as it was configured, such as {"below": 5}."""
        dumped = self.model_dump(by_alias=True, exclude_unset=True)
        return {alias: dumped[alias] for alias in self._names().values() if alias in dumped}


class ValueCondition(_Words):
    """What has to hold of one value."""

    above: Number | None = None
    below: Number | None = None
    at_least: Number | None = None
    at_most: Number | None = None
    inside: Bounds | None = None
    outside: Bounds | None = None
    equals: Scalar | None = None
    not_equals: Scalar | None = None
    one_of: list[Scalar] | None = Field(default=None, min_length=1)
    matches: Regex | None = None

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if is_empty(self.value_words()):
            raise ValueError("no number can fulfil all of this at once")
        return self

    def value_words(self) -> dict[str, Any]:
        """Those that judge one value by itself."""
        return {word: value for word, value in self.words().items() if word in VALUE_WORDS}


VALUE_WORDS = frozenset(ValueCondition.model_fields)


class Condition(ValueCondition):
    """What has to hold for as long as a level lasts."""

    rising: Drift | None = None
    falling: Drift | None = None
    silent_for: Span | None = None
    unchanged_for: Span | None = None
    all_: list["Condition"] | None = Field(default=None, alias="all", min_length=1)
    any_: list["Condition"] | None = Field(default=None, alias="any", min_length=1)
    not_: "Condition | None" = Field(default=None, alias="not")
    sensor: SensorPattern | None = None
    """In `all`, `any` and `not`: whose value it is."""

    @model_validator(mode="after")
    def _is_a_leaf_or_a_branch(self) -> Self:
        if self.is_compound and len(self.model_fields_set - {"all_", "any_", "not_"}):
            raise ValueError("beside `all`, `any` and `not` no other words: put them into a condition of the list")
        if self.model_fields_set == {"sensor"}:
            raise ValueError("a condition needs more than a sensor")
        for one in (*(self.all_ or ()), *(self.any_ or ()), *([self.not_] if self.not_ else ())):
            if one.sensor is None and not one.is_compound:
                raise ValueError("each condition in `all`, `any` and `not` names its `sensor`")
        return self

    @property
    def is_compound(self) -> bool:
        """Whether it is made of other conditions."""
        return bool(self.all_ or self.any_ or self.not_)

    def leaves(self) -> Iterator["Condition"]:
        """The conditions that it is made of in the end, in their order."""
        if not self.is_compound:
            yield self
        for one in (*(self.all_ or ()), *(self.any_ or ()), *([self.not_] if self.not_ else ())):
            yield from one.leaves()


class Each(ValueCondition):
    """What makes a reading a pulse."""

    reading: Literal[True] | None = None
    changes_by: float | None = Field(default=None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _the_word_reading(cls, given: Any) -> Any:
        return {"reading": True} if given == "reading" else given

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core_schema))
        return {"anyOf": [{"const": "reading"}, schema], "description": schema.get("description")}

    @model_validator(mode="after")
    def _stands_alone(self) -> Self:
        for word in ("reading", "changes_by"):
            if word in self.model_fields_set and len(self.model_fields_set) > 1:
                raise ValueError(f"`{word}` stands alone")
        return self


class Active(Settings):
    """The hours of a rule, by the clock on the wall; a day's hours are those that begin on it."""

    model_config = ConfigDict(populate_by_name=True)

    from_: ClockTime = Field(default="00:00", alias="from")
    to: ClockTime = "24:00"
    days: list[Day] = Field(default=list(DAYS), min_length=1)

    @model_validator(mode="after")
    def _has_hours(self) -> Self:
        if self.from_ == self.to or self.from_ == "24:00":
            raise ValueError("`from` and `to` leave no hours: leave both out for whole days")
        return self


class Rule(Settings):
    """A condition over the sensors that match a pattern, and who is told."""

    sensor: SensorPattern | None = None
    when: Condition | None = None
    each: Each | None = None
    clear: Condition | None = None
    for_: Duration = Field(default=0.0, alias="for")
    clear_for: Duration = 0.0
    repeat: Duration | None = None
    throttle: Duration = 0.0
    count: int | None = Field(default=None, ge=2, le=COUNT_MAX)
    within: Span | None = None
    active: Active | None = None
    expires: Duration | None = None
    severity: Severity = "warning"
    event: EventType | None = None
    summary: Annotated[str, AfterValidator(_summary)] | None = None
    payload: bool = False
    send_to: list[Name] | None = None

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if (self.when is None) == (self.each is None):
            raise ValueError(
                "a rule has exactly one of `when` (a state that lasts) and `each` (a pulse for each reading)"
            )
        misplaced = {"throttle"} if self.when else {"clear", "for_", "clear_for", "repeat"}
        for name in sorted(misplaced & self.model_fields_set):
            kind = "each" if self.when else "when"
            raise ValueError(f"`{name.rstrip('_')}` goes with `{kind}` only")
        if self.repeat is not None and self.repeat < _REPEAT_MIN_S:
            raise ValueError("`repeat` has to be at least 1s")
        return self

    @model_validator(mode="after")
    def _names_its_sensors(self) -> Self:
        if self.is_compound and self.sensor is not None:
            raise ValueError("`sensor` does not go with `all`, `any` and `not`: each condition in them names its own")
        if not self.is_compound and self.sensor is None:
            raise ValueError("`sensor` is missing")
        for part in (self.when, self.clear):
            if part is not None and part.is_compound != self.is_compound:
                raise ValueError("where one of `when` and `clear` has `all`, `any` or `not`, so has the other")
            if part is not None and part.sensor is not None:
                raise ValueError("inside `when` and `clear` a `sensor` stands only in `all`, `any` and `not`")
        return self

    @model_validator(mode="after")
    def _binds(self) -> Self:
        """Every operand has all placeholders of the rule, or none of them."""
        patterns = self.patterns()
        if not self.is_compound:
            if placeholders(patterns[0]):
                raise ValueError("a placeholder in a sensor goes with `all`, `any` and `not`; here use `*`")
            return self
        if len(self.leaves()) > _OPERANDS_MAX:
            raise ValueError(f"at most {_OPERANDS_MAX} conditions in one rule")
        if any("*" in pattern.split(".") for pattern in patterns):
            raise ValueError("in `all`, `any` and `not` a placeholder such as {room} stands in place of `*`")
        bindings = {frozenset(found) for pattern in patterns if (found := placeholders(pattern))}
        if any(len(placeholders(pattern)) != len(set(placeholders(pattern))) for pattern in patterns):
            raise ValueError("a placeholder stands twice in a sensor")
        if len(bindings) > 1:
            raise ValueError("each sensor of a rule has all of its placeholders, or none")
        return self

    @model_validator(mode="after")
    def _counts(self) -> Self:
        if (self.count is None) != (self.within is None):
            raise ValueError("`count` and `within` go together")
        if self.count is not None and self.when is not None and self.when.words() != self.when.value_words():
            raise ValueError("`count` goes with a condition on single values")
        return self

    @model_validator(mode="after")
    def _clears(self) -> Self:
        if self.when is None or self.clear is None:
            return self
        when, clear = self.when, self.clear
        simple = when.words() == when.value_words() and clear.words() == clear.value_words()
        if when == clear or (simple and overlap(when.words(), clear.words())):
            raise ValueError("`clear` overlaps `when`: a value that fulfils both would fire and resolve at once")
        return self

    @property
    def is_compound(self) -> bool:
        """Whether its conditions name their sensors themselves."""
        return any(part is not None and part.is_compound for part in (self.when, self.clear))

    def leaves(self) -> tuple[Condition, ...]:
        """The conditions of `when` and then of `clear`."""
        return tuple(leaf for part in (self.when, self.clear) if part is not None for leaf in part.leaves())

    def patterns(self) -> list[str]:
        """The sensors that it is about."""
        if self.sensor is not None:
            return [self.sensor]
        return list(dict.fromkeys(leaf.sensor for leaf in self.leaves() if leaf.sensor is not None))

    def meaning(self, decoding: str) -> str:
        """A digest of what decides whether it fires; memory is kept only while this stays the same."""
        words: list[Any] = [self.sensor, decoding, self.for_, self.clear_for]
        words += [part.words() if part else None for part in (self.when, self.each, self.clear)]
        words += [self.count, self.within, self.active.model_dump() if self.active else None]
        return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:16]


def placeholders(pattern: str) -> list[str]:
    """Those of a sensor pattern, in their order: `rooms.{room}.temperature` has `{room}`."""
    return [part for part in pattern.split(".") if _PLACEHOLDER.fullmatch(part)]
