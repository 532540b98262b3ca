"""Who may speak to an HTTP source, and what they say, without I/O.

Three gates, one for each way to show that one may: a token, a signature of Standard Webhooks, GitHub's
signature. They say no by raising Denied; nothing of a secret is in it.

Some devices (the actions of Shelly, for one) can do no more than GET a URL. For them a token may be the last
part of the path, and the query of a GET is the payload. It is not taken out of the query, which is payload and
goes on into events. In the path it is as secret as any other URL that is a secret: over plain HTTP as readable as
a header, but more likely to stand in somebody's log. The agent itself logs no request.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from hmac import compare_digest
from typing import ClassVar, NamedTuple
from urllib.parse import parse_qsl

from drivers.base import Moment
from drivers.signing import BadSignature, verify, verify_github

_FIELDS_MAX = 100
_FORM = "application/x-www-form-urlencoded"


class Denied(Exception):
    """A request is not taken: the status of the answer, its headers, and a sentence for whoever sent it."""

    def __init__(self, status: int, why: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(why)
        self.status, self.why, self.headers = status, why, headers or {}


class Request(NamedTuple):
    """One request without its body."""

    method: str
    query: str
    """As it came, percent-encoded."""
    headers: Mapping[str, str]
    """Names in lower case; bytes that are no UTF-8 as surrogates."""
    token: str | None
    """What stands behind the path of the source."""


class Gate(ABC):
    """Of one source."""

    methods: tuple[str, ...] = ("POST",)
    id_header: ClassVar[str] = "webhook-id"

    def check_head(self, request: Request) -> None:
        """What can be known before the body is read. Raises Denied."""
        if request.token is not None:
            raise Denied(404, "there is nothing here")
        self._check_method(request)

    @abstractmethod
    def check_body(self, request: Request, body: bytes, moment: Moment) -> None:
        """What can be known of the body. Raises Denied."""

    def message_id(self, request: Request) -> str | None:
        """The id that the sender gave the message, the same when it is sent again."""
        return request.headers.get(self.id_header) or None

    def _check_method(self, request: Request) -> None:
        if request.method not in self.methods:
            allowed = ", ".join(self.methods)
            raise Denied(405, f"only {allowed}", {"Allow": allowed})


class TokenGate(Gate):
    """Who has the token, as `Authorization: Bearer` or behind the path."""

    def __init__(self, token: str, *, takes_get: bool) -> None:
        """`takes_get`: a GET brings its payload in the query."""
        self._token = token.encode()
        if takes_get:
            self.methods = ("POST", "GET")

    def check_head(self, request: Request) -> None:
        """Check token and method. Raises Denied."""
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = request.token if request.token is not None else bearer if kind.lower() == "bearer" else ""
        if not compare_digest(given.encode(errors="surrogateescape"), self._token):
            raise Denied(401, "a token is needed, and this is not it", {"WWW-Authenticate": "Bearer"})
        self._check_method(request)

    def check_body(self, request: Request, body: bytes, moment: Moment) -> None:
        """Nothing is left to check."""


class StandardGate(Gate):
    """Who signs as Standard Webhooks say.

    The timestamp is compared only while there is a sign that the device's own clock is right: one without
    would refuse every event. What is recorded and sent again meanwhile is known by its id to the ledger.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = keys

    def check_body(self, request: Request, body: bytes, moment: Moment) -> None:
        """Check signature and timestamp. Raises Denied."""
        try:
            verify(self._keys, request.headers, body, moment.wall if moment.synced else None)
        except BadSignature as bad:
            raise Denied(401, str(bad)) from None


class GithubGate(Gate):
    """Who signs as GitHub does."""

    id_header = "x-github-delivery"

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = keys

    def check_body(self, request: Request, body: bytes, moment: Moment) -> None:
        """Check the signature. Raises Denied."""
        try:
            verify_github(self._keys, request.headers, body)
        except BadSignature as bad:
            raise Denied(401, str(bad)) from None


def json_payload(request: Request, body: bytes) -> bytes:
    """The payload of a source whose format is JSON: a form, and the query of a GET, as an object of texts.

    What is called a form but begins as JSON does is JSON, for so does `curl -d` call it. Raises Denied.
    """
    if request.method == "GET":
        return _as_object(request.query)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == _FORM and body.lstrip()[:1] not in (b"{", b"["):
        return _as_object(body.decode(errors="replace"))
    return body


def _as_object(form: str) -> bytes:
    try:
        fields = parse_qsl(form, keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError:
        raise Denied(400, f"a form of more than {_FIELDS_MAX} fields") from None
    return json.dumps(dict(fields)).encode()
