"""Paths into the plain values of a file, such as `("rules", "warm", "send_to", 0)`, and what stands there."""

from collections.abc import Mapping
from functools import reduce
from typing import Any

Where = tuple[str | int, ...]
"""Keys and indexes, from the top of the file."""


def member(value: Any, step: str | int) -> Any:
    """What a mapping has under a key, or a list at an index; None: nothing."""
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return None


def value_at(where: Where, document: Any) -> Any:
    """What stands at a path; None: nothing."""
    return reduce(member, where, document)


def mapping_at(where: Where, document: Any) -> Mapping[str, Any]:
    """The mapping that stands at a path; an empty one: there is none."""
    found = value_at(where, document)
    return found if isinstance(found, dict) else {}


def nested(where: Where) -> Any:
    """Mappings in one another with nothing but this path."""
    value: Any = None
    for step in reversed(where):
        value = {step: value}
    return value
