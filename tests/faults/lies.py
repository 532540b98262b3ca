"""All the ways in which the liar answers (`tests.support.liar`): a list for the fault, and to read."""

import gzip
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from random import Random

from tests.support.liar import OK, Lie, Talk

_WAVE_BYTES = 64 * 1024
_DROP_EVERY_S = 0.06
"""The agent waits for the whole of an answer for ten drops."""
Do = Callable[[Talk], Awaitable[None]]


def all_lies(random: Random, trap: str) -> Sequence[Lie]:
    """`trap`: a URL that nobody may ask for."""
    return [*_broken(random), *_endless(), *_resets(), *_refusals(trap), *_true_all_the_same()]


def _broken(random: Random) -> Iterator[Lie]:
    """What is no whole HTTP answer, though it begins like success."""
    texts = {
        "half a status line": b"HTTP/1.1 20",
        "half a header": b"HTTP/1.1 200 OK\r\nContent-Le",
        "no end of the headers": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
        "too short a body": _head("200 OK", "Content-Length: 100") + b"ok",
        "a negative length": _head("200 OK", "Content-Length: -1") + b"ok",
        "a length without end": _head("200 OK", f"Content-Length: {'9' * 100}") + b"ok",
        "two lengths": _head("200 OK", "Content-Length: 2", "Content-Length: 200") + b"ok",
        "a length in words": _head("200 OK", "Content-Length: two") + b"ok",
        "no chunk": _head("200 OK", "Transfer-Encoding: chunked") + b"zz\r\nok\r\n0\r\n\r\n",
        "half a chunk": _head("200 OK", "Transfer-Encoding: chunked") + b"64\r\nok",
        "no last chunk": _head("200 OK", "Transfer-Encoding: chunked") + b"2\r\nok\r\n",
        "a huge chunk": _head("200 OK", "Transfer-Encoding: chunked") + b"f" * 64 + b"\r\nok",
        "HTTP/0.9": b"<html>200 OK</html>",
        "another protocol": b"ICY 200 OK\r\n\r\n",
        "another version": b"HTTP/9.9 200 OK\r\n\r\n",
        "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        "a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        "a negative status": b"HTTP/1.1 -200 OK\r\nContent-Length: 0\r\n\r\n",
        "a status that is none": b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
        "a request": b"POST /hook HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "a header with a NUL": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\n",
        "a greeting of SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
        "nothing": b"",
    }
    yield from (Lie(name, _says(text)) for name, text in texts.items())
    yield Lie("noise", lambda talk: talk.say([random.randbytes(random.randrange(1, 3000))]))


def _endless() -> Iterator[Lie]:
    """What never comes to an end, fast or slowly; and what never begins."""
    yield Lie("endless headers", _floods(b"HTTP/1.1 200 OK\r\n", b"X-Header: " + b"x" * 4000 + b"\r\n"))
    yield Lie("an endless header", _floods(b"HTTP/1.1 200 OK\r\nX: ", b"x" * _WAVE_BYTES))
    yield Lie("an endless reason", _floods(b"HTTP/1.1 200 ", b"x" * _WAVE_BYTES))
    yield Lie("endless 100 Continue", _floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000))
    yield Lie("endless 103 Early Hints", _floods(b"", _head("103 Early Hints", "Link: </>; rel=preload") * 1000))
    endless_trailers = _head("200 OK", "Transfer-Encoding: chunked") + b"0\r\n"
    yield Lie("endless trailers", _floods(endless_trailers, b"X-Trailer: " + b"x" * 4000 + b"\r\n"))
    yield Lie("dripping headers", _drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"))
    yield Lie("a dripping status line", _drips(b"", b"H"))
    yield Lie("a dripping body", _drips(_head("200 OK", "Content-Length: 999"), b"."))
    yield Lie("a dripping body without length", _drips(_head("200 OK"), b"."))
    yield Lie("dripping chunks", _drips(_head("200 OK", "Transfer-Encoding: chunked"), b"1\r\n.\r\n"))
    yield Lie("dripping 100 Continue", _drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"))
    yield Lie("never an answer", _silence)
    yield Lie("never read", _silence_unread, behind="accept")


def _resets() -> Iterator[Lie]:
    """RST at every stage."""
    yield Lie("reset behind accept", _resets_behind(b""), behind="accept")
    yield Lie("reset in the request", _resets_behind(b""), behind="head")
    yield Lie("reset behind the request", _resets_behind(b""))
    yield Lie("reset in the status line", _resets_behind(b"HTTP/1.1 20"))
    yield Lie("reset in the headers", _resets_behind(b"HTTP/1.1 200 OK\r\nConte"))
    yield Lie("reset in the body", _resets_behind(_head("200 OK", "Content-Length: 10") + b"ok"))
    yield Lie("reset in a body without length", _resets_behind(_head("200 OK") + b"ok"))


def _refusals(trap: str) -> Iterator[Lie]:
    """Whole answers that do not say success, with all that a header may hold."""
    elsewhere = (trap, trap.removeprefix("http:"), "/hook", "", "file:///etc/passwd", "http://[::1", "gopher://x\x7f")
    for status, where in itertools.product((301, 302, 303, 307, 308), elsewhere):
        yield _refusal(f"{status} {where}", status, f"Location: {where}")
    past, never = "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Foo 99999999999 07:28:00 +9999"
    for status, after in itertools.product((429, 503, 500), ("-5", "0", "soon", "1e3", past, never, "9" * 20 + "x")):
        yield _refusal(f"{status} Retry-After: {after}", status, f"Retry-After: {after}")
    for status in (101, 300, 304, 401, 407, 425, 451, 499, 500, 599, 999):
        yield _refusal(str(status), status, "X: y")
    yield _refusal("a time that cannot be", 500, "Date: Mon, 01 Jan 0001 00:00:00 +2359")
    yield _refusal("500 with a page", 500, "Content-Type: text/html", body=b"\x1b[2J<script>\xff\0" * 10_000)


def _true_all_the_same() -> Iterator[Lie]:
    """Odd answers that say of this request that it was taken; of the next one they say nothing."""
    bomb = gzip.compress(bytes(20_000_000))
    zipped = _head("200 OK", "Content-Encoding: gzip", f"Content-Length: {len(bomb)}") + bomb
    many_cookies = _head("200 OK", "Content-Length: 0", *(f"Set-Cookie: c{n}={n}; Path=/" for n in range(3000)))
    yield Lie("204 with a body", _says(OK, b"a body\r\n\r\n"), true=True)
    yield Lie("too long a body", _says(_head("200 OK", "Content-Length: 2") + b"ok" + b"and more " * 1000), true=True)
    yield Lie("3000 cookies", _says(many_cookies), true=True)
    yield Lie("a gzip bomb", _says(zipped), true=True)
    yield Lie("an endless body", _floods(_head("200 OK"), b"x" * _WAVE_BYTES), true=True)
    yield Lie("endless chunks", _floods(_head("200 OK", "Transfer-Encoding: chunked"), _chunk(_WAVE_BYTES)), true=True)
    yield Lie("an answer before the request", _says(OK), behind="accept", true=True)
    yield Lie("two answers at once", lambda talk: talk.say_surplus(OK + OK), true=True)
    yield Lie("a second answer", _answers_twice(OK), true=True)
    yield Lie("a second answer, half", _answers_twice(b"HTTP/1.1 200 O"), true=True)
    yield Lie("noise behind the answer", _answers_twice(b"\0\1\2 noise"), true=True)


def _head(status: str, *fields: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode()


def _chunk(size: int) -> bytes:
    return b"%x\r\n" % size + b"x" * size + b"\r\n"


def _refusal(name: str, status: int, *fields: str, body: bytes = b"") -> Lie:
    return Lie(name, _says(_head(f"{status} No", *fields, f"Content-Length: {len(body)}") + body))


def _says(*pieces: bytes) -> Do:
    return lambda talk: talk.say(pieces)


def _drips(head: bytes, drop: bytes) -> Do:
    return lambda talk: talk.say(itertools.chain([head], itertools.repeat(drop)), pause_s=_DROP_EVERY_S)


def _floods(head: bytes, wave: bytes) -> Do:
    return lambda talk: talk.say(itertools.chain([head], itertools.repeat(wave)))


def _resets_behind(said: bytes) -> Do:
    async def do(talk: Talk) -> None:
        await talk.say([said] if said else [])
        talk.reset()

    return do


def _answers_twice(surplus: bytes) -> Do:
    async def do(talk: Talk) -> None:
        await talk.say([OK], pause_s=0.02)
        await talk.say_surplus(surplus)

    return do


async def _silence(talk: Talk) -> None:
    await talk.reader.read()


async def _silence_unread(talk: Talk) -> None:
    talk.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await talk.writer.wait_closed()
