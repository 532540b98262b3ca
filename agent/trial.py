"""One test event, sent now: never owed, so never kept and never counted."""

import secrets

from agent.clock import SystemClock
from agent.config import Config
from agent.webhooks.envelope import envelope, trial
from agent.webhooks.retry import Outcome
from agent.webhooks.transport import Transport
from drivers import signing


async def send(config: Config, name: str) -> Outcome:
    """Send it to a webhook of the configuration."""
    webhook, clock = config.webhooks[name], SystemClock()
    event = trial(f"evt_{secrets.token_hex(13)}", clock.moment(), name)
    body = envelope(event, agent_name=config.agent.name, agent_id="", sequence=None)
    transport = Transport(webhook, clock.wall)
    try:
        return await transport.post(body, signing.headers(webhook.keys, event.id, int(clock.wall()), body))
    finally:
        await transport.close()
