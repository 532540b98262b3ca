"""What was written since midnight: the kernel counts for this process, since its start."""

from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo


class Today:
    """Told the time again and again, it notes the count when a day begins, though nobody looks then."""

    def __init__(self, wall: float, zone: tzinfo) -> None:
        """`wall`: of the start, in Unix seconds. All that this process has written is of that day."""
        self._zone = zone
        self._begins_at, self._ends_at = _day(wall, zone)
        self._before: int | None = 0

    def follow(self, wall: float, zone: tzinfo, written_bytes: Callable[[], int | None]) -> None:
        """It is so late; `written_bytes` since the start, asked only where a day has begun."""
        if self._begins_at <= wall < self._ends_at and zone is self._zone:
            return
        day, self._zone = _day(wall, zone), zone
        if day != (self._begins_at, self._ends_at):
            (self._begins_at, self._ends_at), self._before = day, written_bytes()

    def of(self, written_bytes: int | None) -> int | None:
        """Of those since the start, what is of today; None: not known."""
        return None if written_bytes is None or self._before is None else written_bytes - self._before


def _day(wall: float, zone: tzinfo) -> tuple[float, float]:
    """When the day of a time begins and ends, in Unix seconds: it may have 23 or 25 hours."""
    midnight = datetime.fromtimestamp(wall, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight.timestamp(), (midnight + timedelta(days=1)).timestamp()
