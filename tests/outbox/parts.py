"""What the outbox tests share.

Events, an envelope that shows its sequence, an outbox that is opened and closed.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from agent.model import Content, Delivery, Ending, Event, Moment, Settlement
from agent.outbox import Batch, Limits, Loaded, Outbox
from agent.outbox.bounds import DEFAULTS
from tests.support.hands import HandClock

WEEK_S = 7 * 86400.0


def event(
    number: int,
    *,
    to: Sequence[str] = ("ops",),
    subject: str = "a.t",
    at: float = 1000.0,
    type: str = "sensor.event",  # noqa: A002
    **more: object,
) -> Event:
    return Event(
        id=f"evt_{number}",
        type=type,
        subject=subject,
        at=at,
        wall=at,
        synced=True,
        send_to=tuple(to),
        **more,  # type: ignore[arg-type]
    )


def body(told: Event, _webhook: str, sequence: int) -> Content:
    return Content(f"{told.id} is {sequence}".encode())


@asynccontextmanager
async def opened(
    state: Path,
    clock: HandClock,
    webhooks: Sequence[str] = ("ops",),
    expires_s: float = WEEK_S,
    unordered: Sequence[str] = (),
    limits: Limits = DEFAULTS,
) -> AsyncIterator[tuple[Outbox, Loaded]]:
    outbox = Outbox(state, dict.fromkeys(webhooks, expires_s), unordered, limits)
    try:
        loaded = await outbox.open(clock)
        yield outbox, loaded
    finally:
        await outbox.close()


def batch_of(outbox: Outbox, moment: Moment, *events: Event) -> Batch:
    draft = outbox.draft(moment, body)
    draft.owe(events)
    return draft.batch()


async def owe(outbox: Outbox, clock: HandClock, *events: Event) -> None:
    await outbox.commit(batch_of(outbox, clock.moment(), *events))


def done(delivery: Delivery, ending: Ending = Ending.DELIVERED) -> Settlement:
    return Settlement(delivery, ending)


async def deliver(outbox: Outbox, clock: HandClock, name: str, n: int) -> list[Delivery]:
    """Send and settle n deliveries, one after another."""
    sent = []
    for _ in range(n):
        (delivery,) = await outbox.mailboxes[name].due(clock.now(), 1)
        outbox.mailboxes[name].settle(done(delivery))
        sent.append(delivery)
    return sent
