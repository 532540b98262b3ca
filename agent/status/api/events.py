"""`/api/v1/events`: what webhooks are and were owed, how each attempt went; sending again, and giving up."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated

from pydantic import Field

from agent.outbox import PAGE_ROWS, Archive, Filter, Matching, Span
from agent.status.api.problems import Problem
from agent.status.api.route import FORBID_OTHERS, Call, Paged, Route
from agent.status.commands import Commands
from agent.status.events import Page, WholeDelivery, page_of, whole_of
from agent.webhooks.config import Webhook

PAGE_BODIES = 50
_NUMBER_MAX = 2**63 - 1
_Number = Annotated[int, Field(ge=0, le=_NUMBER_MAX)]
_States = Annotated[
    str,
    Field(
        description="pending, delivered or dead, with commas between them.",
        json_schema_extra={"pattern": "^((pending|delivered|dead)(,(pending|delivered|dead))*)?$"},
    ),
]
_UnixSeconds = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Which:
    """Which deliveries; what is left out does not matter.

    Its fields say in Field what they are: pydantic finds no docstrings of a base class.
    """

    __pydantic_config__ = FORBID_OTHERS

    ids: Annotated[str, Field(description="Of events, with commas between them.")] = ""
    states: _States = ""
    webhook: Annotated[str | None, Field(description="That are owed to this webhook.")] = None
    rule: Annotated[str | None, Field(description="That this rule told.")] = None
    sensor: Annotated[str | None, Field(description="The subject of the event; a star stands for anything.")] = None
    type: Annotated[str | None, Field(description="Of the event, such as sensor.alert.firing.")] = None
    since: Annotated[_UnixSeconds | None, Field(description="That happened then or later, in Unix seconds.")] = None
    until: Annotated[_UnixSeconds | None, Field(description="That happened before, in Unix seconds.")] = None

    def filter(self) -> Filter:
        """Raises ValueError that says what would be valid."""
        words = {field.name: getattr(self, field.name) for field in fields(Which)}
        return Filter.parse(words)


@dataclass(frozen=True, slots=True)
class EventQuery(Which):
    """A page of them: the newest first, or behind `after` the oldest first."""

    before: _Number | None = None
    """Those whose numbers are below."""
    after: _Number | None = None
    """Those whose numbers are above."""
    limit: Annotated[int, Field(ge=1, le=PAGE_ROWS)] = 100
    """At most so many; with bodies at most 50."""
    bodies: bool = False
    """Whether the bodies are told too."""

    def span(self) -> Span:
        """By their numbers."""
        return Span(self.after or 0, None if self.before is None else self.before - 1)


@dataclass(frozen=True, slots=True)
class Step(Which):
    """A step of moving them, the oldest first: those whose numbers are above `after`, up to `upto`."""

    after: _Number = 0
    upto: _Number = _NUMBER_MAX


@dataclass(frozen=True, slots=True)
class EventDeliveries:
    """One event: a delivery for each webhook that it is, or was, owed to."""

    events: Sequence[WholeDelivery]


@dataclass(frozen=True, slots=True)
class Found:
    """How many deliveries match."""

    found: int
    resolved: int
    """How many of them tell of an alert that is over."""
    last: int
    """The highest number among them: what comes later is not meant, if it is the `upto` of each step."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """How far a step went."""

    moved: int
    next: int | None
    """What `after` is for the next step; null: that was all."""


def reading(archive: Archive, webhooks: Callable[[], Mapping[str, Webhook]], now: Callable[[], float]) -> list[Route]:
    """What is asked of events. `now()` is on the agent's time line."""

    async def list_events(call: Call) -> Paged:
        asked: EventQuery = call.query
        limit = min(asked.limit, PAGE_BODIES) if asked.bodies else asked.limit
        newest = asked.after is None
        wanted, span = _checked(asked.filter), asked.span()
        found = await asyncio.to_thread(archive.find, wanted, span, limit, newest=newest, bodies=asked.bodies)
        return Paged(page_of(found, limit, now(), webhooks()), "before" if newest else "after")

    async def count_events(call: Call) -> Found:
        asked: Which = call.query
        found: Matching = await asyncio.to_thread(archive.matching, _checked(asked.filter))
        return Found(*found)

    async def show_event(call: Call) -> EventDeliveries:
        event_id = call.path["id"]
        found = await asyncio.to_thread(archive.whole, event_id)
        if not found:
            raise Problem(404, f"there is no event {event_id}, or no more")
        known = webhooks()
        return EventDeliveries([whole_of(letter, now(), known.get(letter.webhook)) for letter in found])

    return [
        Route(
            "GET",
            "/api/v1/events",
            "What webhooks are and were owed, page by page",
            "events",
            list_events,
            Page,
            EventQuery,
        ),
        Route("GET", "/api/v1/events/matching", "How many deliveries match", "events", count_events, Found, Which),
        Route(
            "GET",
            "/api/v1/events/{id}",
            "An event with what is sent of it, and how each attempt went",
            "events",
            show_event,
            EventDeliveries,
            errors=(404,),
        ),
    ]


def changing(commands: Commands) -> list[Route]:
    """Sending again and giving up, in steps that are short: the answer says where the next one begins."""

    async def replay_events(call: Call) -> Stepped:
        asked: Step = call.body
        wanted = _checked(_checked(asked.filter).to_replay, 422)
        return Stepped(*await commands.replay(wanted, Span(asked.after, asked.upto)))

    async def discard_events(call: Call) -> Stepped:
        asked: Step = call.body
        wanted = _checked(_checked(asked.filter).to_discard, 422)
        return Stepped(*await commands.discard(wanted, Span(asked.after, asked.upto)))

    return [
        Route(
            "POST",
            "/api/v1/events/replay",
            "Send again, with the same id, what is dead (by `ids`: or was delivered)",
            "events",
            replay_events,
            Stepped,
            body=Step,
            errors=(422,),
        ),
        Route(
            "POST",
            "/api/v1/events/discard",
            "Give up what is pending or dead: it is never sent",
            "events",
            discard_events,
            Stepped,
            body=Step,
            errors=(422,),
        ),
    ]


def _checked(wanted: Callable[[], Filter], status: int = 400) -> Filter:
    try:
        return wanted()
    except ValueError as error:
        raise Problem(status, str(error)) from None
