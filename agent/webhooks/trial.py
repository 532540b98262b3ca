"""One test event, sent now: never owed, so never kept and never counted."""

from agent.clock import DeviceClock
from agent.webhooks.config import Webhook
from agent.webhooks.envelope import trial
from agent.webhooks.headers import signed
from agent.webhooks.retry import Outcome
from agent.webhooks.transport import Transport
from agent.webhooks.writer import Writer


async def send(name: str, webhook: Webhook, write: Writer, clock: DeviceClock, new_id: str) -> Outcome:
    """Send it as the webhook is sent everything, over a connection of its own."""
    event = trial(new_id, clock.moment(), name)
    content = write(event, name, None)
    headers = signed(webhook.signature, webhook.keys, event.id, int(clock.wall()), content.body)
    transport = Transport(webhook, clock.wall)
    try:
        return await transport.post(content.body, {**content.headers, **headers}, content.suffix)
    finally:
        await transport.close()
