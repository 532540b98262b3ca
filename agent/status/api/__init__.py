"""What the agent tells and does under `/api/v1/`; the status page's port and the control socket serve the same routes.

`route` is how one is declared, `serving` makes aiohttp's handlers of the declarations and `openapi` the document;
`problems` is how errors are told. The others declare the routes, a file for each noun.
"""

from collections.abc import Callable, Mapping

from agent.outbox import Archive
from agent.status.api import agent, events, openapi, rules, sensors, status, webhooks
from agent.status.api.route import Route
from agent.status.api.serving import served
from agent.status.commands import Commands, ReloadRefused, Tried, WebhookDisabled
from agent.status.snapshot import Eyes
from agent.webhooks.config import Webhook

__all__ = ["Commands", "ReloadRefused", "Route", "Tried", "WebhookDisabled", "routes", "served"]


def routes(
    eyes: Eyes,
    commands: Commands,
    archive: Archive,
    webhooks_known: Callable[[], Mapping[str, Webhook]],
    now: Callable[[], float],
    root: str = "",
) -> list[Route]:
    """All routes. `now()` is on the agent's time line; `root` is the prefix that the document tells."""
    found = [
        *status.routes(eyes),
        *agent.routes(eyes, commands),
        *sensors.routes(eyes, commands),
        *rules.routes(eyes),
        *webhooks.routes(eyes, commands),
        *events.reading(archive, webhooks_known, now),
        *events.changing(commands),
    ]
    return [*found, openapi.route(found, root)]
