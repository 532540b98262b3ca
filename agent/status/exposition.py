"""A snapshot as metrics, in the exposition formats of Prometheus.

All of one scrape comes from one snapshot, so that the counts of the outbox balance in it. Names follow
https://prometheus.io/docs/practices/naming/: base units, and `_total` for what only grows. Labels are names that the
configuration has or gives, and words of closed sets; never an identifier of an event, an error or a payload.

A state is a gauge with a label `state` that is 1 for the true one, as kube-state-metrics has it, and not OpenMetrics'
StateSet, whose label would have to bear the name of the metric.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from agent.status.snapshot import AgentFacts, OutboxFacts, RuleFacts, Snapshot, SourceFacts, WebhookFacts
from agent.webhooks.tally import OUTCOMES, Histogram

_OPENMETRICS: Final = "application/openmetrics-text"
CLOCK_STATES: Final = ("synced", "unsynced", "implausible")
WEBHOOK_STATES: Final = ("idle", "answering", "failing", "misconfigured", "resting", "disabled", "removed")
_ON: Final = ("firing", "recovering")
_Row = tuple[Any, ...]
"""The values of the labels, then the value; a row without a value (None) is left out."""


def render(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    """The text and its content type: OpenMetrics where an Accept header names it, else the text format 0.0.4."""
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    # The library is not given the header itself: it takes any version that it names, and fails where that is a word.
    write, content_type = choose_encoder(f"{_OPENMETRICS}; version=1.0.0" if _OPENMETRICS in kinds else "")
    return write(_Scrape(snapshot)), content_type


class _Scrape:
    """What a writer of prometheus-client collects from."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        """Each family once."""
        shown = self._snapshot
        yield from _agent(shown.agent)
        yield from _clock(shown.agent)
        yield from _sources(shown.sources)
        yield from _sensors(shown)
        yield from _rules(shown.rules)
        yield _events(shown)
        yield from _deliveries(shown.webhooks)
        yield from _attempts(shown.webhooks)
        yield from _couriers(shown.webhooks)
        yield from _outbox(shown.outbox)
        # A new one each time: it keeps when the machine was booted, which changes as the clock is set right.
        yield from ProcessCollector(registry=None).collect()


def _agent(agent: AgentFacts) -> Iterator[Metric]:
    yield _gauge("bellcrank_build_info", "The version that runs; always 1.", ["version"], [(agent.version, 1)])
    yield _gauge("bellcrank_uptime_seconds", "Since the agent started.", [], [(agent.uptime_s,)])
    yield _gauge(
        "bellcrank_config_last_reload_successful",
        "Whether the last reload was taken; 1 where there was none.",
        [],
        [(agent.reload_error is None,)],
    )
    yield _gauge(
        "bellcrank_config_needs_restart",
        "Keys of the configuration whose change waits for a restart.",
        [],
        [(len(agent.needs_restart),)],
    )
    beats = agent.heartbeats.items()
    yield _counter(
        "bellcrank_heartbeats_total",
        "Heartbeats since the start: delivered, failed, or skipped since the agent did not live or the webhook is"
        " disabled.",
        ["webhook", "outcome"],
        (
            (name, outcome, n)
            for name, beat in beats
            for outcome, n in (("delivered", beat.sent), ("failed", beat.failed), ("skipped", beat.skipped))
        ),
    )


def _clock(agent: AgentFacts) -> Iterator[Metric]:
    yield _states(
        "bellcrank_clock_state",
        "Whether the clock is right: synced, unsynced (no sign of it) or implausible (surely wrong).",
        None,
        {"": agent.clock},
        CLOCK_STATES,
    )
    yield _gauge(
        "bellcrank_clock_skew_seconds",
        "How far the clock is ahead of the receiver that agrees with it most; none where no receiver told the time.",
        [],
        [(agent.clock_skew_s,)],
    )


def _sources(sources: Mapping[str, SourceFacts]) -> Iterator[Metric]:
    facts = sources.items()
    yield _gauge(
        "bellcrank_source_up", "Whether a source is open.", ["source"], ((n, one.state == "open") for n, one in facts)
    )
    yield _counter(
        "bellcrank_messages_total",
        "Messages that came from a source since the start.",
        ["source"],
        ((name, one.messages) for name, one in facts),
    )
    yield _counter(
        "bellcrank_messages_repeated_total",
        "Messages among them that the broker sent again and the ledger knew: they were not evaluated twice.",
        ["source"],
        ((name, one.repeats) for name, one in facts),
    )
    yield _counter(
        "bellcrank_refused_total",
        "Messages and values that were no value, since the start.",
        ["source", "reason"],
        ((name, reason, n) for name, one in facts for reason, n in one.refused_by.items()),
    )


def _sensors(shown: Snapshot) -> Iterator[Metric]:
    facts = shown.sensors.items()
    yield _gauge(
        "bellcrank_sensor_value",
        "The last value, where it is a number; of true and false 1 and 0.",
        ["sensor", "unit"],
        ((name, one.unit or "", one.value) for name, one in facts if isinstance(one.value, int | float)),
    )
    yield _gauge(
        "bellcrank_sensor_age_seconds",
        "Since a sensor gave its last value.",
        ["sensor"],
        ((name, one.age_s) for name, one in facts),
    )
    yield _gauge("bellcrank_sensors", "Sensors that have said anything since the start.", [], [(shown.sensors_total,)])
    yield _gauge(
        "bellcrank_sensors_omitted",
        "Sensors that have no series of their own here, since there are too many.",
        [],
        [(max(0, shown.sensors_total - len(shown.sensors)),)],
    )


def _rules(rules: Mapping[str, RuleFacts]) -> Iterator[Metric]:
    facts = [(name, one) for name, one in rules.items() if not one.pulses]
    yield _gauge(
        "bellcrank_rule_memories",
        "Sensors, or bindings of placeholders, for which a rule is in a state.",
        ["rule", "state"],
        ((name, state, n) for name, one in facts for state, n in one.counts.items()),
    )
    yield _gauge(
        "bellcrank_rule_alerts",
        "Alerts of a rule that are on: firing, or recovering.",
        ["rule", "severity"],
        ((name, one.severity, sum(one.counts.get(state, 0) for state in _ON)) for name, one in facts),
    )


def _events(shown: Snapshot) -> Metric:
    told = {"": shown.agent.told_by, **{name: rule.told_by for name, rule in shown.rules.items()}}
    return _counter(
        "bellcrank_events_total",
        "Events that became owed since the start; without a rule: what the agent tells about itself and its sources.",
        ["rule", "type"],
        ((rule, type_, n) for rule, by_type in told.items() for type_, n in by_type.items()),
    )


def _deliveries(webhooks: Mapping[str, WebhookFacts]) -> Iterator[Metric]:
    """The counts of conservation: owed = delivered + pending + dead + dropped, exact over restarts too."""
    facts = webhooks.items()
    yield _counter(
        "bellcrank_deliveries_owed_total",
        "Deliveries that ever became owed: delivered + pending + dead + dropped.",
        ["webhook"],
        ((name, one.owed) for name, one in facts),
    )
    yield _counter(
        "bellcrank_deliveries_delivered_total",
        "Deliveries that the receiver took.",
        ["webhook"],
        ((name, one.delivered) for name, one in facts),
    )
    yield _gauge(
        "bellcrank_deliveries_pending", "Deliveries that wait.", ["webhook"], ((n, one.pending) for n, one in facts)
    )
    yield _gauge(
        "bellcrank_deliveries_dead", "Dead letters that are kept.", ["webhook"], ((n, one.dead) for n, one in facts)
    )
    yield _counter(
        "bellcrank_deliveries_dropped_total",
        "Deliveries that were given up.",
        ["webhook", "reason"],
        ((name, reason, n) for name, one in facts for reason, n in one.dropped_by.items()),
    )
    yield _gauge(
        "bellcrank_oldest_pending_seconds",
        "How long the oldest delivery has waited; 0: none waits.",
        ["webhook"],
        ((name, one.oldest_pending_s or 0) for name, one in facts),
    )


def _attempts(webhooks: Mapping[str, WebhookFacts]) -> Iterator[Metric]:
    facts = webhooks.items()
    yield _counter(
        "bellcrank_attempts_total",
        "Attempts that ended, since the start or since a reload changed the webhook.",
        ["webhook", "outcome"],
        ((name, outcome, one.attempts_by.get(outcome, 0)) for name, one in facts for outcome in OUTCOMES),
    )
    durations = HistogramMetricFamily(
        "bellcrank_attempt_duration_seconds", "How long these attempts took.", labels=["webhook"], unit="seconds"
    )
    for name, one in facts:
        durations.add_metric([_text(name)], _buckets(one.histogram), one.histogram.sum_s)
    yield durations
    yield _gauge(
        "bellcrank_attempts_in_flight", "Attempts under way.", ["webhook"], ((n, one.in_flight) for n, one in facts)
    )


def _couriers(webhooks: Mapping[str, WebhookFacts]) -> Iterator[Metric]:
    yield _states(
        "bellcrank_webhook_state",
        "What is known of a webhook; failing: its last attempt failed; resting: nothing goes out until a probe does.",
        "webhook",
        {name: one.state for name, one in webhooks.items()},
        WEBHOOK_STATES,
    )
    yield _gauge(
        "bellcrank_webhook_resting_seconds",
        "How long a webhook will rest until it is probed; 0: it does not rest, or the probe is due.",
        ["webhook"],
        ((name, one.resting_s or 0) for name, one in webhooks.items()),
    )


def _outbox(outbox: OutboxFacts) -> Iterator[Metric]:
    values: tuple[tuple[str, str, float | None], ...] = (
        ("degraded", "Whether nothing can be committed at the moment.", outbox.degraded is not None),
        ("balanced", "Whether owed = delivered + pending + dead + dropped for each webhook.", outbox.balanced),
        ("size_bytes", "What the file and its write-ahead log take.", outbox.size_bytes),
        ("max_size_bytes", "The bound of the size.", outbox.max_size_bytes),
        ("max_events", "The bound of events with a pending delivery.", outbox.max_events),
        ("free_disk_bytes", "What is free of the file system that the outbox lies on.", outbox.free_disk_bytes),
    )
    for name, text, value in values:
        yield _gauge(f"bellcrank_outbox_{name}", text, [], [(value,)])
    yield _counter(
        "bellcrank_outbox_written_bytes_total",
        "What the outbox has caused to be written to the disk since the start.",
        [],
        [(outbox.written_bytes,)],
    )


def _gauge(name: str, text: str, labels: Sequence[str], rows: Iterable[_Row]) -> Metric:
    return _filled(GaugeMetricFamily(name, text, labels=labels, unit=_unit(name)), rows)


def _counter(name: str, text: str, labels: Sequence[str], rows: Iterable[_Row]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels, unit=_unit(name))
    return _filled(family, rows)


def _states(name: str, text: str, label: str | None, found: Mapping[str, str], states: Sequence[str]) -> Metric:
    """`found`: subject -> state; `label`: what the subjects are called; None: there is but one."""
    rows = ((subject, state, state == true) for subject, true in found.items() for state in states)
    return _gauge(name, text, [label, "state"], rows) if label else _gauge(name, text, ["state"], (r[1:] for r in rows))


def _filled(family: GaugeMetricFamily | CounterMetricFamily, rows: Iterable[_Row]) -> Metric:
    for *labels, value in rows:
        if value is not None:
            family.add_metric([_text(label) for label in labels], value)
    return family


def _text(label: str) -> str:
    """In characters that can be written; the writer escapes quotes and line feeds."""
    return label.encode("utf-8", "backslashreplace").decode()


def _unit(name: str) -> str:
    """OpenMetrics tells it beside the name whose end it is."""
    last = name.removesuffix("_total").rpartition("_")[2]
    return last if last in ("seconds", "bytes") else ""


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Cumulative, as they are written."""
    bounds = [*map(str, histogram.bounds_s), "+Inf"]
    return list(zip(bounds, accumulate(histogram.counts), strict=True))
