"""Gathers from all parts what the status page shows."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from agent.clock import DeviceClock, word_for
from agent.config import Config
from agent.model import DROP_REASONS, Counters, Moment
from agent.outbox import Outbox
from agent.parts import Parts
from agent.pipeline import Pipeline
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
from agent.version import __version__
from drivers.base import Refusal

_STUCK_S = 150.0
"""The pipeline moves at the latest every minute."""


class Observer:
    """Looks at the running parts; changes nothing."""

    def __init__(
        self, config: Config, agent_id: str, clock: DeviceClock, pipeline: Pipeline, outbox: Outbox, parts: Parts
    ) -> None:
        self.config = config
        """What runs: set anew by a reload, as are the two that follow."""
        self.reload_error: str | None = None
        self.needs_restart: tuple[str, ...] = ()
        self._agent_id, self._clock = agent_id, clock
        self._pipeline, self._outbox, self._parts = pipeline, outbox, parts
        self._started_at = clock.now()
        self._day = ""
        self._written_before = 0

    def ready(self) -> bool:
        """Whether the outbox can be written; the configuration is loaded, else nothing would answer."""
        return self._outbox.degraded is None

    def alive(self) -> bool:
        """Whether the pipeline moves."""
        return self._outbox.degraded is not None or self._clock.now() - self._pipeline.moved_at < _STUCK_S

    def snapshot(self) -> Snapshot:
        """Everything, as it stands now."""
        moment = self._clock.moment()
        return Snapshot(
            agent=self._agent(moment),
            outbox=self._outbox_facts(moment.at),
            webhooks=self._webhooks(moment.at),
            sources=self._sources(),
            sensors=self._sensors(moment.at),
            rules=self._rules(moment.at),
        )

    def _agent(self, moment: Moment) -> AgentFacts:
        return AgentFacts(
            id=self._agent_id,
            name=self.config.agent.name,
            version=__version__,
            uptime_s=moment.at - self._started_at,
            clock=word_for(moment),
            clock_skew_s=self._skew_s(moment),
            reload_error=self.reload_error,
            needs_restart=self.needs_restart,
            heartbeats={
                name: HeartbeatFacts(**asdict(one.beats)) for name, one in sorted(self._parts.heartbeats.items())
            },
        )

    def _skew_s(self, moment: Moment) -> float | None:
        """By the receiver that agrees most: another one's clock may be wrong itself."""
        views = [courier.view() for courier in self._parts.couriers.values()]
        skews_s = [moment.wall - moment.at - view.ahead_s for view in views if view.ahead_s is not None]
        return min(skews_s, key=abs, default=None)

    def _outbox_facts(self, now: float) -> OutboxFacts:
        counters = list(self._outbox.counters.values())
        oldest = [self._outbox.mailboxes[name].oldest() for name in self._parts.couriers]
        known = [at for at in oldest if at is not None]
        return OutboxFacts(
            **_sum(counters),
            balanced=all(one.balanced for one in counters),
            oldest_pending_s=now - min(known) if known else None,
            size_bytes=self._outbox.size_bytes(),
            written_bytes_today=self._written_today(),
            degraded=self._outbox.degraded,
        )

    def _written_today(self) -> int | None:
        written = self._outbox.written_bytes()
        day = datetime.fromtimestamp(self._clock.wall()).astimezone().date().isoformat()
        if written is not None and day != self._day:
            self._day, self._written_before = day, written if self._day else 0
        return None if written is None else written - self._written_before

    def _webhooks(self, now: float) -> dict[str, WebhookFacts]:
        return {name: self._webhook(name, one, now) for name, one in sorted(self._outbox.counters.items())}

    def _webhook(self, name: str, counters: Counters, now: float) -> WebhookFacts:
        courier = self._parts.couriers.get(name)
        if courier is None:
            state = "idle" if name in self.config.webhooks else "removed"
            return WebhookFacts(state=state, **_sum([counters]))
        view = courier.view()
        resting_s = None if view.resting_until is None else max(0.0, view.resting_until - now)
        same = {field.name for field in fields(view)} & {field.name for field in fields(WebhookFacts)}
        due_at = None if view.state == "disabled" else self._outbox.mailboxes[name].next_due()
        return WebhookFacts(
            **{name: getattr(view, name) for name in same},
            **_sum([counters]),
            resting_s=resting_s,
            next_attempt_s=None if due_at is None else max(0.0, due_at - now, resting_s or 0.0),
        )

    def _sources(self) -> dict[str, SourceFacts]:
        states = {name: state for driver in self._parts.drivers for name, state in driver.states().items()}
        return {name: self._source(name, states[name]) for name in self.config.sources if name in states}

    def _source(self, name: str, state: Any) -> SourceFacts:
        count = self._pipeline.sources[name]
        refused_by = dict(count.refused_by)
        return SourceFacts(
            state.state,
            state.detail,
            count.messages,
            count.repeats,
            sum(refused_by.values()),
            refused_by,
            _words(count.last) if count.last else None,
        )

    def _sensors(self, now: float) -> dict[str, SensorFacts]:
        names = sorted({*self._pipeline.engine.latest, *self._pipeline.sensors})
        return {name: self._sensor(name, now) for name in names if self.config.has_sensor(name)}

    def _sensor(self, name: str, now: float) -> SensorFacts:
        latest = self._pipeline.engine.latest.get(name)
        count = self._pipeline.sensors.get(name)
        last = count.last if count else None
        unfit = self._pipeline.engine.unfit.get(name, 0)
        return SensorFacts(
            value=None if latest is None else latest.reading.value,
            unit=None if latest is None else latest.reading.unit,
            age_s=None if latest is None else max(0.0, now - latest.at),
            refused=(count.refused if count else 0) + unfit,
            last_refusal=_words(last) if last else "unfit for a rule" if unfit else None,
        )

    def _rules(self, now: float) -> dict[str, RuleFacts]:
        engine = self._pipeline.engine
        states: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in self.config.rules}
        heard = {key[0] for sensor in engine.latest for key, *_ in engine.routes(sensor)}
        for (rule, sensor), memory in engine.memory.items():
            if rule not in states:
                continue  # the built-in one, of sources
            states[rule][sensor] = {
                "state": str(memory.state),
                "since_s": max(0.0, now - memory.since) if memory.since else None,
                "alert_id": memory.alert_id,
                "throttled": memory.throttled,
            }
        return {
            name: RuleFacts(", ".join(rule.patterns()), rule.severity, name in heard, states[name])
            for name, rule in self.config.rules.items()
        }


def _words(refusal: Refusal) -> str:
    return f"{refusal.reason} {refusal.detail}".strip()


def _sum(counters: Sequence[Counters]) -> dict[str, Any]:
    names = ("owed", "delivered", "pending", "dead", "dropped")
    found: dict[str, Any] = {name: sum(getattr(one, name) for one in counters) for name in names}
    found["dropped_by"] = {reason: sum(one.dropped_by[reason] for one in counters) for reason in DROP_REASONS}
    return found
