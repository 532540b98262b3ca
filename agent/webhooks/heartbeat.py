"""A dead man's switch: says at intervals that the agent lives, to one who raises the alarm where it falls silent.

Sent now or not at all, so never in the outbox and without a sequence; what fails is counted and not tried again.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from agent.clock import DeviceClock
from agent.model import Content, Event
from agent.webhooks.config import Webhook
from agent.webhooks.headers import signed
from agent.webhooks.retry import Outcome
from agent.webhooks.transport import Transport

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Beats:
    """What became of them, since the start."""

    sent: int = 0
    failed: int = 0
    skipped: int = 0
    """Not sent, since the agent did not live, or the webhook is disabled."""
    last_error: str | None = None
    """Of the last one that was sent; None: it arrived."""


class Heartbeat:
    """Of one webhook: `run` until cancelled."""

    def __init__(
        self,
        name: str,
        webhook: Webhook,
        every_s: float,
        event: Callable[[], Event],
        write: Callable[[Event], Content],
        lives: Callable[[], bool],
        clock: DeviceClock,
    ) -> None:
        """`event` makes the next one, `write` what is sent of it; `lives` says whether it may be sent."""
        self._name, self._webhook, self._every_s = name, webhook, every_s
        self._event, self._write, self._lives, self._clock = event, write, lives, clock
        self._transport = Transport(webhook, clock.wall)
        self.beats = Beats()

    async def run(self) -> None:
        """Send the first one at once."""
        try:
            while True:
                began_at = self._clock.now()
                await self._beat()
                await asyncio.sleep(max(0.0, began_at + self._every_s - self._clock.now()))
        finally:
            await self._transport.close()

    async def _beat(self) -> None:
        if not self._lives():
            self.beats.skipped += 1
            return
        event = self._event()
        webhook, timestamp = self._webhook, int(self._clock.wall())
        try:
            content = self._write(event)
            headers = signed(webhook.signature, webhook.keys, event.id, timestamp, content.body)
            outcome = await self._transport.post(content.body, {**content.headers, **headers}, content.suffix)
        except Exception as error:  # a task may not end
            log.exception("%s: a heartbeat failed in a way that should not be", self._name)
            outcome = Outcome(duration_s=0.0, error="failed", detail=type(error).__name__)
        self._note(outcome)

    def _note(self, outcome: Outcome) -> None:
        if outcome.status is not None and 200 <= outcome.status < 300:
            self.beats.sent += 1
            self.beats.last_error = None
            return
        self.beats.failed += 1
        told = self.beats.last_error
        self.beats.last_error = f"HTTP {outcome.status}" if outcome.status else f"{outcome.error}: {outcome.detail}"
        if told is None:
            log.warning("%s: a heartbeat did not arrive: %s", self._name, self.beats.last_error)
