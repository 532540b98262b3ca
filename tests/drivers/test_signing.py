"""Signatures, judged by the `standardwebhooks` package."""

import base64
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from drivers.signing import BadSignature, github_key_of, headers, key_of, new_secret, verify, verify_github

SECRETS = [new_secret(bytes(range(n, n + 32))) for n in (1, 2)]
KEYS = [key_of(secret) for secret in SECRETS]
BODY = '{"type":"sensor.event","data":{"unit":"°C"}}'.encode()


def test_the_standards_own_package_verifies_them() -> None:
    signed = headers(KEYS[:1], "evt_1", int(time.time()), BODY)
    assert Webhook(SECRETS[0]).verify(BODY, signed)["type"] == "sensor.event"


@pytest.mark.parametrize("secret", SECRETS)
def test_while_a_secret_is_changed_both_verify(secret: str) -> None:
    signed = headers(KEYS, "evt_1", int(time.time()), BODY)
    assert signed["webhook-signature"].count("v1,") == 2
    Webhook(secret).verify(BODY, signed)


def test_another_secret_and_a_changed_body_do_not_verify() -> None:
    signed = headers(KEYS[:1], "evt_1", int(time.time()), BODY)
    for secret, body in ((SECRETS[1], BODY), (SECRETS[0], BODY + b" ")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, signed)


def test_the_newest_secret_signs_first() -> None:
    both = headers(KEYS, "evt_1", 5, BODY)["webhook-signature"]
    assert both.split(" ")[0] == headers(KEYS[:1], "evt_1", 5, BODY)["webhook-signature"]


def test_without_a_secret_there_is_no_signature() -> None:
    assert set(headers([], "evt_1", 5, BODY)) == {"webhook-id", "webhook-timestamp"}


def test_our_own_verification_takes_what_the_package_signs() -> None:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    signed = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRETS[1]).sign("msg_1", now, BODY.decode()),
    }
    verify(KEYS, signed, BODY, now.timestamp())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"webhook-id": "evt_2"}, "does not match"),
        ({"webhook-timestamp": "999"}, "does not match|off"),
        ({"webhook-timestamp": "soon"}, "not a number"),
        ({"webhook-timestamp": "9" * 5000}, "not a number"),
        ({"webhook-id": "\udcff"}, "does not match"),
        ({"webhook-signature": "v1,\udcff"}, "does not match"),
        ({"webhook-signature": "v1,AAAA"}, "does not match"),
        ({"webhook-signature": ""}, "does not match"),
        ({"webhook-signature": "v1,é"}, "does not match"),
    ],
)
def test_what_was_changed_is_refused_with_the_reason(change: dict[str, str], why: str) -> None:
    signed = headers(KEYS, "evt_1", 1000, BODY)
    with pytest.raises(BadSignature, match=why):
        verify(KEYS, {**signed, **change}, BODY, 1000.0)


@pytest.mark.parametrize("now", [1000 + 301, 1000 - 301])
def test_an_old_or_early_timestamp_is_refused(now: float) -> None:
    with pytest.raises(BadSignature, match="clocks"):
        verify(KEYS, headers(KEYS, "evt_1", 1000, BODY), BODY, now)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_named(name: str) -> None:
    signed = headers(KEYS, "evt_1", 1000, BODY)
    del signed[name]
    with pytest.raises(BadSignature, match=name):
        verify(KEYS, signed, BODY, 1000)


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("hunter2", "begins with whsec_"),
        ("whsec_not base64!", "no base64"),
        ("whsec_" + base64.b64encode(bytes(23)).decode(), "24 to 64"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "24 to 64"),
    ],
)
def test_a_bad_secret_is_refused_without_showing_it(secret: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        key_of(secret)
    assert secret.removeprefix("whsec_") not in str(caught.value)


def test_where_nobody_knows_the_time_an_old_timestamp_still_needs_its_signature() -> None:
    signed = headers(KEYS, "evt_1", 1000, BODY)
    verify(KEYS, signed, BODY, None)
    with pytest.raises(BadSignature, match="does not match"):
        verify(KEYS, {**signed, "webhook-timestamp": "1001"}, BODY, None)


# -- GitHub's

# The example of GitHub's documentation, "Validating webhook deliveries".
GITHUB_SECRET, GITHUB_BODY = "It's a Secret to Everybody", b"Hello, World!"
GITHUB_SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def test_the_example_of_githubs_documentation_verifies() -> None:
    keys = [github_key_of("another secret of 24 bytes or more"), github_key_of(GITHUB_SECRET)]
    verify_github(keys, {"x-hub-signature-256": GITHUB_SIGNATURE}, GITHUB_BODY)


@pytest.mark.parametrize(
    ("request_headers", "body", "why"),
    [
        ({}, GITHUB_BODY, "x-hub-signature-256 is missing"),
        ({"x-hub-signature-256": GITHUB_SIGNATURE}, b"Hello, World", "does not match"),
        ({"x-hub-signature-256": GITHUB_SIGNATURE.removeprefix("sha256=")}, GITHUB_BODY, "does not match"),
        ({"x-hub-signature-256": "sha256=\udcff"}, GITHUB_BODY, "does not match"),
    ],
)
def test_what_github_did_not_sign_is_refused(request_headers: dict[str, str], body: bytes, why: str) -> None:
    with pytest.raises(BadSignature, match=why):
        verify_github([github_key_of(GITHUB_SECRET)], request_headers, body)


def test_a_short_secret_of_github_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="at least 24 bytes, this one has 7") as caught:
        github_key_of("hunter2")
    assert "hunter2" not in str(caught.value)
