"""A clock that is set by hand."""

from agent.model import Moment


class HandClock:
    """Stands still until it is moved."""

    def __init__(self, now: float = 1000.0, wall: float = 1_790_000_000.0, *, synced: bool = True) -> None:
        self.at, self.unix, self.synced = now, wall, synced
        self.offset_s = 0.0
        self.boot = "first boot"

    def boot_id(self) -> str:
        return self.boot

    def now(self) -> float:
        return self.at + self.offset_s

    def wall(self) -> float:
        return self.unix

    def moment(self) -> Moment:
        return Moment(self.now(), self.unix, self.synced)

    def advance(self, seconds: float) -> None:
        self.at += seconds
        self.unix += seconds
