"""The section `outbox`: what waits, and how much of it is kept."""

from typing import Annotated

from pydantic import Field, field_validator

from agent.outbox.bounds import DEFAULTS, Limits
from drivers.settings import Settings
from drivers.units import Duration, Size, format_size

_BYTES_MIN = 10**6
"""Below it the memory of rules and the ledgers leave hardly any room for events."""


class OutboxConfig(Settings):
    """What waits, and how much of it is kept."""

    max_size: Size = DEFAULTS.max_bytes
    """Of the database; its log may take as much again while somebody else reads it."""
    max_events: Annotated[int, Field(ge=1)] = DEFAULTS.max_events
    """Events that some webhook is still owed."""
    min_free: Size | None = None
    """Of the disk, that are left alone; the smaller of 32 MB and 5 % where it is left out."""
    keep_delivered: Duration = DEFAULTS.keep_delivered_s
    """How long what was delivered can be looked at."""
    keep_dead: Duration = DEFAULTS.keep_dead_s
    """How long dead letters can be replayed."""

    @field_validator("max_size")
    @classmethod
    def _is_enough(cls, max_size: int) -> int:
        if max_size < _BYTES_MIN:
            raise ValueError(f"has to be at least {format_size(_BYTES_MIN)}")
        return max_size

    def limits(self) -> Limits:
        """As the outbox takes them."""
        return Limits(self.max_size, self.max_events, self.min_free, self.keep_delivered, self.keep_dead)
