"""Which deliveries the couriers have, asked by the worker thread before it drops one.

The couriers are lent deliveries while a commit is on its way on another thread. So that none is lent and dropped at
once, both claim it here, and who comes second is refused.
"""

import threading
from collections import Counter
from collections.abc import Iterable


class Claims:
    """Safe to use from both threads."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._lent: Counter[int] = Counter()
        """How often each was lent for which no mark is durable yet."""
        self._doomed: set[int] = set()

    def lend(self, delivery_id: int) -> bool:
        """Claim a delivery for a courier. Returns False where it is about to be dropped."""
        with self._mutex:
            if delivery_id in self._doomed:
                return False
            self._lent[delivery_id] += 1
            return True

    def give_back(self, delivery_id: int) -> None:
        """A courier has it no more, and what became of it is durable."""
        with self._mutex:
            self._lent[delivery_id] -= 1
            if self._lent[delivery_id] <= 0:
                del self._lent[delivery_id]

    def doom(self, delivery_ids: Iterable[int]) -> bool:
        """Claim deliveries to drop them, all or none. Returns False where a courier has one."""
        wanted = set(delivery_ids)
        with self._mutex:
            if not wanted.isdisjoint(self._lent):
                return False
            self._doomed |= wanted
            return True

    def spare(self) -> None:
        """Nothing is about to be dropped: the commit is over, or did not take place."""
        with self._mutex:
            self._doomed.clear()
