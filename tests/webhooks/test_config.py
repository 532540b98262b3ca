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
        ({"url": "https://0.0.0.0/x"}, "no host"),
        ({"concurrency": 0}, "greater than or equal to 1"),
        ({"rest": {"min": "1h", "max": "1m"}}, "longer than"),
        ({"expires": 0}, "greater than 0"),
        ({"preset": "slack"}, "Extra inputs"),
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
    ],
)
def test_what_is_right_is_taken(given: dict[str, Any]) -> None:
    assert webhook(**given).url.startswith("http")


def test_a_secret_never_shows() -> None:
    assert SECRET not in repr(webhook())
    assert SECRET not in webhook().model_dump_json()
