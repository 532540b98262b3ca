"""The whole file as one typed value, and what can be asked of it."""

import re
import socket
from collections.abc import Iterable, Mapping
from datetime import tzinfo
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pydantic import ConfigDict, Field, create_model, field_validator

from agent.config.outbox import OutboxConfig
from agent.config.patterns import named_by, sensor_parts
from agent.config.status import StatusConfig
from agent.config.zones import system_zone, zone
from agent.rules import Site
from agent.rules.config import Rule, placeholders
from agent.webhooks.config import Webhook
from drivers.base import SourceConfig
from drivers.mqtt import BrokerConfig, MqttSource
from drivers.registry import driver_classes
from drivers.settings import Settings
from drivers.units import Duration, Name

FeedSettings = tuple[Mapping[str, SourceConfig], Mapping[str, BrokerConfig]]
"""What the file says of one feed: its sources, and the brokers that they name."""


class HeartbeatConfig(Settings):
    """A dead man's switch."""

    every: Annotated[Duration, Field(ge=1)] = 300.0
    """How often a heartbeat is sent."""
    send_to: Annotated[list[Name], Field(min_length=1)]
    """The webhooks that it is sent to."""


class AgentConfig(Settings):
    """The agent itself."""

    name: Name = Field(default_factory=lambda: re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:64] or "bellcrank")
    """What it is called in every event; the host name where it is left out."""
    labels: dict[Name, str] = Field(default_factory=dict)
    """Copied into every event."""
    state_dir: Annotated[Path, Field(strict=False)] | None = None
    """Where the outbox lives; where it is left out $STATE_DIRECTORY, that of the service, or the user's."""
    timezone: str | None = None
    """Of `active`; the system's where it is left out."""
    events_to: list[Name] | None = None
    """The webhooks that hear of the agent itself; those with the standard body where it is left out."""
    heartbeat: HeartbeatConfig | None = None
    """Says at intervals that the agent lives; none where it is left out."""

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, timezone: str | None) -> str | None:
        if timezone is not None:
            zone(timezone)
        return timezone


class Config(Settings):
    """The whole file. `sources` hold the model of their driver."""

    model_config = ConfigDict(hide_input_in_errors=True)  # a secret may stand in it

    version: Literal[1]
    """Of the words in this file."""
    agent: AgentConfig = Field(default_factory=AgentConfig)
    """The agent itself."""
    brokers: dict[Name, BrokerConfig] = Field(default_factory=dict)
    """MQTT brokers by name."""
    sources: dict[Name, Any]
    """What is listened to, by name: a topic, a port."""
    rules: dict[Name, Rule] = Field(default_factory=dict)
    """What there is to tell, by name."""
    webhooks: dict[Name, Webhook] = Field(default_factory=dict)
    """Who is told, by name."""
    outbox: OutboxConfig = Field(default_factory=OutboxConfig)
    """What waits, and how much of it is kept."""
    status: StatusConfig = Field(default_factory=StatusConfig)
    """The status page."""

    def sources_by_driver(self) -> dict[str, dict[str, SourceConfig]]:
        """The sources of each driver that has any."""
        found: dict[str, dict[str, SourceConfig]] = {}
        for name, source in self.sources.items():
            found.setdefault(source.driver, {})[name] = source
        return found

    def feed_settings(self, sources: Iterable[str]) -> FeedSettings:
        """What the file says of the feed of these sources: equal settings need no new feed."""
        theirs = {name: self.sources[name] for name in sources}
        only = next(iter(self.brokers), "")
        named = {source.broker or only for source in theirs.values() if isinstance(source, MqttSource)}
        return theirs, {name: self.brokers[name] for name in named}

    def has_sensor(self, name: str) -> bool:
        """Whether a source brings a sensor of this name, such as `rooms.kitchen.temperature`."""
        source = self.sources.get(name.partition(".")[0])
        return source is not None and name.rpartition(".")[2] in source.sensors

    def summary(self) -> str:
        """How much there is of everything."""
        parts = {"source": self.sources, "rule": self.rules, "webhook": self.webhooks}
        return ", ".join(f"{len(part)} {word}{'' if len(part) == 1 else 's'}" for word, part in parts.items())

    def expires_s(self) -> dict[str, float]:
        """How long each webhook is owed an event."""
        return {name: webhook.expires for name, webhook in self.webhooks.items()}

    def unordered(self) -> set[str]:
        """Webhooks to which events of one subject may go in any order."""
        return {name for name, webhook in self.webhooks.items() if webhook.ordering == "none"}

    def meanings(self) -> dict[str, str]:
        """What each rule means, with the decoding of the sensors that it may see."""
        return {name: rule.meaning(self._decoding(rule)) for name, rule in self.rules.items()}

    def site(self) -> Site:
        """What the rules need to know of the rest."""
        sensors = [".".join(parts) for parts in self.sensors() if not any(map(placeholders, parts))]
        events_to = self.agent.events_to
        return Site(
            sources=tuple(self.sources),
            sensors=sensors,
            events_to=self._standard_webhooks() if events_to is None else tuple(dict.fromkeys(events_to)),
            timezone=self.timezone(),
        )

    def timezone(self) -> tzinfo:
        """Of `active`, and of the times of day that are shown."""
        return system_zone() if self.agent.timezone is None else zone(self.agent.timezone)

    def _standard_webhooks(self) -> tuple[str, ...]:
        return tuple(name for name, webhook in self.webhooks.items() if webhook.is_standard)

    def sensors(self) -> list[list[str]]:
        """The parts of every sensor's name; some may be placeholders such as `{room}`."""
        return [
            sensor_parts(name, source, sensor) for name, source in self.sources.items() for sensor in source.sensors
        ]

    def _decoding(self, rule: Rule) -> str:
        seen = {named for pattern in rule.patterns() for named in named_by(pattern, self.sources)}
        return "\n".join(f"{name}.{sensor} {self.sources[name].decoding(sensor)}" for name, sensor in sorted(seen))


@cache
def file_model() -> type[Config]:
    """`Config` with the union of all drivers' sources."""
    models = [driver.Source for driver in driver_classes().values()]
    union: Any = reduce(or_, models) if len(models) < 2 else Union[tuple(models)]  # noqa: UP007
    source: Any = Annotated[union, Field(discriminator="driver")] if len(models) > 1 else union
    return create_model("Config", __base__=Config, sources=(dict[Name, source], ...))
