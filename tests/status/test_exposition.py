"""What a snapshot becomes as metrics, read back by the parsers of prometheus-client."""

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from agent.status.exposition import CLOCK_STATES, WEBHOOK_STATES, render
from agent.status.snapshot import (
    AgentFacts,
    HeartbeatFacts,
    OutboxFacts,
    RuleFacts,
    SensorFacts,
    Snapshot,
    SourceFacts,
    WebhookFacts,
)
from agent.webhooks.retry import Outcome
from agent.webhooks.tally import OUTCOMES, Tally
from tests.support.hostile import HOSTILE

OPENMETRICS = "application/openmetrics-text; version=1.0.0, text/plain; version=0.0.4; q=0.5"
NAMES = [
    *HOSTILE,
    'a"} 1\nbellcrank_outbox_degraded 1\n',
    "a\\",
    "\\n",
    "# HELP bellcrank_uptime_seconds no",
    "# EOF",
    "{}",
    "a,b=c",
    "\r\t\x00\x7f",
    "\u2028\x85",
    "🌡",
    " ",
]
VALUES = {name: float(n) for n, name in enumerate(NAMES)}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def webhook(state: str = "answering", **more: Any) -> WebhookFacts:
    dropped_by = {"full": 1, "discarded": 0}
    return WebhookFacts(state=state, owed=9, delivered=4, pending=3, dead=1, dropped=1, dropped_by=dropped_by, **more)


def snapshot(**more: Any) -> Snapshot:
    outbox = OutboxFacts(
        owed=9,
        delivered=4,
        pending=3,
        dead=1,
        dropped=1,
        dropped_by={"full": 1},
        balanced=True,
        oldest_pending_s=7.5,
        size_bytes=4096,
        written_bytes_today=None,
        degraded=None,
        max_size_bytes=64_000_000,
    )
    agent = AgentFacts("abc", "cabin", "1.2.3", 61.5, "synced", heartbeats={"ops": HeartbeatFacts(5, 2, 1, None)})
    facts: dict[str, Any] = {"agent": agent, "outbox": outbox, "webhooks": {"ops": webhook()}}
    facts |= {"sources": {}, "sensors": {}, "rules": {}} | more
    return Snapshot(**facts)


def sensor(value: Any, unit: str | None = None) -> SensorFacts:
    return SensorFacts(value, unit, 1.5, 0, None)


def families(shown: Snapshot, accept: str = "") -> list[Metric]:
    text = render(shown, accept)[0].decode()
    parse = openmetrics.text_string_to_metric_families if accept else text_string_to_metric_families
    return list(parse(text))


def samples(shown: Snapshot, accept: str = "") -> Samples:
    found = [one for family in families(shown, accept) for one in family.samples]
    by_key = {(one.name, frozenset(one.labels.items())): float(one.value) for one in found}
    assert len(by_key) == len(found), "no series stands twice"
    return by_key


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def of(found: Samples, name: str) -> Iterator[dict[str, Any]]:
    return ({**dict(labels), "": value} for (known, labels), value in found.items() if known == name)


def test_both_formats_tell_the_same() -> None:
    shown = snapshot(sensors={"a.t": sensor(4.25, "°C")}, sources={"a": SourceFacts("open", "", 5, 2, 1, {"null": 1})})
    text, open_text = samples(shown), samples(shown, OPENMETRICS)
    changing = {name for name, _ in text if name.startswith("process_")}
    assert {key: n for key, n in text.items() if key[0] not in changing} == {
        key: n for key, n in open_text.items() if key[0] not in changing
    }
    assert changing >= {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"}


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/html, text/plain;version=9.9", "text/plain; version=0.0.4; charset=utf-8"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"),
        ("Application/OpenMetrics-Text;version=x", OPENMETRICS.split(",")[0] + "; charset=utf-8; escaping=underscores"),
        (",;=,;;q", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
def test_the_accept_header_chooses_the_format_and_can_break_nothing(accept: str, content_type: str) -> None:
    body, told = render(snapshot(), accept)
    assert told == content_type
    assert body.endswith(b"# EOF\n") is told.startswith("application/openmetrics-text")


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_every_family_keeps_to_the_conventions(accept: str) -> None:
    for family in families(snapshot(), accept):
        name = family.name.removesuffix("_total")
        assert family.documentation.endswith("."), name
        assert name.startswith(("bellcrank_", "process_"))
        assert not family.unit or name.endswith(family.unit)
        if family.type == "counter":
            assert {one.name for one in family.samples} <= {f"{name}_total"}


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_hostile_names_stay_within_their_label(accept: str) -> None:
    shown = snapshot(
        sensors={name: sensor(n, unit=name) for name, n in VALUES.items()},
        rules={name: RuleFacts("a", "warning", heard=True, counts={"firing": 1}) for name in NAMES},
        sources={name: SourceFacts("open", name, 1, 0, 1, {name: 1}, name) for name in NAMES},
    )
    found = samples(shown, accept)
    assert {one["sensor"]: one[""] for one in of(found, "bellcrank_sensor_value")} == VALUES
    assert {one["unit"] for one in of(found, "bellcrank_sensor_value")} == set(NAMES)
    for name, label in (("rule_alerts", "rule"), ("source_up", "source"), ("refused_total", "reason")):
        assert {one[label] for one in of(found, f"bellcrank_{name}")} == set(NAMES)
    assert value(found, "bellcrank_outbox_degraded") == 0


def test_a_name_that_no_encoding_can_write_is_written_all_the_same() -> None:
    found = samples(snapshot(sensors={"a\ud800": sensor(1)}))
    assert value(found, "bellcrank_sensor_value", sensor="a\\ud800", unit="") == 1


def test_the_value_of_a_sensor_is_a_number_and_its_age_is_always_told() -> None:
    shown = snapshot(sensors={"n": sensor(-2, "°C"), "b": sensor(True), "t": sensor("open"), "none": sensor(None)})
    found = samples(shown)
    values = {(one["sensor"], one["unit"]): one[""] for one in of(found, "bellcrank_sensor_value")}
    assert values == {("n", "°C"): -2, ("b", ""): 1}
    assert len(list(of(found, "bellcrank_sensor_age_seconds"))) == 4


def test_what_is_not_known_has_no_sample() -> None:
    found = samples(snapshot())
    for name in ("clock_skew_seconds", "outbox_free_disk_bytes", "outbox_written_bytes_total"):
        assert list(of(found, f"bellcrank_{name}")) == []


@pytest.mark.parametrize("state", WEBHOOK_STATES)
def test_a_webhook_is_in_exactly_one_state(state: str) -> None:
    found = samples(snapshot(webhooks={"ops": webhook(state), "other": webhook("removed")}))
    states = {one["state"]: one[""] for one in of(found, "bellcrank_webhook_state") if one["webhook"] == "ops"}
    assert states == {**dict.fromkeys(WEBHOOK_STATES, 0), state: 1}


@pytest.mark.parametrize("clock", CLOCK_STATES)
def test_the_clock_is_in_exactly_one_state(clock: str) -> None:
    found = samples(snapshot(agent=AgentFacts("abc", "cabin", "1", 1.0, clock, clock_skew_s=-3.5)))
    states = {one["state"]: one[""] for one in of(found, "bellcrank_clock_state")}
    assert states == {**dict.fromkeys(CLOCK_STATES, 0), clock: 1}
    assert value(found, "bellcrank_clock_skew_seconds") == -3.5


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_attempts_and_their_durations_sum_up(accept: str) -> None:
    tally = Tally()
    for duration_s, status in ((0.001, 204), (0.004, 200), (0.7, 503), (15.2, None)):
        tally.note(Outcome(duration_s=duration_s, status=status, error="" if status else "timeout"))
    facts = webhook(attempts_by=tally.attempts_by, histogram=tally.histogram())
    found = samples(snapshot(webhooks={"ops": facts}), accept)
    attempts = {one["outcome"]: one[""] for one in of(found, "bellcrank_attempts_total")}
    assert attempts == {**dict.fromkeys(OUTCOMES, 0), "delivered": 2, "unavailable": 1, "timeout": 1}
    buckets = {float(one["le"]): one[""] for one in of(found, "bellcrank_attempt_duration_seconds_bucket")}
    assert list(buckets.values()) == sorted(buckets.values()), "cumulative"
    assert [buckets[le] for le in (0.005, 0.5, 1.0, 15.0, float("inf"))] == [2, 2, 3, 3, 4]
    assert value(found, "bellcrank_attempt_duration_seconds_count", webhook="ops") == sum(attempts.values()) == 4
    assert value(found, "bellcrank_attempt_duration_seconds_sum", webhook="ops") == pytest.approx(15.905)


def test_the_counts_of_the_outbox_balance_within_one_scrape() -> None:
    found = samples(snapshot())
    counts = {name: value(found, f"bellcrank_deliveries_{name}", webhook="ops") for name in ("pending", "dead")}
    dropped = sum(one[""] for one in of(found, "bellcrank_deliveries_dropped_total"))
    delivered = value(found, "bellcrank_deliveries_delivered_total", webhook="ops")
    owed = value(found, "bellcrank_deliveries_owed_total", webhook="ops")
    assert owed == delivered + sum(counts.values()) + dropped == 9


def test_a_rule_tells_how_many_alerts_are_on() -> None:
    counts = {"ok": 7, "pending": 1, "firing": 2, "recovering": 3}
    level = RuleFacts("*.t", "critical", heard=True, counts=counts, told_by={"sensor.alert.firing": 5})
    pulse = RuleFacts("*.b", "info", heard=True, counts={"ok": 1}, pulses=True, told_by={"door.bell": 4})
    agent = AgentFacts("abc", "cabin", "1", 1.0, "synced", told_by={"agent.started": 1})
    found = samples(snapshot(agent=agent, rules={"warm": level, "bell": pulse}))
    states = {one["state"]: one[""] for one in of(found, "bellcrank_rule_memories")}
    assert states == counts, "of pulses there are none"
    assert value(found, "bellcrank_rule_alerts", rule="warm", severity="critical") == 5
    assert value(found, "bellcrank_events_total", rule="warm", type="sensor.alert.firing") == 5
    assert value(found, "bellcrank_events_total", rule="bell", type="door.bell") == 4
    assert value(found, "bellcrank_events_total", rule="", type="agent.started") == 1


def test_no_text_of_an_error_and_no_identifier_gets_into_a_label() -> None:
    secret = "https://hooks.example.com/T0KEN"
    state = {"state": "firing", "since_s": 1.0, "alert_id": "alr_1", "throttled": 0, "value": "slammed", "unit": None}
    shown = snapshot(
        agent=AgentFacts("abc", "cabin", "1", 1.0, "synced", reload_error=secret, needs_restart=(secret,)),
        webhooks={"ops": webhook("failing", last_error=secret)},
        sources={"a": SourceFacts("closed", secret, 1, 0, 1, {"null": 1}, secret)},
        sensors={"a.t": SensorFacts("slammed", None, 1.0, 1, secret)},
        rules={"warm": RuleFacts("a.t", "info", heard=True, states={"a.t": state})},
    )
    text = render(shown, "")[0].decode()
    assert not [word for word in (secret, "alr_1", "slammed", "abc") if word in text]
    assert "bellcrank_config_last_reload_successful 0.0" in text
    assert "bellcrank_config_needs_restart 1.0" in text
