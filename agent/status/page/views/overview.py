"""All on one page: alerts, sensors, rules, webhooks, sources, the outbox and the last events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from agent.outbox import Letter
from agent.status.page import charts, texts
from agent.status.page.rendering import key
from agent.status.page.views.events import event_rows
from agent.status.page.views.frame import Badge, Here, Time, badge, calm, counted, minute, sensor_link, severity
from agent.status.snapshot import Alert, OutboxFacts, RuleFacts, SensorFacts, Snapshot, WebhookFacts
from agent.status.words import age

SENSORS_A_PAGE = 50
RULES_A_PAGE = 50
"""Those that fire are at the top, whatever page they are on."""
EVENTS_SHOWN = 20
DELIVERIES_A_PAGE = 100
UNSETTLED_SHOWN = 20
SETTLED_SHOWN = 20
"""Of the sensors of one rule."""


class OverviewQuery(NamedTuple):
    """Which sensors and rules are shown."""

    q: str = ""
    """Of sensors, as is the page; that of rules is by itself."""
    page: int = 1
    rules: int = 1

    @classmethod
    def parse(cls, words: Mapping[str, str]) -> "OverviewQuery":
        """What makes no sense is as if it had not been said."""
        return cls(words.get("q", "")[:200], _page(words.get("page", "")), _page(words.get("rules", "")))

    def words(self) -> tuple[tuple[str, str], ...]:
        """As they stand in the path."""
        given = self._asdict().items()
        return tuple((word, str(value)) for word, value in given if value not in ("", 1))


def _page(word: str) -> int:
    return max(1, int(word)) if word.isdecimal() and len(word) < 6 else 1


class AlertRow(NamedTuple):
    """A rule that fires."""

    rule: str
    severity: Badge
    sensor: str
    link: str | None
    value: str
    condition: str
    since: Time
    lasting: str
    state: Badge


class SensorRow(NamedTuple):
    """A sensor in the table."""

    key: str
    name: str
    link: str
    value: str
    age: str
    fresh: bool
    """Whether it has been heard."""
    spark: charts.Sparkline | None
    spark_label: str
    refused: int
    last_refusal: str


class StateRow(NamedTuple):
    """Where a rule stands for one sensor."""

    key: str
    sensor: str
    link: str | None
    state: Badge
    since: Time | None
    lasting: str
    value: str
    condition: str
    """What it is compared with, in the state that it is in."""
    change: str
    """What time alone will make of it."""
    throttled: int


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule."""

    name: str
    sentence: str
    severity: Badge
    send_to: str
    told: int
    state: Badge | None
    """Of a rule with at most one sensor; None: see the counts."""
    counts: Sequence[tuple[Badge, int]]
    only: StateRow | None
    """Of a rule with one sensor."""
    unsettled: Sequence[StateRow]
    """Of a rule with several: those that are not ok."""
    settled: Sequence[StateRow]
    more: int
    """How many are in no list."""


class WebhookRow(NamedTuple):
    """A webhook."""

    name: str
    facts: WebhookFacts
    state: Badge
    resting_until: Time | None
    next_attempt: str
    success: str
    attempts: int
    attempts_by: str
    p50: str
    p95: str
    last_error: str
    waiting_link: str
    dead_link: str
    oldest: str
    can: Mapping[str, bool]
    """Which buttons make sense."""


def overview(snapshot: Snapshot, recent: Sequence[Letter], query: OverviewQuery, here: Here) -> dict[str, Any]:
    """All on one page."""
    alerts = snapshot.alerts()
    first_rule = (query.rules - 1) * RULES_A_PAGE
    shown_rules = islice(snapshot.rules.items(), first_rule, first_rule + RULES_A_PAGE)
    return {
        "verdict": snapshot.verdict(),
        "spoken": _spoken(alerts, snapshot),
        "troubles": [sentence[:1].upper() + sentence[1:] for sentence in snapshot.troubles()],
        "alerts": [_alert(alert, snapshot, here) for alert in alerts[:SENSORS_A_PAGE]],
        "alerts_more": snapshot.alerts_total() - min(len(alerts), SENSORS_A_PAGE),
        "sensors": [sensor_row(name, facts, here) for name, facts in snapshot.sensors.items()],
        "sensors_total": snapshot.sensors_total,
        "query": query,
        "pages": _pages(query, "page", -(-snapshot.sensors_total // SENSORS_A_PAGE), here),
        "rules": [_rule(name, facts, here) for name, facts in shown_rules],
        "rules_total": len(snapshot.rules),
        "rules_pages": _pages(query, "rules", -(-len(snapshot.rules) // RULES_A_PAGE), here),
        "webhooks": [_webhook(name, facts, here) for name, facts in snapshot.webhooks.items()],
        "sources": [
            (name, facts, badge(facts.state), counted(facts.refused_by)) for name, facts in snapshot.sources.items()
        ],
        "outbox": outbox(snapshot.outbox),
        "events": event_rows(recent, here)[:EVENTS_SHOWN],
    }


def _spoken(alerts: Sequence[Alert], snapshot: Snapshot) -> str:
    """The headline for who hears it: it changes only when there is something new."""
    named = [f"{alert.rule}, {alert.sensor}" for alert in alerts[:5]]
    if named:
        return "; ".join(named)
    troubles = len(snapshot.troubles())
    return f"{troubles} trouble{'s' * (troubles > 1)}" if troubles else ""


def _alert(alert: Alert, snapshot: Snapshot, here: Here) -> AlertRow:
    rule = snapshot.rules[alert.rule]
    return AlertRow(
        rule=alert.rule,
        severity=severity(alert.severity),
        sensor=alert.sensor,
        link=sensor_link(alert.sensor, here),
        value=texts.value(alert.value, alert.unit),
        condition=texts.condition(rule.condition, alert.unit),
        since=minute(here.wall - alert.since_s, here),
        lasting=texts.lasting(alert.since_s),
        state=badge("recovering" if alert.recovering else "firing"),
    )


def sensor_row(name: str, facts: SensorFacts, here: Here) -> SensorRow:
    """What is shown of one."""
    spark = charts.sparkline(facts.trend)
    return SensorRow(
        key=key(name),
        name=name,
        link=here.link("sensors", name),
        value=texts.value(facts.value, facts.unit),
        age="not heard yet" if facts.age_s is None else texts.calm_age(facts.age_s),
        fresh=facts.age_s is not None,
        spark=spark,
        spark_label="" if spark is None else _range(spark.low, spark.high, facts.unit),
        refused=facts.refused,
        last_refusal=texts.cut(facts.last_refusal or "", 100),
    )


def _pages(query: OverviewQuery, word: str, last: int, here: Here) -> dict[str, Any]:
    """Of what is paged by this word of the query: where the pages before and after are."""
    at, last, place = getattr(query, word), max(1, last), {"page": "#sensors", "rules": "#rules"}[word]

    def link(page: int) -> str:
        return here.link("", **{**dict(query.words()), word: page if page > 1 else ""}) + place

    return {"at": at, "last": last, "back": link(at - 1) if at > 1 else None, "on": link(at + 1) if at < last else None}


def _rule(name: str, facts: RuleFacts, here: Here) -> RuleRow:
    states = [state_row(name, sensor, at, facts, here) for sensor, at in facts.states.items()]
    counts = {state: n for state, n in facts.counts.items() if n}
    total = max(sum(counts.values()), len(states))
    several = total > 1
    unsettled = [row for row in states if row.state.word != "ok"][:UNSETTLED_SHOWN] if several else []
    settled = [row for row in states if row.state.word == "ok"][:SETTLED_SHOWN] if several else []
    order = ("firing", "pending", "recovering", "ok")
    return RuleRow(
        name=name,
        sentence=sentence(facts),
        severity=severity(facts.severity),
        send_to=", ".join(facts.send_to),
        told=facts.told,
        state=None if several else _only_state(facts, states),
        counts=[(badge(state), counts[state]) for state in order if state in counts] if several else [],
        only=states[0] if len(states) == 1 and not several and not facts.pulses else None,
        unsettled=unsettled,
        settled=settled,
        more=total - len(unsettled) - len(settled) if several else 0,
    )


def _only_state(facts: RuleFacts, states: Sequence[StateRow]) -> Badge:
    if not facts.heard and not states:
        return calm("not heard yet")
    if facts.pulses:
        return badge("ok")._replace(word="listening")
    return states[0].state if states else badge("ok")


def sentence(facts: RuleFacts) -> str:
    """What it watches for."""
    compound = any(word in facts.condition for word in ("all", "any", "not"))
    held = f" for {texts.lasting(facts.for_s)}" if facts.for_s else ""
    told = texts.condition(facts.condition) or "every reading"
    return f"{told}{held}" if compound else f"{facts.sensor} {told}{held}"


def state_row(rule: str, sensor: str, at: Mapping[str, Any], facts: RuleFacts, here: Here) -> StateRow:
    """Of a rule for one of its sensors; `at` as in `RuleFacts.states`."""
    compound = sensor.startswith("rule:")
    since_s, in_s = at["since_s"], at.get("changes_in_s")
    waits_to_clear = at["state"] in ("firing", "recovering")
    words = facts.clear if waits_to_clear and facts.clear else facts.condition
    told = texts.condition(words, at.get("unit"))
    becomes = {"firing": "fires", "ok": "is ok"}.get(at.get("becomes") or "", "changes")
    return StateRow(
        key=key(f"{rule} {sensor}"),
        sensor=sensor,
        link=sensor_link(sensor, here),
        state=badge(at["state"]),
        since=None if since_s is None else minute(here.wall - since_s, here),
        lasting="" if since_s is None else texts.lasting(since_s),
        value="" if compound else texts.value(at.get("value"), at.get("unit")),
        condition="" if compound else f"clears {told}" if waits_to_clear and facts.clear else told,
        change="" if in_s is None else f"{becomes} in {age(max(0.0, in_s))}",
        throttled=at.get("throttled") or 0,
    )


def _webhook(name: str, facts: WebhookFacts, here: Here) -> WebhookRow:
    in_s = facts.next_attempt_s
    waits = facts.pending > 0 and facts.state not in ("disabled", "removed")
    known = facts.state != "removed"
    return WebhookRow(
        name=name,
        facts=facts,
        state=badge(facts.state),
        resting_until=None if facts.resting_s is None else here.time(round(here.wall + facts.resting_s)),
        next_attempt="" if in_s is None or not facts.pending else "now" if in_s < 1 else f"in {age(in_s)}",
        success=texts.percent(facts.success_rate),
        attempts=facts.succeeded + facts.failed,
        attempts_by=counted(facts.attempts_by),
        p50=texts.milliseconds(facts.p50_ms),
        p95=texts.milliseconds(facts.p95_ms),
        last_error=texts.cut(facts.last_error or "", 160),
        waiting_link=here.link("events", webhook=name, states="pending"),
        dead_link=here.link("events", webhook=name, states="dead"),
        oldest="" if facts.oldest_pending_s is None else texts.lasting(facts.oldest_pending_s),
        can={
            "test": known,
            "retry": waits or facts.state == "resting",
            "enable": facts.state == "disabled",
            "disable": known and facts.state != "disabled",
        },
    )


def outbox(facts: OutboxFacts) -> dict[str, Any]:
    """With what is made of it."""
    return {
        "facts": facts,
        "oldest": None if facts.oldest_pending_s is None else texts.lasting(facts.oldest_pending_s),
        "dropped_by": counted(facts.dropped_by),
        "full_percent": 100 * facts.size_bytes // facts.max_size_bytes if facts.max_size_bytes else None,
    }


def _range(low: float, high: float, unit: str | None) -> str:
    """To four digits, so that it stands still."""
    least, most = texts.value(float(f"{low:.4g}")), texts.value(float(f"{high:.4g}"), unit)
    return f"last hour: {least} to {most}"
