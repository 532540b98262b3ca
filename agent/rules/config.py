"""What a rule is in the configuration: pydantic models, checked when they are read."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, StringConstraints, model_validator
from pydantic_core import CoreSchema

from agent.rules.conditions import is_empty, overlap
from drivers.units import Duration, Name

Scalar = bool | int | float | str
SensorPattern = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}(\.(\*|[^.*\x00-\x1f]+))+$", max_length=512)
]
Severity = Literal["info", "warning", "critical"]
EventType = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", max_length=128)]
"""Dots and words, such as `freezer.too_warm`."""


class Condition(BaseModel):
    """What has to hold of a value; of several words, all."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    above: int | float | None = None
    below: int | float | None = None
    at_least: int | float | None = None
    at_most: int | float | None = None
    equals: Scalar | None = None
    not_equals: Scalar | None = None
    one_of: list[Scalar] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("an empty condition: name at least one of " + ", ".join(type(self).model_fields))
        if any(value is None for value in self.words().values()):
            raise ValueError("a condition needs a value")
        if is_empty(self.words()):
            raise ValueError("no number can fulfil all of this at once")
        return self

    def words(self) -> dict[str, Any]:
        """The condition as it was configured, such as {"below": 5}."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


class Each(Condition):
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


class Rule(BaseModel):
    """A condition over the sensors that match a pattern, and who is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sensor: SensorPattern
    when: Condition | None = None
    each: Each | None = None
    clear: Condition | None = None
    for_: Duration = Field(default=0.0, alias="for")
    clear_for: Duration = 0.0
    throttle: Duration = 0.0
    expires: Duration | None = None
    severity: Severity = "warning"
    event: EventType | None = None
    payload: bool = False
    send_to: list[Name] | None = None

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if (self.when is None) == (self.each is None):
            raise ValueError(
                "a rule has exactly one of `when` (a state that lasts) and `each` (a pulse for each reading)"
            )
        misplaced = {"throttle"} if self.when else {"clear", "for_", "clear_for"}
        for name in sorted(misplaced & self.model_fields_set):
            kind = "each" if self.when else "when"
            raise ValueError(f"`{name.rstrip('_')}` goes with `{kind}` only")
        if self.when and self.clear and overlap(self.when.words(), self.clear.words()):
            raise ValueError("`clear` overlaps `when`: a value that fulfils both would fire and resolve at once")
        return self

    def meaning(self, decoding: str) -> str:
        """A digest of what decides whether it fires; memory is kept only while this stays the same."""
        words = [self.sensor, decoding, self.for_, self.clear_for]
        words += [part.words() if part else None for part in (self.when, self.each, self.clear)]
        return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:16]
