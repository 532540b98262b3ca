"""`/api/v1/agent` and `/api/v1/reload`: the agent itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.status.api.commands import Commands, ReloadRefused
from agent.status.api.problems import Problem
from agent.status.api.route import Call, Route
from agent.status.snapshot import AgentFacts, Snapshot


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The configuration file applies."""

    needs_restart: Sequence[str]
    """Keys whose change waits for a restart."""


def routes(snapshot: Callable[[], Snapshot], commands: Commands) -> list[Route]:
    """What is asked of the agent."""

    async def show_agent(_: Call) -> AgentFacts:
        return snapshot().agent

    async def reload(_: Call) -> Reloaded:
        try:
            return Reloaded(await commands.reload())
        except ReloadRefused as refused:
            raise Problem(422, str(refused)) from None

    return [
        Route("GET", "/api/v1/agent", "Who answers", "agent", show_agent, AgentFacts),
        Route(
            "POST",
            "/api/v1/reload",
            "Apply the configuration file; where it is bad nothing changes",
            "agent",
            reload,
            Reloaded,
            errors=(422,),
        ),
    ]
