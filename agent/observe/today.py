"""What was written since midnight: the kernel counts for this process, since its start."""

from collections.abc import Callable
from datetime import date, datetime, tzinfo


class Today:
    """Told the time again and again, it notes the count when a day begins, though nobody looks then."""

    def __init__(self, wall: float, zone: tzinfo) -> None:
        """`wall`: of the start, in Unix seconds. All that this process has written is of that day."""
        self._day = _day(wall, zone)
        self._before: int | None = 0

    def follow(self, wall: float, zone: tzinfo, written_bytes: Callable[[], int | None]) -> None:
        """It is so late; `written_bytes` since the start, asked only where a day has begun."""
        day = _day(wall, zone)
        if day != self._day:
            self._day, self._before = day, written_bytes()

    def of(self, written_bytes: int | None) -> int | None:
        """Of those since the start, what is of today; None: not known."""
        return None if written_bytes is None or self._before is None else written_bytes - self._before


def _day(wall: float, zone: tzinfo) -> date:
    return datetime.fromtimestamp(wall, zone).date()
