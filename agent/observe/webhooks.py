"""How the webhooks stand: what each is owed, and its courier."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any
from urllib.parse import urlsplit

from agent.config import Config
from agent.outbox import Outbox
from agent.status.snapshot import WebhookFacts, conserved
from agent.webhooks.courier import Courier, CourierView

_SAME = {field.name for field in fields(CourierView)} & {field.name for field in fields(WebhookFacts)}
"""What a courier tells of itself and is shown as it is."""


def webhook_facts(
    config: Config, outbox: Outbox, couriers: Mapping[str, Courier], now: float
) -> dict[str, WebhookFacts]:
    """Of all webhooks that the configuration or the outbox has."""
    found = {}
    for name, counters in sorted(outbox.counters.items()):
        known = {**conserved([counters]), **_configured(config, name)}
        if name in couriers:
            found[name] = WebhookFacts(**known, **_running(outbox, name, couriers[name].view(), now))
        else:
            found[name] = WebhookFacts(**known, state="idle" if name in config.webhooks else "removed")
    return found


def _configured(config: Config, name: str) -> dict[str, Any]:
    webhook = config.webhooks.get(name)
    if webhook is None:
        return {}
    return {"host": urlsplit(webhook.url).netloc.rpartition("@")[2], "signed": not webhook.unsigned}


def _running(outbox: Outbox, name: str, view: CourierView, now: float) -> dict[str, Any]:
    mailbox = outbox.mailboxes[name]
    oldest_at = mailbox.oldest()
    due_at = None if view.state == "disabled" else mailbox.next_due()
    resting_s = None if view.resting_until is None else max(0.0, view.resting_until - now)
    return {
        "resting_s": resting_s,
        "next_attempt_s": None if due_at is None else max(0.0, due_at - now, resting_s or 0.0),
        "oldest_pending_s": None if oldest_at is None else max(0.0, now - oldest_at),
        **{word: getattr(view, word) for word in _SAME},
    }
