"""One test event, sent now: never owed, so never kept and never counted."""

import secrets

from agent.clock import SystemClock
from agent.config import Config
from agent.webhooks.envelope import trial
from agent.webhooks.headers import signed
from agent.webhooks.retry import Outcome
from agent.webhooks.transport import Transport
from agent.webhooks.writer import Writer


async def send(config: Config, name: str) -> Outcome:
    """Send it to a webhook of the configuration."""
    webhook, clock = config.webhooks[name], SystemClock()
    event = trial(f"evt_{secrets.token_hex(13)}", clock.moment(), name)
    content = Writer(config.agent.name, "", config.webhooks)(event, name, None)
    headers = signed(webhook.signature, webhook.keys, event.id, int(clock.wall()), content.body)
    transport = Transport(webhook, clock.wall)
    try:
        return await transport.post(content.body, {**content.headers, **headers}, content.suffix)
    finally:
        await transport.close()
