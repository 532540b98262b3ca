"""`/api/v1/status`, `/outbox`, `/sources`: how it all stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.status.api.route import NO_SENSORS, Call, Route
from agent.status.snapshot import (
    AgentFacts,
    Eyes,
    OutboxFacts,
    RuleFacts,
    SensorFacts,
    SourceFacts,
    Verdict,
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
    sensors_total: int
    verdict: Verdict
    troubles: Sequence[str]
    """What of the agent itself a person should look at, a sentence each; empty: nothing."""


@dataclass(frozen=True, slots=True)
class Sources:
    """All sources, by name."""

    sources: Mapping[str, SourceFacts]


def routes(eyes: Eyes) -> list[Route]:
    """What is asked of the whole."""

    async def show_status(_: Call) -> Status:
        it = eyes.snapshot()
        return Status(
            it.agent,
            it.outbox,
            it.webhooks,
            it.sources,
            it.sensors,
            it.rules,
            it.sensors_total,
            it.verdict(),
            it.troubles(),
        )

    async def show_outbox(_: Call) -> OutboxFacts:
        return eyes.snapshot(NO_SENSORS).outbox

    async def list_sources(_: Call) -> Sources:
        return Sources(eyes.snapshot(NO_SENSORS).sources)

    return [
        Route("GET", "/api/v1/status", "Everything, as it stands now", "status", show_status, Status),
        Route("GET", "/api/v1/outbox", "What is owed, and the file that holds it", "outbox", show_outbox, OutboxFacts),
        Route("GET", "/api/v1/sources", "What came from each source", "sources", list_sources, Sources),
    ]
