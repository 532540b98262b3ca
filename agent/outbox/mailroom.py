"""All mailboxes: those of the configuration, and those of webhooks that have left it while the agent runs."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from agent.model import Settlement
from agent.outbox.batch import Gone
from agent.outbox.claims import Claims
from agent.outbox.file import File
from agent.outbox.freezing import Freezing
from agent.outbox.gathering import Gathering
from agent.outbox.mailbox import Mailbox
from agent.outbox.worker import Worker


class Mailroom:
    """What a commit does to them, and what they read beside the work."""

    def __init__(self, worker: Worker, gathering: Gathering, freezing: Freezing, claims: Claims) -> None:
        self._worker, self._gathering, self._freezing, self._claims = worker, gathering, freezing, claims
        self._reading: set[asyncio.Task[None]] = set()
        self.mailboxes: dict[str, Mailbox] = {}

    def wanted(self, webhooks: Iterable[str], unordered: Collection[str]) -> dict[str, Mailbox]:
        """New mailboxes for those that have none yet, or one of another order. They are to be opened."""
        boxes, orders = self.mailboxes, {name: name not in unordered for name in webhooks}
        return {
            name: Mailbox(name, self._worker, self._gathering, self._freezing, self._claims, ordered=ordered)
            for name, ordered in orders.items()
            if name not in boxes or boxes[name].ordered is not ordered
        }

    def take_in(self, new: Mapping[str, Mailbox]) -> None:
        """Go on with these, which are open, too; of one whose order is another now all that waited is due at once."""
        for name in new.keys() & self.mailboxes.keys():
            self.mailboxes[name].take_back()
            new[name].release(every=True)
        self.mailboxes.update(new)
        for mailbox in self.mailboxes.values():
            mailbox.share(len(self.mailboxes))
        for mailbox in new.values():
            if not mailbox.whole:
                self._beside(mailbox.read_on())

    def follow(self, settled: Iterable[Settlement], gone: Sequence[Gone]) -> None:
        """A batch was committed: `settled` were given back, `gone` are no longer pending."""
        for settlement in settled:
            self._claims.give_back(settlement.delivery.id)
        self.spare()
        by_webhook: defaultdict[str, list[Gone]] = defaultdict(list)
        for one in gone:
            by_webhook[one.webhook].append(one)
        for name, theirs in by_webhook.items():
            if mailbox := self.mailboxes.get(name):
                mailbox.forget(theirs)
                self._beside(mailbox.refresh())

    def spare(self) -> None:
        """No commit is on its way: what was about to be dropped and was not may be lent again."""
        self._claims.spare()
        for mailbox in self.mailboxes.values():
            mailbox.put_back()

    def wake(self) -> None:
        """Something may be lent again."""
        for mailbox in self.mailboxes.values():
            mailbox.changed.set()

    @property
    def waiting_until(self) -> float:
        """Until then some first attempt may wait for a right clock."""
        return max((mailbox.waiting_until for mailbox in self.mailboxes.values()), default=0.0)

    def release_untimed(self) -> None:
        """The year can be right: no first attempt waits any more."""
        for mailbox in self.mailboxes.values():
            mailbox.release_untimed()

    async def close(self) -> None:
        """Read no more."""
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)

    def _beside(self, reading: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(reading)
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)


def open_all(mailboxes: Mapping[str, Mailbox], file: File) -> None:
    """Read the first part of what the file has waiting for each, on the worker thread."""
    for mailbox in mailboxes.values():
        mailbox.open(file)
