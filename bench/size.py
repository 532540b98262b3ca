"""How much is measured, and how long is waited for what happens by itself."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Of one round; three of them last some twelve minutes on two quiet cores."""

    warm: int = 1_500
    """Readings before the first that count: they open connections, and Node compiles what is hot."""
    flood: int = 6_000
    paced: int = 300
    """Readings at 100 a second."""
    killed: int = 1_500
    unchanged: int = 30_000
    """Readings that change nothing."""
    limits_s: float = 3.0
    idle_s: float = 15.0
    lone: int = 10
    """Events with nothing before and after them."""
    away: int = 300
    """Readings at 100 a second while the receiver is away."""
    waiting: int = 100_000
    begun_s: float = 3.0
    """Until what belongs to a start has ended."""
    calm_s: float = 2.0
    """Until all that was caused is written: bellcrank's marks ride in the next commit, at the latest after 1 s."""
    quiet_s: float = 4.0
    """What has not come when nothing has come for so long will not come: more than bellcrank's rest of 2 s."""
