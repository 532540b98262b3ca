"""What a webhook may be in the configuration."""

from typing import Any

import pytest
from pydantic import ValidationError

from agent.webhooks.config import Webhook
from tests.faults.oracle import SECRET


def webhook(**given: Any) -> Webhook:
    return Webhook.model_validate({"url": "https://ops.example.com/x", "secrets": [SECRET], **given})


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"secrets": []}, "neither `secrets` nor `unsigned: true`"),
        ({"unsigned": True}, "beside `secrets`"),
        ({"secrets": ["whsec_abcd"]}, "24 to 64 bytes"),
        ({"url": "ftp://x/y"}, "https://host/path"),
        ({"url": "ops.example.com"}, "https://host/path"),
        ({"url": "https://me:pw@x/y"}, "user name or password"),
        ({"url": "http://93.184.216.34/x"}, "allow_http"),
        ({"url": "https://169.254.169.254/latest"}, "metadata"),
        ({"url": "https://[fe80::1]/x"}, "link-local"),
        ({"url": "https://[::ffff:169.254.169.254]/x"}, "metadata"),
        ({"url": "https://[64:ff9b::169.254.169.254]/x"}, "metadata"),
        ({"url": "https://[2002:a9fe:a9fe::1]/x"}, "metadata"),
        ({"url": "https://[fd00:ec2::254]/x"}, "metadata"),
        ({"url": "https://100.100.100.200/x"}, "metadata"),
        ({"url": "http://[64:ff9b::93.184.216.34]/x"}, "allow_http"),
        ({"url": "https://0.0.0.0/x"}, "no host"),
        ({"concurrency": 0}, "greater than or equal to 1"),
        ({"rest": {"min": "1h", "max": "1m"}}, "longer than"),
        ({"expires": 0}, "greater than 0"),
        ({"signature": "github", "secrets": ["short"]}, "at least 24 bytes"),
        ({"signature": "github", "secrets": [], "unsigned": True}, "beside `unsigned: true`"),
        ({"preset": "slak"}, "unknown preset 'slak': did you mean slack?"),
        ({"preset": "ntfy"}, "ntfy needs options: {ntfy: {topic: ...}}"),
        ({"preset": {"ntfy": {}}}, "Field required"),
        ({"preset": {"slack": {}, "teams": {}}}, "has to be one of slack, discord"),
        ({"preset": {}}, "has to be one of slack, discord"),
        ({"preset": {"slack": {"topic": "x"}}}, "Extra inputs"),
        ({"preset": {"ntfy": {"topic": "a/b"}}}, "match pattern"),
        ({"preset": {"ntfy": {"topic": "lakehouse"}}}, "leave the path out"),
        ({"preset": "alertmanager"}, "has to end with /api/v2/alerts"),
        ({"preset": {"pagerduty": {"routing_key": "r"}}}, "https://events.pagerduty.com/v2/enqueue"),
        ({"preset": "home_assistant"}, "/api/webhook/"),
        ({"preset": "healthchecks", "url": "https://hc-ping.com/uuid/fail"}, "leave /fail out"),
        ({"preset": "slack", "body": {"a": 1}}, "`body` beside `preset`"),
        ({"preset": "slack", "method": "PUT"}, "`method` beside `preset`"),
        ({"preset": "slack", "content_type": "text/plain"}, "`content_type` beside `preset`"),
        ({"method": "GET"}, "'POST', 'PUT' or 'PATCH'"),
        ({"content_type": "json"}, "match pattern"),
        ({"content_type": "text/plain\r\nx: y"}, "match pattern"),
        ({"body": "{summary}"}, "valid dictionary"),
        ({"url": "http://192.168.1.20/x", "tls": {"min_version": "1.3"}}, "https:// alone"),
    ],
)
def test_what_is_wrong_is_refused_with_the_reason(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError) as caught:
        webhook(**given)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"url": "http://127.0.0.1:8080/x"},
        {"url": "http://192.168.1.20/x"},
        {"url": "http://[::1]/x"},
        {"url": "http://93.184.216.34/x", "allow_http": True},
        {"secrets": [], "unsigned": True},
        {"secrets": [SECRET, SECRET]},
        {"signature": "github", "secrets": ["any text of more than 24 bytes"]},
        {"preset": "slack"},
        {"preset": {"teams": {}}},
        {"preset": {"ntfy": {"topic": "lakehouse"}}, "url": "https://ntfy.example.com"},
        {"body": {"text": "{summary}"}, "method": "PUT", "content_type": "application/vnd.x+json; charset=utf-8"},
        {"tls": {"min_version": "1.3"}},
    ],
)
def test_what_is_right_is_taken(given: dict[str, Any]) -> None:
    assert webhook(**given).url.startswith("http")


def test_a_secret_never_shows() -> None:
    assert SECRET not in repr(webhook())
    assert SECRET not in webhook().model_dump_json()


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("webhook-id", "x", "written by bellcrank itself"),
        ("Webhook-Anything", "x", "written by bellcrank itself"),
        ("Host", "x", "written by bellcrank itself"),
        ("Content-Length", "x", "written by bellcrank itself"),
        ("Content-Type", "x", "`content_type`"),
        ("X-Hub-Signature-256", "x", "written by bellcrank itself"),
        ("X Y", "x", "not a name of a header"),
        ("X-Y\r\n", "x", "not a name of a header"),
        ("X-Title", "{summry}", "did you mean summary?"),
        ("X-Title", "{", "doubled"),
    ],
)
def test_a_header_that_cannot_be_is_told_at_its_place(name: str, text: str, why: str) -> None:
    ((where, told),) = webhook(headers={name: text}).wrong_places()
    assert where == ("headers", name)
    assert why in told


def test_a_header_stands_once_whatever_its_case() -> None:
    assert [where for where, _ in webhook(headers={"X-A": "1", "x-a": "2"}).wrong_places()] == [("headers", "x-a")]


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key", "X-Gitlab-Token", "Cookie"])
def test_a_header_that_is_a_secret_by_its_name_never_shows(name: str) -> None:
    config = webhook(headers={name: "Bearer hunter2"})
    assert "hunter2" not in repr(config)
    assert "hunter2" not in config.model_dump_json()
    assert config.header_texts() == {name: "Bearer hunter2"}
