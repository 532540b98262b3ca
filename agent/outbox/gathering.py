"""What couriers give back: it waits for the next commit, which takes it along."""

import logging
from collections.abc import Callable

from agent.model import Attempt, Delivery, Ending, Moment, Rest, Settlement
from agent.outbox.batch import Batch
from agent.outbox.losses import Drop
from agent.outbox.telling import Telling

log = logging.getLogger(__name__)

MARKS_MAX = 4096
"""While so many marks wait for a commit nothing is lent, so that a full disk does not fill the memory too."""


class Gathering:
    """Marks of deliveries, and what is kept of breakers. Its length is how many wait."""

    def __init__(self, telling: Telling, moment: Callable[[], Moment]) -> None:
        self._telling, self._moment = telling, moment
        self._settled: list[Settlement] = []
        self._rests: dict[str, Rest] = {}
        self.crowded = False
        """Whether so many marks wait for a commit that nothing may be lent."""
        self.on_mark: Callable[[], None] = lambda: None
        """Called when something waits for a commit."""

    def __len__(self) -> int:
        return len(self._settled) + len(self._rests)

    def settle(self, settlement: Settlement) -> None:
        """A mark for the next commit."""
        self._settled.append(settlement)
        self.crowded = self.crowded or len(self._settled) >= MARKS_MAX
        self.on_mark()

    def remember(self, rest: Rest) -> None:
        """What is kept of a breaker, for the next commit."""
        self._rests[rest.webhook] = rest
        self.on_mark()

    def ask_for_commit(self) -> None:
        """Let there be one soon, whether or not a mark waits."""
        self.on_mark()

    def given_up(self, delivery: Delivery) -> Settlement:
        """The mark of a delivery whose bytes are damaged: it is dead, and that will be told."""
        log.error("%s for %s is damaged and will not be sent", delivery.event_id, delivery.webhook)
        self._telling.damaged(Drop(delivery.webhook, "damaged", delivery.sequence))
        moment = self._moment()
        attempt = Attempt(moment.at, moment.wall, 0.0, None, "damaged: its checksum is wrong, it was not sent", b"")
        return Settlement(delivery, Ending.DEAD, attempts=delivery.attempts, attempt=attempt)

    def gather(self, batch: Batch) -> None:
        """Let all that waits ride in a batch."""
        batch.settled, self._settled = [*batch.settled, *self._settled], []
        rests = {rest.webhook: rest for rest in batch.rests} | self._rests
        batch.rests, self._rests = list(rests.values()), {}

    def give_back(self, batch: Batch) -> None:
        """A batch was refused: what rode in it waits again, before what came meanwhile."""
        self._settled[:0] = batch.settled
        self._rests = {rest.webhook: rest for rest in batch.rests} | self._rests
