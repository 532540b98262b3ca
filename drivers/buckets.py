"""A token bucket: how many may come, without I/O."""

from drivers.units import RateLimit


class TokenBucket:
    """Full at first; it fills again evenly."""

    def __init__(self, limit: RateLimit, burst_s: float | None = None) -> None:
        """`burst_s`: at most what the rate gives in such a time may come at once, and at least one; None: all of it."""
        self._per_s = limit.times / limit.within_s
        self._most = max(1.0, self._per_s * (limit.within_s if burst_s is None else burst_s))
        self._left = self._most
        self._at: float | None = None

    def wait_s(self, now: float) -> float:
        """Take one. Returns 0.0, or after how many seconds there will be one."""
        wait_s = self.next_s(now)
        if not wait_s:
            self.take(1)
        return wait_s

    def next_s(self, now: float) -> float:
        """After how many seconds there will be one; 0.0: there is one."""
        self._fill(now)
        return max(0.0, (1 - self._left) / self._per_s)

    def left(self, now: float) -> int:
        """How many may come now."""
        self._fill(now)
        return int(self._left)

    def take(self, n: int) -> None:
        """Take some of those that are left."""
        self._left -= n

    def _fill(self, now: float) -> None:
        if self._at is not None:
            self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
