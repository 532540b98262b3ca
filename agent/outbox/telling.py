"""What the outbox has to tell of itself: what was dropped, what the card has damaged. Each at most once a minute."""

import logging
from collections.abc import Callable, Iterable

from agent.model import Notice
from agent.outbox.losses import Drop, Losses, damaged

log = logging.getLogger(__name__)

_LOGGED_EVERY_S = 3600.0
"""That the outbox is full: the log is on the same card."""


class Telling:
    """Gathers it, and tells it with the next look through the file, or behind the next commit."""

    def __init__(self) -> None:
        self._dropped = Losses()
        self._damaged = Losses(damaged)
        self.notices: list[Notice] = []
        """What was found and is not told yet."""
        self._logged_at = -_LOGGED_EVERY_S
        self.tell: Callable[[Notice], None] = lambda _: None
        """Called with each notice; at a start there is nobody yet."""

    def found(self, notice: Notice) -> None:
        """Tell this."""
        self.notices.append(notice)

    def dropped(self, drops: Iterable[Drop], *, own: bool) -> None:
        """Tell what was dropped; `own`: nothing but notices such as these made it go (`Losses`)."""
        self._dropped.note(drops, own=own)

    def damaged(self, drop: Drop) -> None:
        """Tell of a delivery whose bytes are damaged."""
        self._damaged.note([drop], own=False)

    def tell_due(self, now: float) -> None:
        """Tell what may be told by now."""
        found, self.notices = self.notices, []
        for notice in [*found, *self._damaged.take(now)]:
            self.tell(notice)
        for notice in self._dropped.take(now):
            if now >= self._logged_at + _LOGGED_EVERY_S:
                self._logged_at = now
                log.warning("the outbox is full: %d dropped for %s", notice.data["dropped"], notice.about)
            self.tell(notice)
