"""`bellcrank verify`: whether one request is genuine, and where it is not, what exactly is wrong with it.

That a signature does not match says little. So it is tried with what commonly becomes of a body or a secret on the way
to who verifies.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from drivers.signing import PREFIX, TOLERANCE_S, BadSignature, key_of, verify, verify_github

_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")
_Check = Callable[[Sequence[bytes], bytes], None]
"""Keys and body; raises BadSignature."""


class Request(NamedTuple):
    """One request, as it came."""

    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class Verdict(NamedTuple):
    """What there is to say."""

    genuine: bool
    words: str


class NoRequest(ValueError):
    """What was given cannot be read; the message says why."""


def parse(message: bytes) -> Request:
    """Headers, an empty line and the body, as HTTP has them, with or without a request line. Raises NoRequest."""
    found = _EMPTY_LINE.search(message)
    if found is None:
        raise NoRequest("there is no empty line between headers and body")
    return Request(parse_headers(message[: found.start()]), message[found.end() :])


def parse_headers(head: bytes) -> dict[str, str]:
    """`Name: text`, one a line; names in lower case. Raises NoRequest."""
    lines = head.decode(errors="surrogateescape").splitlines()
    if lines and lines[0].endswith(("HTTP/1.1", "HTTP/1.0", "HTTP/2")):
        del lines[0]
    pairs = [line.partition(":") for line in lines if line.strip()]
    for name, colon, _ in pairs:
        if not colon:
            raise NoRequest(f"{name[:80]!r} is no header: `Name: text`, one a line")
    return {name.strip().lower(): text.strip() for name, _, text in pairs}


def secrets_in(text: str) -> list[str]:
    """All that may be a secret in a text: each line, and what stands behind its `name:`. Raises NoRequest."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise NoRequest("there is no secret in it")
    values = [line.partition(": ")[2].partition(" #")[0].strip().strip("'\"") for line in lines]
    return [*lines, *filter(None, values)]


def judge(request: Request, secrets: Sequence[str], now: float | None) -> Verdict:
    """By the signature that the request has. `now` is in Unix seconds; None: its age does not matter."""
    headers = request.headers
    if "webhook-signature" in headers:
        return _judge_standard(request, secrets, now)
    if "x-hub-signature-256" not in headers:
        names = ", ".join(sorted(headers)) or "none"
        return Verdict(False, f"it is not signed: no webhook-signature, no x-hub-signature-256 (its headers: {names})")
    keys = [secret.encode() for secret in secrets]
    if wrong := _wrong(request, keys, lambda keys, body: verify_github(keys, headers, body), {}):
        return Verdict(False, wrong)
    return Verdict(True, "verified, by GitHub's signature, which says nothing of its age: it may be an old one")


def _judge_standard(request: Request, secrets: Sequence[str], now: float | None) -> Verdict:
    headers, candidates = request.headers, [secret for secret in secrets if secret.startswith(PREFIX)]
    try:
        keys = [key_of(secret) for secret in candidates if ": " not in secret]
    except ValueError as error:
        return Verdict(False, str(error))
    if not keys:
        return Verdict(False, f"there is no secret to verify it with: one begins with {PREFIX}")
    as_text = {
        "base64 behind whsec_ was not decoded": [secret.removeprefix(PREFIX).encode() for secret in candidates],
        "the whole text, with whsec_, was the key": [secret.encode() for secret in candidates],
    }
    if wrong := _wrong(request, keys, lambda keys, body: verify(keys, headers, body, None), as_text):
        return Verdict(False, wrong)
    age_s = 0 if now is None else int(now) - int(headers["webhook-timestamp"])
    if abs(age_s) > TOLERANCE_S:
        how = f"{age_s} s old" if age_s > 0 else f"{-age_s} s ahead"
        return Verdict(False, f"the signature is right, but it is {how}: sent again by somebody, or is a clock wrong?")
    return Verdict(True, f"verified: {headers['webhook-id']}")


def _wrong(
    request: Request, keys: Sequence[bytes], check: _Check, other_keys: Mapping[str, Sequence[bytes]]
) -> str | None:
    """What is wrong with a signature; None: nothing."""
    if (error := _refusal(check, keys, request.body)) is None:
        return None
    for words, body in _other_bodies(request.body):
        if _refusal(check, keys, body) is None:
            return f"the body is not as it was signed: {words}"
    for words, others in other_keys.items():
        if _refusal(check, others, request.body) is None:
            return f"who signed took the secret for something else: {words}"
    return error


def _refusal(check: _Check, keys: Sequence[bytes], body: bytes) -> str | None:
    try:
        check(keys, body)
    except BadSignature as bad:
        return str(bad)
    return None


def _other_bodies(body: bytes) -> Iterator[tuple[str, bytes]]:
    """What it may have been before something was done to it."""
    yield "a line end was added to it", body.removesuffix(b"\n").removesuffix(b"\r")
    yield "the line end at its end was taken away", body + b"\n"
    yield "its line ends were changed to CRLF", body.replace(b"\r\n", b"\n")
    yield "its line ends were changed from CRLF", body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    yield "a byte order mark was added to it", body.removeprefix(b"\xef\xbb\xbf")
    try:
        document = json.loads(body)
        compact = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return
    yield "it was parsed and written anew: verify the bytes that came", compact
