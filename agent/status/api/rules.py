"""`/api/v1/rules`: where the rules stand."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.status.api.route import Call, Paged, Route
from agent.status.api.sensors import SensorQuery
from agent.status.snapshot import Eyes, RuleFacts


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, each with its states for a page of sensors."""

    rules: Mapping[str, RuleFacts]
    """By name."""
    total: int
    """How many sensors there are on all pages."""
    next: int | None
    """The `offset` of the next page; null: this is the last one."""


def routes(eyes: Eyes) -> list[Route]:
    """What is asked of rules."""

    async def list_rules(call: Call) -> Paged:
        wanted: SensorQuery = call.query
        shown = eyes.snapshot(wanted.window())
        total = shown.sensors_total
        return Paged(Rules(shown.rules, total, wanted.following(total)), "offset")

    return [
        Route("GET", "/api/v1/rules", "Where each rule stands", "rules", list_rules, Rules, SensorQuery),
    ]
