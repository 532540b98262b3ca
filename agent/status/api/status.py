"""`/api/v1/status`, `/outbox`, `/sources`: how it all stands."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agent.status.api.route import Call, Route
from agent.status.snapshot import (
    AgentFacts,
    OutboxFacts,
    RuleFacts,
    SensorFacts,
    Snapshot,
    SourceFacts,
    WebhookFacts,
)


@dataclass(frozen=True, slots=True)
class Status:
    """Everything, as it stands now."""

    agent: AgentFacts
    outbox: OutboxFacts
    webhooks: Mapping[str, WebhookFacts]
    sources: Mapping[str, SourceFacts]
    sensors: Mapping[str, SensorFacts]
    rules: Mapping[str, RuleFacts]
    troubles: Sequence[str]
    """What a person should look at, a sentence each; empty: all is well."""


@dataclass(frozen=True, slots=True)
class Sources:
    """All sources, by name."""

    sources: Mapping[str, SourceFacts]


def routes(snapshot: Callable[[], Snapshot]) -> list[Route]:
    """What is asked of the whole."""

    async def show_status(_: Call) -> Status:
        it = snapshot()
        return Status(it.agent, it.outbox, it.webhooks, it.sources, it.sensors, it.rules, it.troubles())

    async def show_outbox(_: Call) -> OutboxFacts:
        return snapshot().outbox

    async def list_sources(_: Call) -> Sources:
        return Sources(snapshot().sources)

    return [
        Route("GET", "/api/v1/status", "Everything, as it stands now", "status", show_status, Status),
        Route("GET", "/api/v1/outbox", "What is owed, and the file that holds it", "outbox", show_outbox, OutboxFacts),
        Route("GET", "/api/v1/sources", "What came from each source", "sources", list_sources, Sources),
    ]
