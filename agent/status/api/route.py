"""A route of the API, declared once: the router, the OpenAPI document and the tests are made of the declarations."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter

from agent.status.snapshot import Window

NO_SENSORS = Window(limit=0)
"""For who asks of something else."""
FORBID_OTHERS = ConfigDict(extra="forbid", use_attribute_docstrings=True)
"""Of what is asked: a word that is not known is an error, not ignored."""


@dataclass(frozen=True, slots=True)
class NoQuery:
    """No parameters."""

    __pydantic_config__ = FORBID_OTHERS


class Call(NamedTuple):
    """One request, as its route declares it."""

    path: Mapping[str, str]
    """What stands for the {words} of the path, decoded."""
    query: Any
    """Of the type `Route.query`."""
    body: Any
    """Of the type `Route.body`; None where that is None."""


class Paged(NamedTuple):
    """An answer that is a page."""

    answer: Any
    """Its `next` is None on the last page."""
    parameter: str
    """Of the query: with `next` for its value it leads to the next page."""


@dataclass(frozen=True, slots=True)
class Route:
    """What may be asked, and who answers."""

    method: str
    path: str
    """With {words}, each of which stands for one segment; percent-encoded it may hold anything."""
    summary: str
    tag: str
    """The noun."""
    handler: Callable[[Call], Awaitable[Any]]
    """Returns an answer or a Paged; its name is the operation's. Raises `problems.Problem`."""
    answer: Any
    """The type of what is answered."""
    query: type = NoQuery
    """A dataclass: a field is a parameter."""
    body: type | None = None
    """A dataclass: a field is a member of the JSON object."""
    errors: tuple[int, ...] = ()
    """Statuses that the handler may answer, beside those that any request may have."""

    @property
    def operation(self) -> str:
        """A name that no other route has."""
        return self.handler.__name__

    @property
    def changes(self) -> bool:
        """Whether it is more than a look."""
        return self.method != "GET"

    @property
    def is_paged(self) -> bool:
        """Whether an answer may have a next page."""
        return "limit" in self.query.__dataclass_fields__  # type: ignore[attr-defined]


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """What reads and writes a type; made at its first use, since that takes a small device some milliseconds."""
    return TypeAdapter(kind)
