"""Signatures of webhooks that are sent and that are received.

Standard Webhooks (https://www.standardwebhooks.com, specification 1.0): the signed content is
`id.timestamp.body`; a signature is `v1,` and the base64 of its HMAC-SHA256. There is one for each secret,
newest first, so that a receiver accepts both while a secret is being changed.

GitHub's (https://docs.github.com/webhooks): `sha256=` and the hex HMAC-SHA256 of the body alone, so that nothing
tells an old request that is sent again from a new one.
"""

import base64
import binascii
import hmac
import math
from collections.abc import Mapping, Sequence

PREFIX = "whsec_"
KEY_BYTES_MIN, KEY_BYTES_MAX = 24, 64
TOLERANCE_S = 300
_TIMESTAMP_DIGITS_MAX = 12


class BadSignature(Exception):
    """The message says what is wrong, without any secret."""


def key_of(secret: str) -> bytes:
    """The key of a secret (`whsec_` and base64 of 24 to 64 bytes).

    Raises ValueError, which does not show it.
    """
    if not secret.startswith(PREFIX):
        raise ValueError(f"a secret begins with {PREFIX}: `bellcrank secret new` makes one")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"behind {PREFIX} stands no base64: `bellcrank secret new` makes a secret") from None
    if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise ValueError(f"a secret has {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes, this one has {len(key)}")
    return key


def new_secret(random: bytes) -> str:
    """Write a secret of random bytes (32 are usual)."""
    return PREFIX + base64.b64encode(random).decode()


def github_key_of(secret: str) -> bytes:
    """The key of a secret as GitHub takes it: any text of at least 24 bytes.

    Raises ValueError, which does not show it.
    """
    key = secret.encode()
    if len(key) < KEY_BYTES_MIN:
        raise ValueError(f"a secret has at least {KEY_BYTES_MIN} bytes, this one has {len(key)}")
    return key


def headers(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a signed request; without keys only the first two.

    `timestamp` is in Unix seconds.
    """
    found = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if keys:
        found["webhook-signature"] = " ".join(_signature(key, message_id, str(timestamp), body) for key in keys)
    return found


def github_headers(keys: Sequence[bytes], message_id: str, body: bytes) -> dict[str, str]:
    """The headers of GitHub's signature, which has room for one key: the newest."""
    found = {"x-github-delivery": message_id}
    if keys:
        found["x-hub-signature-256"] = _github_signature(keys[0], body)
    return found


def verify(keys: Sequence[bytes], request: Mapping[str, str], body: bytes, now: float | None) -> None:
    """Check a request's headers (names in lower case) against its body. Raises BadSignature.

    `now` is in Unix seconds; None: nobody knows, and the timestamp is signed but not compared.
    """
    try:
        message_id, timestamp = request["webhook-id"], request["webhook-timestamp"]
        signatures = request["webhook-signature"].split()
    except KeyError as error:
        raise BadSignature(f"the header {error.args[0]} is missing") from None
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > _TIMESTAMP_DIGITS_MAX:
        raise BadSignature("webhook-timestamp is not a number")
    if now is not None and not math.isclose(int(timestamp), now, rel_tol=0, abs_tol=TOLERANCE_S):
        raise BadSignature(f"webhook-timestamp is more than {TOLERANCE_S} s off: is one of the clocks wrong?")
    _compare([_signature(key, message_id, timestamp, body) for key in keys], signatures)


def verify_github(keys: Sequence[bytes], request: Mapping[str, str], body: bytes) -> None:
    """The same for GitHub's signature. Raises BadSignature."""
    try:
        given = request["x-hub-signature-256"]
    except KeyError as error:
        raise BadSignature(f"the header {error.args[0]} is missing") from None
    _compare([_github_signature(key, body) for key in keys], [given])


def _compare(expected: Sequence[str], given: Sequence[str]) -> None:
    """Compare all with all, in a time that tells nothing."""
    pairs = [(ours.encode(), _raw(theirs)) for ours in expected for theirs in given]
    if not any([hmac.compare_digest(ours, theirs) for ours, theirs in pairs]):  # noqa: C419
        raise BadSignature("the signature does not match: another secret, or a changed body")


def _raw(header: str) -> bytes:
    """The bytes of a header as they came: a server reads what is no UTF-8 as surrogates."""
    return header.encode(errors="surrogateescape")


def _github_signature(key: bytes, body: bytes) -> str:
    return "sha256=" + hmac.digest(key, body, "sha256").hex()


def _signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    content = _raw(f"{message_id}.{timestamp}.") + body
    return "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode()
