"""The timers of a step: the engine's, which stay as they are, for it may be let go of, and those that it stages."""

import heapq
from collections.abc import Callable, Iterable, Sequence

from agent.rules.memory import Key

Timer = tuple[float, Key]
"""When a memory changes by itself, on the agent's time line."""


class Timers:
    """An entry counts only while the memory agrees with it."""

    __slots__ = ("_installed", "_passed", "_staged")

    def __init__(self, installed: Sequence[Timer]) -> None:
        """`installed`: in order."""
        self._installed = installed
        self._passed = 0
        """How many of those are behind."""
        self._staged: list[Timer] = []
        """A heap."""

    def add(self, due: float, key: Key) -> None:
        """Stage one."""
        heapq.heappush(self._staged, (due, key))

    def restart(self, staged: Iterable[Timer]) -> None:
        """Go back to the engine's and these."""
        self._staged = sorted(staged)
        self._passed = 0

    def may_be_due(self, until: float) -> bool:
        """Whether one may be over by then: quickly told, for it asks no memory."""
        installed, passed, staged = self._installed, self._passed, self._staged
        return (passed < len(installed) and installed[passed][0] <= until) or (
            len(staged) > 0 and staged[0][0] <= until
        )

    def first(self, due: Callable[[Key], float | None]) -> Timer | None:
        """The first that still counts; `due`: when a memory changes by itself."""
        installed, staged = self._installed, self._staged
        while self._passed < len(installed) and due(installed[self._passed][1]) != installed[self._passed][0]:
            self._passed += 1
        while staged and due(staged[0][1]) != staged[0][0]:
            heapq.heappop(staged)
        return min((*installed[self._passed : self._passed + 1], *staged[:1]), default=None)
