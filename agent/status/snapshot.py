"""What the status page, its JSON, the metrics and the CLI show: one snapshot of the agent.

A snapshot has all that there is only once of it, and of the sensors those of a `Window`: an agent may have thousands,
and a page is renewed each second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from agent.model import DROP_REASONS, Counters
from agent.status.history import History
from agent.status.words import age, size
from agent.webhooks.tally import Histogram

SKEW_SHOWN_S = 120.0
UNSETTLED_MAX = 100
"""Of the states of one rule that are alike and not ok, so many are in every snapshot, whatever its window."""
TRENDS_MAX = 200
"""So many sensors of a snapshot have their trend."""
_NEARLY_FULL = 0.9
"""Of a bound of the outbox."""
_WAITS_LONG_S = 600.0
"""In an outbox that is nearly full."""
_SHOWN_CHARS = 60
"""Of a text, in a headline."""
_WORST_FIRST = {"critical": 0, "warning": 1, "info": 2}


class Window(NamedTuple):
    """Which sensors a snapshot has: of those whose name contains the query, sorted by name."""

    query: str = ""
    """Upper and lower case are the same."""
    offset: int = 0
    limit: int | None = None
    """None: all of them."""
    exact: str | None = None
    """The one sensor of this name, whatever else is asked; each rule that has a state for it tells it, even at rest."""
    trends: bool = True
    """Whether sensors have their trend, of which each costs 30 means."""


ALL = Window()
"""Costs as much as there are sensors and states, which are all in it; any other window costs as much as it shows."""


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
    told_by: Mapping[str, int] = field(default_factory=dict)
    """Type -> events about the agent itself and its sources, since the start; heartbeats, never owed, are none."""


def conserved(counters: Sequence[Counters]) -> dict[str, Any]:
    """The six counts, summed."""
    names = ("owed", "delivered", "pending", "dead", "dropped")
    found: dict[str, Any] = {name: sum(getattr(one, name) for one in counters) for name in names}
    found["dropped_by"] = {reason: sum(one.dropped_by[reason] for one in counters) for reason in DROP_REASONS}
    return found


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
    """Since the start or midnight, whichever is later; None: the kernel does not count them."""
    degraded: str | None
    """Why nothing can be committed at the moment."""
    max_size_bytes: int = 0
    """The bound of `size_bytes`; the write-ahead log, which is counted too, may lie beyond it for a while."""
    max_events: int = 0
    """How many may be owed at once."""
    free_disk_bytes: int | None = None
    """Of the file system that the outbox lies on; None: it cannot be asked."""
    written_bytes: int | None = None
    """Since the start; None: the kernel does not count them."""
    dropped_full_since_start: int = 0
    """Of `dropped_by["full"]`, which counts since the outbox was made."""


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
    """Outcome (see `agent.webhooks.tally`) -> attempts since the start, or since a reload changed the webhook."""
    histogram: Histogram = field(default_factory=Histogram)
    """How long these attempts took."""
    success_rate: float | None = None
    """Of the last attempts, from 0 to 1, as are p50 and p95; None: there was none."""
    p50_ms: float | None = None
    p95_ms: float | None = None
    host: str = ""
    """Of its URL, with the port where it names one; a path may be a secret. Empty: it is no longer configured."""
    signed: bool = False
    oldest_pending_s: float | None = None


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
    source: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of its source, with what stands in its topic for the placeholders."""
    trend: Sequence[float | None] = ()
    """The last hour: 30 means of 2 minutes, oldest first. None: said nothing then. Empty: no number at all, the
    window wants none, or the snapshot has more than TRENDS_MAX sensors before it."""


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """Where a rule stands: for each sensor, or binding of its placeholders, that it has a memory of."""

    sensor: str
    severity: str
    heard: bool
    """Whether a sensor that it watches has said anything since the start."""
    states: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """sensor -> {state, since_s, alert_id, throttled, value, unit, changes_in_s, becomes}

    Those of the window, and up to UNSETTLED_MAX of each state that is not ok; firing, pending and recovering ones
    first, then by name. `value` is what the sensor said last. `changes_in_s`: when time alone makes it `becomes`,
    firing or ok; both None: not by time alone. A compound rule has `rule:NAME` or `rule:NAME:kitchen` for a sensor.
    """
    pulses: bool = False
    """`each`, which has no state, not `when`."""
    condition: Mapping[str, Any] = field(default_factory=dict)
    """`when` or `each`, as configured; durations in seconds."""
    clear: Mapping[str, Any] | None = None
    for_s: float = 0.0
    send_to: Sequence[str] = ()
    thresholds: Sequence[float] = ()
    """The numbers of `condition` and `clear` that a value is compared with, ascending."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """State -> how many of all sensors are in it, not only of the window."""
    told: int = 0
    """Events since the start."""
    told_by: Mapping[str, int] = field(default_factory=dict)
    """The same by type."""


class Alert(NamedTuple):
    """A rule that fires, for one sensor."""

    rule: str
    sensor: str
    severity: str
    since_s: float
    """In this state."""
    recovering: bool
    """Whether it is over, but not yet for as long as `clear_for` asks."""
    value: Any
    """What the sensor said last."""
    unit: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether all is well, in one word and one sentence."""

    word: Literal["well", "alert", "trouble"]
    sentence: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of it."""

    agent: AgentFacts
    outbox: OutboxFacts
    webhooks: Mapping[str, WebhookFacts]
    sources: Mapping[str, SourceFacts]
    sensors: Mapping[str, SensorFacts]
    rules: Mapping[str, RuleFacts]
    sensors_total: int = 0
    """How many match the query of the window."""

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def verdict(self) -> Verdict:
        """The headline: what a rule fires about comes before what is the matter with the agent itself."""
        alerts, troubles = self.alerts(), self.troubles()
        if alerts:
            return Verdict("alert", _alert_sentence(alerts[0], self.alerts_total() - 1, len(troubles)))
        if troubles:
            more = f" (and {len(troubles) - 1} more)" if troubles[1:] else ""
            return Verdict("trouble", f"{_capital(troubles[0])}{more}.")
        return Verdict("well", "All is well.")

    def alerts(self) -> list[Alert]:
        """The rules that fire: the worst severity first, then who has fired longest."""
        found = [
            Alert(
                rule=name,
                sensor=sensor,
                severity=rule.severity,
                since_s=at["since_s"] or 0.0,
                recovering=at["state"] == "recovering",
                value=at.get("value"),
                unit=at.get("unit"),
            )
            for name, rule in self.rules.items()
            for sensor, at in rule.states.items()
            if at["state"] in ("firing", "recovering")
        ]
        return sorted(found, key=lambda alert: (_WORST_FIRST[alert.severity], -alert.since_s))

    def alerts_total(self) -> int:
        """How many there are of all sensors; `alerts` has those whose states are in the snapshot."""
        total = sum(rule.counts.get(state, 0) for rule in self.rules.values() for state in ("firing", "recovering"))
        return max(total, len(self.alerts()))

    def troubles(self) -> list[str]:
        """What of the agent itself a person should look at, a sentence each; empty: nothing."""
        found = []
        if self.agent.reload_error:
            found.append(f"the last reload changed nothing: {self.agent.reload_error}")
        found += self._outbox_troubles()
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
        return found + self._losses()

    def _outbox_troubles(self) -> list[str]:
        """A file at its bound is none by itself, as what was delivered goes first; but while something waits long."""
        it, found = self.outbox, []
        if it.degraded:
            found.append(f"the outbox cannot be written: {it.degraded}")
        if not it.balanced:
            found.append("the counters of the outbox do not balance")
        waiting = max((webhook.pending for webhook in self.webhooks.values()), default=0)
        waits_s = it.oldest_pending_s or 0.0
        if waiting >= _NEARLY_FULL * it.max_events > 0:
            found.append(f"the outbox is nearly full: {waiting} of at most {it.max_events} events wait")
        elif it.size_bytes >= _NEARLY_FULL * it.max_size_bytes > 0 and waits_s >= _WAITS_LONG_S:
            room = f"{size(it.size_bytes)} of {size(it.max_size_bytes)}"
            found.append(f"the outbox is nearly full: {room}, and something waits for {age(waits_s)}")
        return found

    def _losses(self) -> list[str]:
        found = []
        if lost := self.outbox.dropped_full_since_start:
            found.append(f"{_deliveries(lost)} lost: dropped since the start, as the outbox was full")
        if dead := self.outbox.dead:
            found.append(f"{_deliveries(dead)} dead, to be replayed or discarded: see Events")
        return found

    def _clock_troubles(self) -> list[str]:
        skew_s = self.agent.clock_skew_s or 0.0
        if self.agent.clock == "implausible":
            return ["the clock is surely wrong: it is from before this program was made"]
        if abs(skew_s) > SKEW_SHOWN_S:
            return [f"the clock is {age(abs(skew_s))} {'ahead of' if skew_s > 0 else 'behind'} that of the receivers"]
        return []


class Eyes(Protocol):
    """What page, API and metrics look through; looking changes nothing."""

    def snapshot(self, window: Window = ALL) -> Snapshot:
        """Everything as it stands now, with the sensors of a window."""

    def history(self, sensor: str) -> History | None:
        """What a sensor has said, as far as memory keeps it; None: there is no such sensor, or it said nothing yet."""

    def ready(self) -> bool:
        """Whether the outbox can be written; the configuration is loaded, else nothing would answer."""

    def alive(self) -> bool:
        """Whether the pipeline moves."""


def _alert_sentence(worst: Alert, others: int, troubles: int) -> str:
    unit = f" {worst.unit}" if worst.unit else ""
    value = "" if worst.value is None else f" ({_shown(worst.value)}{unit})"
    what = f"{worst.rule}: {worst.sensor}{value} {'recovers' if worst.recovering else 'fires'}"
    more = [f"{others} more alert{'s' * (others > 1)}"] if others else []
    more += [f"{troubles} trouble{'s' * (troubles > 1)} of the agent"] if troubles else []
    beside = f"; {' and '.join(more)}" if more else ""
    return f"{what} for {age(worst.since_s)}{beside}."


def _deliveries(n: int) -> str:
    return "1 delivery is" if n == 1 else f"{n} deliveries are"


def _shown(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.10g}"
    return str(value)[:_SHOWN_CHARS]


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
