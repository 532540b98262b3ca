"""`/api/v1/agent` and `/api/v1/reload`: the agent itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.status.api.problems import Problem
from agent.status.api.route import NO_SENSORS, Call, Route
from agent.status.commands import Commands, ReloadRefused
from agent.status.snapshot import AgentFacts, Eyes


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The configuration file applies."""

    needs_restart: Sequence[str]
    """Keys whose change waits for a restart."""


def routes(eyes: Eyes, commands: Commands) -> list[Route]:
    """What is asked of the agent."""

    async def show_agent(_: Call) -> AgentFacts:
        return eyes.snapshot(NO_SENSORS).agent

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
