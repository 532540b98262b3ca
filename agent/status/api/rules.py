"""`/api/v1/rules`: where the rules stand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.status.api.route import Call, Route
from agent.status.snapshot import RuleFacts, Snapshot


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, by name."""

    rules: Mapping[str, RuleFacts]


def routes(snapshot: Callable[[], Snapshot]) -> list[Route]:
    """What is asked of rules."""

    async def list_rules(_: Call) -> Rules:
        return Rules(snapshot().rules)

    return [Route("GET", "/api/v1/rules", "Where each rule stands", "rules", list_rules, Rules)]
