"""Gathers from all parts what there is to see: the page, the API, the metrics and the CLI ask here.

sensors      which there are, and what each has said
rules        where they stand
webhooks     what each is owed, and its courier
today        what was written since midnight
"""

from collections.abc import Mapping
from dataclasses import asdict, replace

from agent.clock import DeviceClock, word_for
from agent.config import Config
from agent.model import Moment
from agent.observe.rules import Rules
from agent.observe.sensors import Sensors, words
from agent.observe.today import Today
from agent.observe.webhooks import webhook_facts
from agent.outbox import Outbox
from agent.parts import Parts
from agent.pipeline import Pipeline
from agent.rules import Step
from agent.status.history import History
from agent.status.snapshot import (
    ALL,
    TRENDS_MAX,
    AgentFacts,
    HeartbeatFacts,
    OutboxFacts,
    Snapshot,
    SourceFacts,
    WebhookFacts,
    Window,
    conserved,
)
from agent.version import __version__
from drivers.base import SourceState

_STUCK_S = 15.0
"""The pipeline moves at the latest every 5 s; a card may take some seconds for a commit. Then the watchdog is not fed
any more, so that a stuck agent is started anew within 30 s."""


class Observer:
    """Looks at the running parts; changes nothing."""

    def __init__(
        self, config: Config, agent_id: str, clock: DeviceClock, pipeline: Pipeline, outbox: Outbox, parts: Parts
    ) -> None:
        self.reload_error: str | None = None
        """Set anew by a reload, as is the next one."""
        self.needs_restart: tuple[str, ...] = ()
        self._config = config
        self._agent_id, self._clock = agent_id, clock
        self._pipeline, self._outbox, self._parts = pipeline, outbox, parts
        self._sensors, self._rules = Sensors(config, pipeline), Rules(config, pipeline)
        self._started_at = clock.now()
        self._zone = config.timezone()
        self._today = Today(clock.wall(), self._zone)
        self._full_before = {name: one.dropped_by["full"] for name, one in outbox.counters.items()}
        """Webhook -> what was dropped so before the start."""
        pipeline.on_step = self._follow

    def adopt(self, config: Config) -> None:
        """Look at what runs now, with this configuration; the pipeline has its rules already."""
        self._config, self._zone = config, config.timezone()
        self._sensors.adopt(config)
        self._rules.adopt(config)

    def ready(self) -> bool:
        """Whether the outbox can be written; the configuration is loaded, else nothing would answer."""
        return self._outbox.degraded is None

    def alive(self) -> bool:
        """Whether the pipeline moves."""
        return self._outbox.degraded is not None or self._clock.now() - self._pipeline.moved_at < _STUCK_S

    def snapshot(self, window: Window = ALL) -> Snapshot:
        """Everything as it stands now, with the sensors of a window."""
        moment = self._clock.moment()
        names, total = self._sensors.page(window)
        webhooks = webhook_facts(self._config, self._outbox, self._parts.couriers, moment.at)
        return Snapshot(
            agent=self._agent(moment),
            outbox=self._outbox_facts(webhooks),
            webhooks=webhooks,
            sources=self._sources(),
            sensors=self._sensors.facts(names, moment.at, TRENDS_MAX if window.trends else 0),
            rules=self._rules.facts(None if window == ALL else names, moment.at, at_rest=window.exact is not None),
            sensors_total=total,
        )

    def history(self, sensor: str) -> History | None:
        """What a sensor has said, as far as memory keeps it; None: there is no such sensor, or it said nothing yet."""
        found = self._sensors.history(sensor, self._clock.moment())
        return found and replace(found, thresholds=self._rules.thresholds(sensor))

    def _follow(self, step: Step) -> None:
        """Comes once a minute at least, as the pipeline sweeps so often."""
        self._follow_day()
        self._rules.follow(step, self._sensors.follow(step))

    def _agent(self, moment: Moment) -> AgentFacts:
        return AgentFacts(
            id=self._agent_id,
            name=self._config.agent.name,
            version=__version__,
            uptime_s=moment.at - self._started_at,
            clock=word_for(moment),
            clock_skew_s=self._skew_s(moment),
            reload_error=self.reload_error,
            needs_restart=self.needs_restart,
            told_by=self._rules.told_by()[""],
            heartbeats={
                name: HeartbeatFacts(**asdict(one.beats)) for name, one in sorted(self._parts.heartbeats.items())
            },
        )

    def _skew_s(self, moment: Moment) -> float | None:
        """By the receiver that agrees most: another one's clock may be wrong itself."""
        views = [courier.view() for courier in self._parts.couriers.values()]
        skews_s = [moment.wall - moment.at - view.ahead_s for view in views if view.ahead_s is not None]
        return min(skews_s, key=abs, default=None)

    def _outbox_facts(self, webhooks: Mapping[str, WebhookFacts]) -> OutboxFacts:
        counters = list(self._outbox.counters.values())
        waiting_s = [one.oldest_pending_s for one in webhooks.values() if one.oldest_pending_s is not None]
        self._follow_day()
        limits, written_bytes = self._config.outbox.limits(), self._outbox.worker.written_bytes()
        return OutboxFacts(
            **conserved(counters),
            balanced=all(one.balanced for one in counters),
            oldest_pending_s=max(waiting_s, default=None),
            size_bytes=self._outbox.store.file.size_bytes(),
            written_bytes=written_bytes,
            written_bytes_today=self._today.of(written_bytes),
            degraded=self._outbox.degraded,
            max_size_bytes=limits.max_bytes,
            max_events=limits.max_events,
            free_disk_bytes=self._outbox.store.file.disk.free_bytes(),
            dropped_full_since_start=self._dropped_full(),
        )

    def _dropped_full(self) -> int:
        counters, before = self._outbox.counters, self._full_before
        return sum(one.dropped_by["full"] - before.get(name, 0) for name, one in counters.items())

    def _follow_day(self) -> None:
        self._today.follow(self._clock.wall(), self._zone, self._outbox.worker.written_bytes)

    def _sources(self) -> dict[str, SourceFacts]:
        states = {name: state for driver in self._parts.drivers for name, state in driver.states().items()}
        return {name: self._source(name, states[name]) for name in self._config.sources if name in states}

    def _source(self, name: str, state: SourceState) -> SourceFacts:
        count = self._pipeline.counts.sources[name]
        refused_by = dict(count.refused_by)
        return SourceFacts(
            state.state,
            state.detail,
            count.messages,
            count.repeats,
            sum(refused_by.values()),
            refused_by,
            words(count.last) if count.last else None,
        )
