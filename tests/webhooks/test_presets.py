"""Presets against what their services document that they take."""

import json
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agent.model import Content, Event
from agent.webhooks.config import Webhook
from agent.webhooks.presets import Presets
from agent.webhooks.writer import Writer
from tests.webhooks.events import ALERT, EVENTS, LOST, PULSE, REPEATED, RESOLVED, RESTORED

KEY = "R0123456789ABCDEF0123456789ABCDE"
URLS = {
    "slack": "https://hooks.slack.com/services/T0/B0/x",
    "discord": "https://discord.com/api/webhooks/1/x",
    "ntfy": "https://ntfy.example.com/",
    "pagerduty": "https://events.pagerduty.com/v2/enqueue",
    "home_assistant": "http://192.168.1.20:8123/api/webhook/too_cold",
    "alertmanager": "http://192.168.1.20:9093/api/v2/alerts",
    "teams": "https://prod-1.westeurope.logic.azure.com/workflows/1/triggers/manual/paths/invoke?sig=x",
    "healthchecks": "https://hc-ping.com/6f3b1c4e-0d1a-4d0e-9d59-0d1a4d0e9d59",
}
OPTIONS: dict[str, dict[str, Any]] = {
    "ntfy": {"topic": "lakehouse", "tags": ["snowflake"], "click": "https://example.com"},
    "pagerduty": {"routing_key": KEY},
    "discord": {"username": "bellcrank"},
}


def text(most: int, least: int = 0) -> dict[str, Any]:
    return {"type": "string", "minLength": least, "maxLength": most}


TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
LABELS = {
    "type": "object",
    "propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"},
    "additionalProperties": {"type": "string"},
}


def closed(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


SCHEMAS: dict[str, dict[str, Any]] = {
    # docs.slack.dev: messages and secondary message attachments
    "slack": closed(
        {
            "text": text(4000, 1),
            "attachments": {
                "type": "array",
                "maxItems": 100,
                "items": closed(
                    {
                        "color": {"type": "string", "pattern": "^(good|warning|danger|#[0-9a-f]{6})$"},
                        "title": {"type": "string"},
                        "text": {"type": "string"},
                        "fallback": {"type": "string"},
                        "ts": {"type": "integer"},
                        "fields": {
                            "type": "array",
                            "items": closed(
                                {
                                    "title": {"type": "string"},
                                    "value": {"type": "string"},
                                    "short": {"type": "boolean"},
                                }
                            ),
                        },
                    },
                    "fallback",
                ),
            },
        },
        "text",
    ),
    # discord.com/developers: Execute Webhook, Embed Limits
    "discord": closed(
        {
            "username": text(80, 1),
            "allowed_mentions": {"const": {"parse": []}},
            "embeds": {
                "type": "array",
                "minItems": 1,
                "maxItems": 10,
                "items": closed(
                    {
                        "title": text(256),
                        "description": text(4096),
                        "color": {"type": "integer", "minimum": 0, "maximum": 0xFFFFFF},
                        "timestamp": TIME,
                        "fields": {
                            "type": "array",
                            "maxItems": 25,
                            "items": closed(
                                {"name": text(256, 1), "value": text(1024, 1), "inline": {"type": "boolean"}},
                                "name",
                                "value",
                            ),
                        },
                    }
                ),
            },
        },
        "embeds",
        "allowed_mentions",
    ),
    # docs.ntfy.sh/publish: publish as JSON
    "ntfy": closed(
        {
            "topic": {"type": "string", "pattern": "^[-_A-Za-z0-9]{1,64}$"},
            "message": text(4096),
            "title": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "priority": {"enum": [1, 2, 3, 4, 5]},
            "click": {"type": "string"},
        },
        "topic",
    ),
    # developer.pagerduty.com: Events API v2, alert events
    "pagerduty": closed(
        {
            "routing_key": text(32, 32),
            "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
            "dedup_key": text(255, 1),
            "client": {"type": "string"},
            "payload": closed(
                {
                    "summary": text(1024, 1),
                    "source": {"type": "string", "minLength": 1},
                    "severity": {"enum": ["critical", "warning", "error", "info"]},
                    "timestamp": TIME,
                    "component": {"type": "string"},
                    "group": {"type": "string"},
                    "class": {"type": "string"},
                    "custom_details": {"type": "object"},
                },
                "summary",
                "source",
                "severity",
            ),
        },
        "routing_key",
        "event_action",
    ),
    # home-assistant.io: any JSON object is `trigger.json`
    "home_assistant": {
        "type": "object",
        "required": ["id", "type", "time", "state", "sensor", "value", "summary", "labels", "attributes"],
    },
    # prometheus/alertmanager, api/v2/openapi.yaml: postableAlerts
    "alertmanager": {
        "type": "array",
        "minItems": 1,
        "items": closed(
            {
                "labels": {**LABELS, "required": ["alertname"]},
                "annotations": LABELS,
                "startsAt": TIME,
                "endsAt": TIME,
                "generatorURL": {"type": "string", "format": "uri"},
            },
            "labels",
        ),
    },
    # learn.microsoft.com: Adaptive Cards by an incoming webhook; adaptivecards.io, schema 1.4
    "teams": closed(
        {
            "type": {"const": "message"},
            "attachments": {
                "type": "array",
                "minItems": 1,
                "items": closed(
                    {
                        "contentType": {"const": "application/vnd.microsoft.card.adaptive"},
                        "contentUrl": {"type": "null"},
                        "content": closed(
                            {
                                "$schema": {"const": "http://adaptivecards.io/schemas/adaptive-card.json"},
                                "type": {"const": "AdaptiveCard"},
                                "version": {"const": "1.4"},
                                "msteams": {"type": "object"},
                                "body": {"type": "array", "items": {"$ref": "#/$defs/element"}},
                            },
                            "type",
                            "version",
                        ),
                    },
                    "contentType",
                    "content",
                ),
            },
        },
        "type",
        "attachments",
    )
    | {
        "$defs": {
            "element": {
                "oneOf": [
                    closed(
                        {
                            "type": {"const": "TextBlock"},
                            "text": {"type": "string"},
                            "weight": {"enum": ["Default", "Lighter", "Bolder"]},
                            "size": {"enum": ["Default", "Small", "Medium", "Large", "ExtraLarge"]},
                            "color": {"enum": ["Default", "Dark", "Light", "Accent", "Good", "Warning", "Attention"]},
                            "wrap": {"type": "boolean"},
                        },
                        "type",
                        "text",
                    ),
                    closed(
                        {
                            "type": {"const": "FactSet"},
                            "facts": {
                                "type": "array",
                                "items": closed(
                                    {"title": {"type": "string"}, "value": {"type": "string"}}, "title", "value"
                                ),
                            },
                        },
                        "type",
                        "facts",
                    ),
                ]
            }
        }
    },
}
HOSTILE = replace(
    ALERT,
    value='"}<!everyone> @everyone [x](http://evil) \x00\n' * 400,
    summary='"}<!everyone> @everyone [x](http://evil) \x00\n' * 400,
    labels={"site-1": "é" * 5000, "9lives": "x", "empty": ""},
    attributes={"a": "x" * 100_000},
    severity="dreadful",
    rule=None,
)


def sent(name: str, event: Event) -> Content:
    config = {"url": URLS[name], "unsigned": True, "preset": {name: OPTIONS.get(name, {})}}
    return Writer("lakehouse", "a1", {name: Webhook.model_validate(config)})(event, name, 42)


def document(name: str, event: Event) -> Any:
    return json.loads(sent(name, event).body, parse_constant=pytest.fail)


@pytest.mark.parametrize("kind", [*EVENTS, "hostile"])
@pytest.mark.parametrize("name", SCHEMAS)
def test_what_is_sent_is_what_the_service_documents(name: str, kind: str) -> None:
    Draft202012Validator(SCHEMAS[name]).validate(document(name, {**EVENTS, "hostile": HOSTILE}[kind]))


def test_every_preset_is_tested() -> None:
    assert {*SCHEMAS, "healthchecks"} == set(Presets.model_fields) == set(URLS)


@pytest.mark.parametrize("kind", EVENTS)
@pytest.mark.parametrize("name", [name for name in URLS if name != "home_assistant"])
def test_the_summary_is_told_to_people(name: str, kind: str) -> None:
    event = EVENTS[kind]
    assert (event.summary or event.type) in sent(name, event).body.decode()


@pytest.mark.parametrize(
    ("name", "limit"),
    [("slack", 16_000), ("discord", 20_000), ("ntfy", 4096), ("teams", 28_000), ("alertmanager", 99_999)],
)
def test_no_event_makes_a_message_that_is_too_large(name: str, limit: int) -> None:
    assert len(sent(name, replace(HOSTILE, labels={})).body) < limit


def test_slack_mentions_nobody_that_a_sensor_names() -> None:
    assert "<!everyone>" not in sent("slack", HOSTILE).body.decode()
    assert "&lt;!everyone&gt;" in sent("slack", HOSTILE).body.decode()


def test_pagerduty_triggers_and_resolves_one_incident_by_the_alert() -> None:
    told = [document("pagerduty", event) for event in (ALERT, REPEATED, RESOLVED)]
    assert [(one["event_action"], one["dedup_key"]) for one in told] == [
        ("trigger", "alt_1"),
        ("trigger", "alt_1"),
        ("resolve", "alt_1"),
    ]
    assert document("pagerduty", PULSE)["dedup_key"] == PULSE.id
    assert [document("pagerduty", event)["event_action"] for event in (LOST, RESTORED)] == ["trigger", "resolve"]


def test_the_routing_key_never_shows() -> None:
    webhook = Webhook.model_validate(
        {"url": URLS["pagerduty"], "unsigned": True, "preset": {"pagerduty": {"routing_key": KEY}}}
    )
    assert KEY not in repr(webhook)
    assert KEY not in webhook.model_dump_json()


def test_alertmanager_knows_an_alert_by_the_same_labels_until_it_ends() -> None:
    (firing,), (repeated,), (resolved,) = (document("alertmanager", event) for event in (ALERT, REPEATED, RESOLVED))
    assert firing["labels"] == repeated["labels"] == resolved["labels"]
    assert firing["labels"]["alertname"] == "too_cold"
    assert {one["startsAt"] for one in (firing, repeated, resolved)} == {"2026-01-02T03:04:05.678Z"}
    assert firing["endsAt"] == "2026-01-09T03:04:05.678Z"
    assert repeated["endsAt"] == "2026-01-09T04:04:05.678Z"
    assert resolved["endsAt"] == "2026-01-02T05:04:05.678Z"


def test_alertmanager_lets_a_pulse_end_by_itself() -> None:
    (pulse,) = document("alertmanager", PULSE)
    assert (pulse["startsAt"], pulse["endsAt"]) == ("2026-01-02T03:04:05.678Z", "2026-01-02T03:09:05.678Z")


def test_ntfy_shows_how_severe_it_is() -> None:
    told = [document("ntfy", event) for event in (ALERT, RESOLVED, LOST)]
    assert [(one["priority"], one["tags"][0]) for one in told] == [
        (5, "rotating_light"),
        (3, "white_check_mark"),
        (4, "warning"),
    ]
    assert told[1]["title"] == "lakehouse: too_cold is resolved"


@pytest.mark.parametrize(
    ("event", "suffix"),
    [
        (ALERT, "/fail"),
        (REPEATED, "/fail"),
        (RESOLVED, ""),
        (PULSE, "/log"),
        (LOST, "/fail"),
        (RESTORED, ""),
        (replace(PULSE, type="agent.heartbeat", rule=None), ""),
        (replace(PULSE, type="webhook.test", rule=None), "/log"),
    ],
)
def test_healthchecks_are_told_by_the_path_how_it_is(event: Event, suffix: str) -> None:
    content = sent("healthchecks", event)
    assert content.suffix == suffix
    assert content.headers == {"content-type": "text/plain; charset=utf-8"}


def test_home_assistant_finds_the_value_at_the_top() -> None:
    told = document("home_assistant", ALERT)
    assert (told["value"], told["state"], told["labels"]) == (4.2, "firing", {"site": "cabin"})
