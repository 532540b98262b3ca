"""Standard Webhooks signatures (https://www.standardwebhooks.com, specification 1.0).

The signed content is `id.timestamp.body`; a signature is `v1,` and the base64 of its HMAC-SHA256. There is
one for each secret, newest first, so that a receiver accepts both while a secret is being changed.
"""

import base64
import binascii
import hashlib
import hmac
import math
from collections.abc import Mapping, Sequence

PREFIX = "whsec_"
KEY_BYTES_MIN, KEY_BYTES_MAX = 24, 64
TOLERANCE_S = 300


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


def headers(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a signed request; without keys only the first two.

    `timestamp` is in Unix seconds.
    """
    found = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if keys:
        found["webhook-signature"] = " ".join(_signature(key, message_id, str(timestamp), body) for key in keys)
    return found


def verify(keys: Sequence[bytes], request: Mapping[str, str], body: bytes, now: float) -> None:
    """Check a request's headers (names in lower case) against its body. Raises BadSignature."""
    try:
        message_id, timestamp = request["webhook-id"], request["webhook-timestamp"]
        signatures = request["webhook-signature"].split()
    except KeyError as error:
        raise BadSignature(f"the header {error.args[0]} is missing") from None
    if not timestamp.isascii() or not timestamp.isdigit():
        raise BadSignature("webhook-timestamp is not a number")
    if not math.isclose(int(timestamp), now, abs_tol=TOLERANCE_S):
        raise BadSignature(f"webhook-timestamp is more than {TOLERANCE_S} s off: is one of the clocks wrong?")
    expected = [_signature(key, message_id, timestamp, body).encode() for key in keys]
    given = [signature.encode() for signature in signatures]
    if not any([hmac.compare_digest(ours, theirs) for ours in expected for theirs in given]):  # noqa: C419
        raise BadSignature("the signature does not match: another secret, or a changed body")


def _signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    content = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
