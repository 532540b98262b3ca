"""What the status page, its JSON and the CLI show: one snapshot of the agent."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from agent.status.words import age
from agent.webhooks.tally import Histogram

SKEW_SHOWN_S = 120.0


@dataclass(frozen=True, slots=True)
class HeartbeatFacts:
    """What became of the heartbeats to one webhook, since the start."""

    sent: int
    failed: int
    skipped: int
    """Not sent, since the agent did not live, or the webhook is disabled."""
    last_error: str | None
    """Of the last one that was sent; None: it arrived."""


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """Who answers."""

    id: str
    name: str
    version: str
    uptime_s: float
    clock: str
    """synced, unsynced (no sign of being right) or implausible (surely wrong)"""
    reload_error: str | None = None
    """Why the last reload changed nothing; None: it went well, or there was none."""
    needs_restart: tuple[str, ...] = ()
    """Keys of the configuration whose change waits for a restart."""
    clock_skew_s: float | None = None
    """How far the clock is ahead of that of the receiver that agrees with it most; None: none has told the time."""
    heartbeats: Mapping[str, HeartbeatFacts] = field(default_factory=dict)
    """By webhook."""


@dataclass(frozen=True, slots=True)
class OutboxFacts:
    """Conservation, summed over the webhooks, and the file."""

    owed: int
    delivered: int
    pending: int
    dead: int
    dropped: int
    dropped_by: Mapping[str, int]
    balanced: bool
    """Whether owed = delivered + pending + dead + dropped for each webhook."""
    oldest_pending_s: float | None
    size_bytes: int
    written_bytes_today: int | None
    degraded: str | None
    """Why nothing can be committed at the moment."""


@dataclass(frozen=True, slots=True)
class WebhookFacts:
    """Conservation for one webhook, and its courier."""

    state: str
    owed: int
    delivered: int
    pending: int
    dead: int
    dropped: int
    dropped_by: Mapping[str, int]
    resting_s: float | None = None
    next_attempt_s: float | None = None
    last_error: str | None = None
    in_flight: int = 0
    succeeded: int = 0
    failed: int = 0
    attempts_by: Mapping[str, int] = field(default_factory=dict)
    """Outcome -> attempts since the start."""
    histogram: Histogram = field(default_factory=Histogram)
    """How long these attempts took."""
    success_rate: float | None = None
    """Of the last attempts, from 0 to 1, as are p50 and p95; None: there was none."""
    p50_ms: float | None = None
    p95_ms: float | None = None


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What came from one source since the start."""

    state: str
    detail: str
    messages: int
    repeats: int
    refused: int
    refused_by: Mapping[str, int]
    last_refusal: str | None = None


@dataclass(frozen=True, slots=True)
class SensorFacts:
    """What a sensor said last."""

    value: Any
    unit: str | None
    age_s: float | None
    refused: int
    last_refusal: str | None


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """Where a rule stands: for each sensor that it has a memory of."""

    sensor: str
    severity: str
    heard: bool
    """Whether a sensor that it watches has said anything since the start."""
    states: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """sensor -> {state, since_s, alert_id, throttled}"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of it."""

    agent: AgentFacts
    outbox: OutboxFacts
    webhooks: Mapping[str, WebhookFacts]
    sources: Mapping[str, SourceFacts]
    sensors: Mapping[str, SensorFacts]
    rules: Mapping[str, RuleFacts]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def troubles(self) -> list[str]:
        """What a person should look at, a sentence each; empty: all is well."""
        found = []
        if self.agent.reload_error:
            found.append(f"the last reload changed nothing: {self.agent.reload_error}")
        if self.outbox.degraded:
            found.append(f"the outbox cannot be written: {self.outbox.degraded}")
        if not self.outbox.balanced:
            found.append("the counters of the outbox do not balance")
        found += self._clock_troubles()
        for name, beats in self.agent.heartbeats.items():
            if beats.last_error:
                found.append(f"the last heartbeat to {name} did not arrive: {beats.last_error}")
        for name, source in self.sources.items():
            if source.state != "open":
                found.append(f"source {name} is {source.state}: {source.detail or 'not open yet'}")
        for name, webhook in self.webhooks.items():
            if webhook.state in ("resting", "disabled", "misconfigured", "failing"):
                why = f": {webhook.last_error}" if webhook.last_error else ""
                found.append(f"webhook {name} is {webhook.state}{why}")
        return found

    def _clock_troubles(self) -> list[str]:
        skew_s = self.agent.clock_skew_s or 0.0
        if self.agent.clock == "implausible":
            return ["the clock is surely wrong: it is from before this program was made"]
        if abs(skew_s) > SKEW_SHOWN_S:
            return [f"the clock is {age(abs(skew_s))} {'ahead of' if skew_s > 0 else 'behind'} that of the receivers"]
        return []
