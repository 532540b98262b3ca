"""A token bucket: how many may come, without I/O."""

from drivers.units import RateLimit


class TokenBucket:
    """Full at first; it fills again evenly."""

    def __init__(self, limit: RateLimit) -> None:
        self._times = float(limit.times)
        self._per_s = limit.times / limit.within_s
        self._left = self._times
        self._at: float | None = None

    def wait_s(self, now: float) -> float:
        """Take one. Returns 0.0, or after how many seconds there will be one."""
        if self._at is not None:
            self._left = min(self._times, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self._per_s
        self._left -= 1
        return 0.0
