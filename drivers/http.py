"""The driver of webhooks that come in: sources that share an address to listen on.

A request is answered with 204 behind the `yield` of its batch, so only once what it caused is on disk. Without
that answer its sender sends it again, and its id tells that it was here before: then it is 204 again, and no
more. A sender that does not wait for its answer changes nothing: what was taken is handled. What is no value is
refused and counted as with every other driver, and answered with 204 too, since it would be no better the next
time.
"""

import asyncio
import hashlib
import math
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import unquote

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from drivers.base import (
    Arrival,
    Batch,
    Driver,
    DriverError,
    FeedState,
    Message,
    Presence,
    Raw,
    Receipt,
    SourceConfig,
    SourceState,
    Surroundings,
)
from drivers.buckets import TokenBucket
from drivers.decoding import Decoder
from drivers.http_gate import Denied, Gate, GithubGate, Request, StandardGate, TokenGate, json_payload
from drivers.signing import github_key_of, key_of
from drivers.units import Rate, RateLimit, Size, Token, parse_address

if TYPE_CHECKING:
    from aiohttp import web

    from drivers.http_server import Server

_INTAKE_REQUESTS = 128
"""Beyond them the answer is 503, until there is room again."""


class HttpSource(SourceConfig):
    """A path as a source."""

    driver: Literal["http"]
    listen: str = "127.0.0.1:8322"
    path: Annotated[str, StringConstraints(max_length=256)]
    secrets: list[SecretStr] = Field(default_factory=list)
    token: Token | None = None
    signature: Literal["standard", "github"] = "standard"
    max_body: Annotated[Size, Field(ge=1, le=1024 * 1024)] = 256 * 1024
    rate: Rate = RateLimit(50, 1.0)

    @field_validator("listen")
    @classmethod
    def _is_an_address(cls, listen: str) -> str:
        parse_address(listen)
        return listen

    @field_validator("path")
    @classmethod
    def _is_a_path(cls, path: str) -> str:
        plain = path.replace("/", "").translate(dict.fromkeys(map(ord, "-._~")))
        if not path.startswith("/") or path.endswith("/") or not (plain.isascii() and plain.isalnum()):
            raise ValueError("has to be a path of letters, digits and - . _ ~, such as /in/front_door")
        return path

    @model_validator(mode="after")
    def _asks_who_speaks(self) -> Self:
        if bool(self.secrets) == (self.token is not None):
            raise ValueError("has to have either `secrets` (who sends signs) or a `token`")
        if self.token is not None and "signature" in self.model_fields_set:
            raise ValueError("`signature` beside a `token`: it says how `secrets` sign")
        self.gate()
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of `listen`."""
        return parse_address(self.listen)

    def gate(self) -> Gate:
        """What asks who speaks. Raises ValueError for secrets that are none."""
        if self.token is not None:
            return TokenGate(self.token.get_secret_value(), takes_get=self.format == "json")
        secrets = [secret.get_secret_value() for secret in self.secrets]
        if self.signature == "github":
            return GithubGate([github_key_of(secret) for secret in secrets])
        return StandardGate([key_of(secret) for secret in secrets])


class _Plan:
    """One source, made ready for requests."""

    def __init__(self, name: str, config: HttpSource) -> None:
        self.name = name
        self.path = config.path
        self.size_max = config.max_body
        self.gate = config.gate()
        self.bucket = TokenBucket(config.rate)
        self._is_json = config.format == "json"
        self._decoder = Decoder(name, config.format, config.sensors, config.labels, config.attributes)
        self._names = self._decoder.names(name, {})

    def payload(self, request: Request, body: bytes) -> bytes:
        """What the request brings, in the format of the source. Raises Denied."""
        return json_payload(request, body) if self._is_json else body

    def receipt(self, request: Request) -> Receipt | None:
        """What the message is known again by: one id may come to several paths, and to each it is new."""
        message_id = self.gate.message_id(request)
        if message_id is None:
            return None
        named = f"{self.path}\0{message_id}".encode(errors="surrogateescape")
        return Receipt(None, False, hashlib.blake2b(named, digest_size=6).digest())

    def message(self, at: float, payload: bytes, receipt: Receipt | None) -> Message:
        """What a payload says."""
        readings, refusals = self._decoder.decode(payload, self._names, retained=False)
        return Message(at, (self.name,), readings, refusals, receipt)


class _Taken(NamedTuple):
    """A request that waits for its answer."""

    at: float
    plan: _Plan
    payload: bytes
    receipt: Receipt | None
    answer: asyncio.Future[int]
    """Its status."""


class HttpDriver(Driver):
    """One address and all its sources."""

    Source = HttpSource

    def __init__(self, address: tuple[str, int], sources: Mapping[str, HttpSource], around: Surroundings) -> None:
        host, port = address
        self._listen = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.name = f"http:{self._listen}"
        self._clock, self._tap = around.clock, around.tap
        self._plans = {source.path: _Plan(name, source) for name, source in sources.items()}
        self._address = address
        self._server: Server | None = None
        self._intake: deque[_Taken | Presence] = deque()
        self._handling: list[_Taken] = []
        self._wake = asyncio.Event()
        self._closed = False
        self._state = SourceState(FeedState.CONNECTING)

    @classmethod
    def feeds(cls, sources: Mapping[str, Any], around: Surroundings) -> Sequence[Self]:
        """One feed for each address."""
        by_address: dict[tuple[str, int], dict[str, HttpSource]] = {}
        for name, source in sources.items():
            by_address.setdefault(source.address, {})[name] = source
        return [cls(address, theirs, around) for address, theirs in by_address.items()]

    async def batches(self) -> AsyncIterator[Batch]:
        """Listen and yield what comes."""
        try:
            await self._open()
            while not self._closed:
                while self._intake and not self._closed:
                    yield self._taken()
                    self._answer(self._handling, 204)
                await self._wake.wait()
                self._wake.clear()
        finally:
            await self._let_go()

    async def close(self) -> None:
        """Take no more. What is being handled has its answer still to come, the rest is to be sent again."""
        self._closed = True
        self._state = SourceState(FeedState.LOST, "closed")
        if self._server is not None:
            self._server.refuse_new()
        self._drop_intake()
        self._wake.set()

    def decode(self, raw: Raw) -> Sequence[Message | Presence]:
        """What the source makes of a body."""
        plans = [plan for plan in self._plans.values() if plan.name == raw.source]
        return [plan.message(raw.at, raw.payload, None) for plan in plans]

    def behind_since(self) -> float | None:
        """When the oldest request came that waits in the intake."""
        return self._intake[0].at if self._intake else None

    def states(self) -> Mapping[str, SourceState]:
        """The same state for all sources."""
        return {plan.name: self._state for plan in self._plans.values()}

    # -- the address

    async def _open(self) -> None:
        made = await asyncio.to_thread(_server)
        if self._closed:
            return
        self._server = made(*self._address, self._handle)
        try:
            await self._server.start()
        except OSError as error:
            why = f"{self._listen}: {error.strerror}"
            self._state = SourceState(FeedState.LOST, why)
            raise DriverError(why) from None
        if not self._closed:
            self._stand(FeedState.OPEN)

    async def _let_go(self) -> None:
        self._answer(self._handling, 503)
        self._drop_intake()
        if self._server is not None:
            await self._server.stop()

    # -- the intake

    def _stand(self, state: FeedState) -> None:
        """Tell how the sources stand, behind the requests that came before."""
        self._state = SourceState(state)
        now = self._clock.now()
        self._intake.extend(Presence(now, plan.name, plan.name, state) for plan in self._plans.values())
        self._wake.set()

    def _taken(self) -> list[Arrival]:
        arrived = list(self._intake)
        self._intake.clear()
        self._handling = [one for one in arrived if isinstance(one, _Taken)]
        if self._state.state is FeedState.PAUSED:
            self._stand(FeedState.OPEN)
        return [self._message(one) if isinstance(one, _Taken) else one for one in arrived]

    def _message(self, taken: _Taken) -> Message:
        at, plan, payload, receipt, _ = taken
        if self._tap is not None:
            self._tap(Raw(at, self.name, None, plan.name, payload))
        return plan.message(at, payload, receipt)

    def _drop_intake(self) -> None:
        self._answer([one for one in self._intake if isinstance(one, _Taken)], 503)
        self._intake.clear()

    def _answer(self, requests: Iterable[_Taken], status: int) -> None:
        for one in requests:
            if not one.answer.done():
                one.answer.set_result(status)

    # -- one request

    async def _handle(self, came: "web.BaseRequest", server: "Server", body: bytearray) -> int:
        plan, request = self._route(came)
        plan.gate.check_head(request)
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Denied(415, "the body has to come uncompressed")
        self._check_room()
        await server.read(came, body, plan.size_max)
        content = bytes(body)
        plan.gate.check_body(request, content, self._clock.moment())
        if wait_s := plan.bucket.wait_s(self._clock.now()):
            raise Denied(429, "too often: see `rate`", {"Retry-After": str(math.ceil(wait_s))})
        status = await self._take(plan, plan.payload(request, content), plan.receipt(request))
        if status != 204:
            raise Denied(status, "not now", {"Retry-After": "1"})
        return status

    def _route(self, came: "web.BaseRequest") -> tuple[_Plan, Request]:
        """The source of a path, or of a path with a token behind it. Raises Denied."""
        path, query = came.rel_url.raw_path, came.rel_url.raw_query_string
        headers = {name.lower(): value for name, value in came.headers.items()}
        if plan := self._plans.get(path):
            return plan, Request(came.method, query, headers, None)
        head, _, token = path.rpartition("/")
        if plan := self._plans.get(head):
            return plan, Request(came.method, query, headers, unquote(token))
        raise Denied(404, "there is nothing here")

    def _check_room(self) -> None:
        if self._closed or self._state.state is FeedState.PAUSED:
            raise Denied(503, "not now", {"Retry-After": "1"})

    async def _take(self, plan: _Plan, payload: bytes, receipt: Receipt | None) -> int:
        """Put a request into the intake and wait for its answer."""
        self._check_room()
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._intake.append(_Taken(self._clock.now(), plan, payload, receipt, answer))
        self._wake.set()
        if len(self._intake) >= _INTAKE_REQUESTS:
            self._stand(FeedState.PAUSED)
        return await answer


def _server() -> "type[Server]":
    """In a thread, when a feed is opened: it brings most of aiohttp, which would hold up all other feeds."""
    from drivers.http_server import Server

    return Server
