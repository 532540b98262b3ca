"""Deliveries, and how each went, as people see them: the same from a running agent and from an outbox that is idle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.model import Attempt, Counters
from agent.outbox import Letter, Standing
from agent.status.snapshot import WebhookFacts, conserved
from agent.templates import rfc3339
from agent.webhooks.config import Webhook
from agent.webhooks.shown import ShownRequest, hiding, shown_request


@dataclass(frozen=True, slots=True)
class DeliveryFacts:
    """An event that is, or was, owed to a webhook. Ages and times to come are in seconds."""

    number: int
    """Counts up with every delivery of this agent."""
    id: str
    """Of the event."""
    webhook: str
    type: str
    rule: str | None
    sensor: str
    """The subject of the event."""
    state: str
    """pending, delivered or dead"""
    sequence: int
    """Counts up without a gap for each webhook."""
    attempts: int
    time: str
    """When it happened (RFC 3339)."""
    clock: str
    """Whether the clock was right then, as far as is known: synced or unsynced."""
    age_s: float
    next_attempt_s: float | None
    """Of what is pending, as is `expires_s`."""
    expires_s: float | None
    settled_s: float | None
    """How long ago it was delivered, or given up."""
    body: str | None
    """What is sent; null: was not asked for."""


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """One request, and what was answered."""

    time: str
    """When it began (RFC 3339)."""
    ago_s: float
    duration_ms: float
    status: int | None
    """null: no HTTP answer."""
    error: str | None
    """Of a failure: what was the matter, for people."""
    answer: str
    """Of a failure: the first 512 bytes of it."""


@dataclass(frozen=True, slots=True)
class WholeDelivery(DeliveryFacts):
    """The same with its log."""

    resolved: bool
    """Whether it tells of an alert that is over."""
    log: Sequence[AttemptFacts]
    """The last 20 attempts, the oldest first; one that succeeded at once is not in it."""
    request: ShownRequest


@dataclass(frozen=True, slots=True)
class Page:
    """A page of deliveries."""

    events: Sequence[DeliveryFacts]
    next: int | None
    """The number behind which the next page begins: its `before`, or with `after` its `after`; null: there is none."""


def attempts_of(letter: Letter) -> int:
    """How often it was tried: the attempt that succeeded used none up."""
    return letter.attempts + (letter.state == "delivered")


def delivery_of(letter: Letter, now: float, webhook: Webhook | None) -> DeliveryFacts:
    """A delivery. `now` is on the agent's time line; `webhook` is None where the configuration does not have it."""
    waits = letter.state == "pending"
    return DeliveryFacts(
        number=letter.number,
        id=letter.id,
        webhook=letter.webhook,
        type=letter.type,
        rule=letter.rule,
        sensor=letter.sensor,
        state=letter.state,
        sequence=letter.sequence,
        attempts=attempts_of(letter),
        time=rfc3339(letter.wall),
        clock="synced" if letter.synced else "unsynced",
        age_s=max(0.0, now - letter.created_at),
        next_attempt_s=max(0.0, letter.due_at - now) if waits else None,
        expires_s=max(0.0, letter.expires_at - now) if waits else None,
        settled_s=None if letter.settled_at is None else max(0.0, now - letter.settled_at),
        body=None if letter.content is None else hiding(webhook, letter.content.body),
    )


def whole_of(letter: Letter, now: float, webhook: Webhook | None) -> WholeDelivery:
    """The same with its log, its request, and whether the alert that it tells of is over. Asks for its content."""
    if letter.content is None:
        raise ValueError("the content was not read")
    facts = delivery_of(letter, now, webhook)
    return WholeDelivery(
        **{name: getattr(facts, name) for name in DeliveryFacts.__dataclass_fields__},
        resolved=bool(letter.resolved),
        log=[_attempt(attempt, now, webhook) for attempt in letter.log],
        request=shown_request(webhook, letter.content, letter.id),
    )


def page_of(letters: Sequence[Letter], limit: int, now: float, webhooks: Mapping[str, Webhook]) -> Page:
    """A page of deliveries, and the number behind which the next one begins, where there may be one."""
    following = letters[-1].number if letters and len(letters) == limit else None
    return Page([delivery_of(letter, now, webhooks.get(letter.webhook)) for letter in letters], following)


def standing_of(standing: Standing, counters: Counters, now: float, *, known: bool) -> WebhookFacts:
    """A webhook while no agent runs, as the status tells of it; `known`: whether the configuration has it."""
    resting_s = None if standing.resting_until is None else max(0.0, standing.resting_until - now)
    states = {"removed": not known, "disabled": standing.disabled, "resting": resting_s is not None}
    waits = standing.next_due_at is not None and known and not standing.disabled
    return WebhookFacts(
        state=next((state for state, true in states.items() if true), "idle"),
        **conserved([counters]),
        resting_s=resting_s,
        next_attempt_s=max(0.0, (standing.next_due_at or 0.0) - now, resting_s or 0.0) if waits else None,
        last_error=standing.last_error,
    )


def _attempt(attempt: Attempt, now: float, webhook: Webhook | None) -> AttemptFacts:
    return AttemptFacts(
        time=rfc3339(attempt.wall),
        ago_s=max(0.0, now - attempt.at),
        duration_ms=round(attempt.duration_s * 1000, 1),
        status=attempt.status,
        error=attempt.error,
        answer=hiding(webhook, attempt.answer),
    )
