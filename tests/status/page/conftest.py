"""An outbox with a few events in it, written once for all tests of the page."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.model import Attempt, Ending, Event, Settlement
from agent.outbox import Outbox
from tests.outbox.parts import event, opened, owe
from tests.status.page.parts import WALL
from tests.support.hands import HandClock


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """evt_1 is delivered to both, evt_2 dead at ops, evt_3 and evt_4 (of a hostile sensor) are pending.

    At phone evt_1 was delivered at the second attempt.
    """
    folder = tmp_path_factory.mktemp("page")
    asyncio.run(_write(folder))
    yield next(folder.glob("*.db"))


async def _write(folder: Path) -> None:
    clock = HandClock()
    async with opened(folder, clock, webhooks=("ops", "phone")) as (outbox, _):
        await owe(outbox, clock, told(1, "resolved"), told(2), told(3))
        await _settle(outbox, clock, "ops", Ending.DELIVERED, None)
        failure = Attempt(clock.now(), WALL - 900, 0.5, 503, "HTTP 503", b"")
        await _settle(outbox, clock, "phone", Ending.AGAIN, failure)
        await _settle(outbox, clock, "phone", Ending.DELIVERED, None)
        refusal = Attempt(clock.now(), WALL - 600, 0.25, 400, "HTTP 400", b"<script>no</script>\n\xe2\x80\xae")
        await _settle(outbox, clock, "ops", Ending.DEAD, refusal)
        await owe(outbox, clock, told(4, subject="a.<b>\u202e"))


def told(number: int, what: str = "firing", subject: str = "freezer.temperature") -> Event:
    """An event, ten minutes after the one before."""
    made = event(number, to=("ops", "phone"), subject=subject, type=f"sensor.alert.{what}", rule="too_warm")
    return replace(made, wall=WALL - 3600 + 600 * number)


async def _settle(outbox: Outbox, clock: HandClock, name: str, ending: Ending, attempt: Attempt | None) -> None:
    (delivery,) = await outbox.mailboxes[name].due(clock.now(), 1)
    outbox.mailboxes[name].settle(Settlement(delivery, ending, due_at=clock.now(), attempts=1, attempt=attempt))
    await owe(outbox, clock)
