"""A request as people see it: what is sent, and nothing that is secret."""

import json
from typing import Any

import pytest

from agent.model import Content, Event
from agent.webhooks.config import Webhook
from agent.webhooks.shown import HIDDEN, hiding, shown_request
from agent.webhooks.writer import Writer
from tests.faults.oracle import SECRET
from tests.support.receiver import Receiver

CANARY = 'Kanarien"vogel-\u00fc'
EVENT = Event("evt_1", "sensor.event", "a.t", 1.0, 1767323045.0, synced=True, send_to=("ops",), sensor="a.t", value=5)


def webhook(**given: Any) -> Webhook:
    return Webhook.model_validate({"url": "http://127.0.0.1:9/T0/secret-path", "secrets": [SECRET], **given})


def shown(config: Webhook) -> Any:
    content = Writer("cabin", "abc", {"ops": config})(EVENT, "ops", 7)
    return content, shown_request(config, content, EVENT.id)


def test_the_standard_request_is_shown_as_it_is_sent() -> None:
    content, request = shown(webhook(headers={"X-Site": "cabin", "Title": "{sensor}"}))
    assert (request.method, request.host, request.body) == ("POST", "127.0.0.1", content.body.decode())
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("bellcrank/")
    assert (request.headers["X-Site"], request.headers["Title"]) == ("cabin", "a.t")
    assert request.headers["webhook-id"] == "evt_1"
    assert request.headers["webhook-signature"] == request.headers["webhook-timestamp"] == HIDDEN
    assert "secret-path" not in str(request)


@pytest.mark.parametrize(
    "given",
    [
        {"headers": {"Authorization": f"Bearer {CANARY}"}},
        {"headers": {"X-Api-Key": f"{CANARY} {{sensor}}"}},
        {"body": {"token": CANARY, "text": "{sensor}"}},
        {"body": {"auth": [{"password": CANARY}]}},
        {"preset": {"pagerduty": {"routing_key": CANARY}}, "url": "https://events.pagerduty.com/v2/enqueue"},
        {"signature": "github", "secrets": [f"{CANARY}-long-enough"]},
    ],
)
def test_what_is_secret_in_the_configuration_is_hidden_in_headers_body_and_answer(given: dict[str, Any]) -> None:
    config = webhook(**given)
    _, request = shown(config)
    answered = hiding(config, f"you sent {CANARY}-long-enough and {CANARY}".encode())
    for text in (json.dumps(request.headers), request.body, answered if "signature" not in given else ""):
        assert "Kanarien" not in text
    assert HIDDEN in f"{request.headers}{request.body}"


def test_of_a_webhook_that_is_no_more_what_was_kept_is_shown() -> None:
    request = shown_request(None, Content(b"\xff{}", {"title": "x", "x-token": CANARY}), "evt_1")
    assert (request.method, request.host, request.body) == (None, None, "\\xff{}")
    assert request.headers == {"title": "x", "x-token": HIDDEN}


async def test_what_arrives_has_the_headers_that_are_shown() -> None:
    from agent.clock import SystemClock
    from agent.webhooks.trial import send

    async with Receiver() as receiver:
        config = webhook(url=receiver.url, headers={"X-Site": "cabin", "Authorization": "Bearer hunter2"})
        await send("ops", config, Writer("cabin", "abc", {"ops": config}), SystemClock(), "evt_1")
        (got,) = receiver.got
    request = shown_request(config, Content(got.body), "evt_1")
    usual = {"host", "accept", "accept-encoding", "content-length"}
    assert {name.lower() for name in request.headers} == got.headers.keys() - usual
    visible = {name.lower(): value for name, value in request.headers.items() if value != HIDDEN}
    assert visible.items() <= got.headers.items()
    assert request.headers["Authorization"] == HIDDEN
