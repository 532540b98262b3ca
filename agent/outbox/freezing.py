"""The bytes of an event whose time is not sure become final before its first attempt, with its time corrected.

Each is asked for by a courier, rides in the next commit, and lets the courier go on when it is durable.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence

from agent.clock import plausible
from agent.model import Delivery, Moment
from agent.outbox import untimed, waiting
from agent.outbox.batch import Envelope, Frozen
from agent.outbox.worker import Worker

log = logging.getLogger(__name__)


class Freezing:
    """Those that are asked for. Its length is how many wait for a commit."""

    def __init__(self, worker: Worker, ask_for_commit: Callable[[], None]) -> None:
        self._worker = worker
        self._ask_for_commit = ask_for_commit
        self._asked: dict[int, tuple[Delivery, asyncio.Future[None]]] = {}

    def __len__(self) -> int:
        return len(self._asked)

    @property
    def is_urgent(self) -> bool:
        """Whether some attempt waits for the next commit."""
        return bool(self._asked)

    async def freeze(self, delivery: Delivery) -> None:
        """Make the bytes of a delivery final, with its time corrected if the clock is right by now.

        They are durable when it returns.
        """
        frozen = asyncio.get_running_loop().create_future()
        self._asked[delivery.id] = delivery, frozen
        self._ask_for_commit()
        await frozen

    async def frozen(self, moment: Moment, envelope: Envelope) -> list[Frozen]:
        """What the next batch is to freeze."""
        asked = {number: delivery for number, (delivery, _) in self._asked.items()}
        events: Mapping[int, str] = {}
        if asked and plausible(moment.wall):
            try:
                events = await self._worker.ask(waiting.untimed, list(asked))
            except sqlite3.Error as error:
                await self._worker.recover(error)
                return []
        return [_frozen(delivery, events.get(number), moment, envelope) for number, delivery in asked.items()]

    def thaw(self, frozen: Sequence[Frozen]) -> None:
        """They are durable: let those go on who waited for it."""
        for number, content in ((one.delivery.id, one.content) for one in frozen):
            delivery, asked = self._asked.pop(number)
            delivery.untimed = False
            if content is not None:
                delivery.body, delivery.headers, delivery.suffix = content.body, content.headers, content.suffix
            if not asked.done():
                asked.set_result(None)


def _frozen(delivery: Delivery, text: str | None, moment: Moment, envelope: Envelope) -> Frozen:
    """What is to be sent of a delivery; where it cannot be written anew, what was written first."""
    try:
        event = None if text is None else untimed.timed(untimed.load(text), moment)
        if event is not None:
            return Frozen(delivery, event, envelope(event, delivery.webhook, delivery.sequence))
    except Exception:
        log.exception("the time of %s could not be corrected", delivery.event_id)
    return Frozen(delivery)
