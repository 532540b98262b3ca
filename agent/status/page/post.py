"""Reads deliveries for the page: beside the loop, and the newest only when something may have become of them."""

import asyncio
import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

from agent.outbox import Archive, Filter, Letter, Span
from agent.status.events import WholeDelivery, whole_of
from agent.webhooks.config import Webhook

log = logging.getLogger(__name__)

_READ_ANEW_S = 5.0
_KEPT_MAX = 32
"""Filters whose newest deliveries are kept."""


class _Kept(NamedTuple):
    mark: Hashable
    at: float
    letters: Sequence[Letter]


class Post:
    """What became of the events, as far as the outbox still knows it."""

    def __init__(
        self, archive: Archive, webhooks: Callable[[], Mapping[str, Webhook]], now: Callable[[], float]
    ) -> None:
        """`webhooks` hide their secrets; `now` is on the agent's time line."""
        self._archive, self._webhooks, self._now = archive, webhooks, now
        self._kept: dict[tuple[Filter, int], _Kept] = {}

    async def newest(self, wanted: Filter, limit: int, mark: Hashable) -> Sequence[Letter]:
        """The newest that match, read anew where the mark is another one, and each few seconds.

        Where the file cannot be read at the moment, those that were read before.
        """
        now, what = self._now(), (wanted, limit)
        kept = self._kept.get(what)
        if kept is not None and kept.mark == mark and now - kept.at < _READ_ANEW_S:
            return kept.letters
        letters = await self.find(wanted, limit)
        if letters is None:
            return kept.letters if kept else ()
        self._kept.pop(what, None)
        while len(self._kept) >= _KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[what] = _Kept(mark, now, letters)
        return letters

    async def find(self, wanted: Filter, limit: int, before: int | None = None) -> Sequence[Letter] | None:
        """A page of those that match, the newest first; None: the file cannot be read at the moment."""
        span = Span(0, None if before is None else before - 1)
        try:
            return await asyncio.to_thread(self._archive.find, wanted, span, limit, newest=True)
        except Exception as error:  # noqa: BLE001 of SQLite, which nobody outside of the outbox knows
            log.warning("the page shows no events: the outbox cannot be read: %s", error)
            return None

    async def whole(self, event_id: str) -> list[tuple[Letter, WholeDelivery]]:
        """All deliveries of one event, with what was sent and answered, and without secrets."""
        found = await asyncio.to_thread(self._archive.whole, event_id)
        known, now = self._webhooks(), self._now()
        return [(letter, whole_of(letter, now, known.get(letter.webhook))) for letter in found]
