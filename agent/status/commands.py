"""What may be changed while the agent runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.outbox import Filter, Moved, Span


class ReloadRefused(Exception):
    """The configuration file is bad: nothing has changed. The message says all that is wrong, a line each."""


class WebhookDisabled(Exception):
    """Nothing is sent to this webhook until it is enabled."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a test event."""

    status: int | None
    """That was answered; null: no HTTP answer."""
    error: str | None
    """What was the matter, for people; null: it was taken (2xx)."""
    duration_s: float


class Commands(Protocol):
    """Each is durable when it returns; of a webhook they return False, or None, where there is none of this name."""

    async def reload(self) -> Sequence[str]:
        """Apply the configuration file. Returns the keys that wait for a restart. Raises ReloadRefused."""

    async def forget(self, sensor: str) -> bool:
        """Forget all of a sensor. Returns whether anything was known of it."""

    async def enable(self, webhook: str) -> bool:
        """Let a webhook be tried again."""

    async def disable(self, webhook: str) -> bool:
        """Send nothing to a webhook, and keep its queue."""

    async def retry(self, webhook: str) -> bool:
        """End a rest, and try now all that waits. Raises WebhookDisabled."""

    async def test(self, webhook: str) -> Tried | None:
        """Send a test event now, outside the queue: never owed, and counted nowhere."""

    async def replay(self, wanted: Filter, span: Span) -> Moved:
        """Send again what was delivered or is dead, a step of the span."""

    async def discard(self, wanted: Filter, span: Span) -> Moved:
        """Give up what is pending or dead, a step of the span."""
