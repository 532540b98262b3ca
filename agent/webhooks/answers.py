"""An HTTP/1.1 answer (RFC 9112), put together from what arrives, as far as a webhook needs it. No I/O.

What is kept is bounded: a longer head is no answer, and of a longer body the rest is left, with its connection.
What comes of it does not depend on the pieces in which it arrives.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

HEAD_BYTES_MAX = 32 * 1024
BODY_BYTES_MAX = 64 * 1024
_CHUNK_LINE_BYTES_MAX = 1024
_INTERIM_MAX = 16
"""So often a receiver may say that the answer will come."""
_BEGINS = b"HTTP/1."
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([^\r\n]*))?")
_LINE = re.compile(rb"\r?\n")
_HEAD_ENDS = re.compile(rb"\r?\n\r?\n")
"""Small devices forget the CR; RFC 9112, 2.2 lets them."""
_BLANK = re.compile(rb"\r?\n[ \t]+|\r(?!\n)")
"""A header that goes on in the next line is never one of its own, and a CR alone ends nothing (RFC 9112, 5.2, 2.2)."""
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?", re.DOTALL)
_NO_BODY = (204, 304)
_LISTS = ("connection", "transfer-encoding")
"""Of those several lines are one list (RFC 9110, 5.3)."""


class BadAnswer(ValueError):
    """What came is no answer in HTTP/1.1. The message says why."""


class Answer(NamedTuple):
    """One whole answer."""

    status: int
    reason: str
    headers: Mapping[str, str]
    """By their names in lower case; of several of one name the first."""
    body: bytes
    """At most the first BODY_BYTES_MAX."""
    keeps: bool
    """Whether its connection can be used again."""


class AnswerReader:
    """Reads one answer: `feed` it until it gives that. Interim answers (1xx) are passed over."""

    def __init__(self, *, to_connect: bool = False) -> None:
        """`to_connect`: the request was CONNECT, and behind a 2xx comes no body but the other side's bytes."""
        self._to_connect = to_connect
        self._buffer = bytearray()
        self._searched = 0
        self._interim = 0
        self._head: Answer | None = None
        self._size: int | None = None
        """Of the body; None: it is in chunks, or lasts until the connection ends."""
        self._chunked = False
        self._body = bytearray()

    @property
    def begun(self) -> bool:
        """Whether anything has come."""
        return self._head is not None or self._interim > 0 or bool(self._buffer)

    def feed(self, data: bytes) -> Answer | None:
        """Take in what has arrived; returns the answer once it is whole. Raises BadAnswer."""
        self._buffer += data
        while self._head is None:
            if not self._read_head():
                return None
        if self._chunked:
            return self._in_chunks(self._head)
        if self._size is not None and len(self._buffer) >= min(self._size, BODY_BYTES_MAX):
            whole = len(self._buffer) == self._size  # what nobody asked for may follow: then it cannot go on
            return self._answer(self._head, self._buffer[: self._size], whole=whole)
        return self._answer(self._head, self._buffer) if len(self._buffer) >= BODY_BYTES_MAX else None

    def end(self) -> Answer:
        """The connection has ended; returns the answer if that is its end. Raises BadAnswer."""
        if self._head is None or self._chunked or self._size is not None:
            raise BadAnswer("the answer breaks off")
        return self._answer(self._head, self._buffer)

    def _read_head(self) -> bool:
        """Returns whether a head was there, if only an interim one."""
        if not self._buffer.startswith(_BEGINS[: len(self._buffer)]):
            raise BadAnswer("it does not speak HTTP/1.1")
        found = _HEAD_ENDS.search(self._buffer, max(0, self._searched - 3))
        self._searched = len(self._buffer)
        if (found.end() if found else self._searched) > HEAD_BYTES_MAX:
            raise BadAnswer("the head of the answer does not end")
        if found is None:
            return False
        version, status, reason, headers = _parsed(bytes(self._buffer[: found.start()]))
        del self._buffer[: found.end()]
        self._searched = 0
        if status == 101:
            raise BadAnswer("it switches to another protocol, which nobody has asked for")
        self._interim += status < 200
        if self._interim > _INTERIM_MAX:
            raise BadAnswer("it only ever says that the answer will come")
        if status >= 200:
            stays = version == b"1" and "close" not in headers.get("connection", "").lower()
            if "transfer-encoding" in headers and "content-length" in headers:
                stays = False  # somebody between may have believed the other one (RFC 9112, 6.3)
            is_tunnel = self._to_connect and status < 300
            self._head = Answer(status, reason, headers, b"", stays or is_tunnel)
            self._frame(status, headers)
        return True

    def _frame(self, status: int, headers: Mapping[str, str]) -> None:
        """Where the body ends (RFC 9112, 6.3)."""
        if status in _NO_BODY or (self._to_connect and status < 300):
            self._size = 0
        elif "transfer-encoding" in headers:
            self._chunked = headers["transfer-encoding"].lower().rpartition(",")[2].strip() == "chunked"
        elif "content-length" in headers:
            text = headers["content-length"]
            if not (text.isascii() and text.isdigit() and len(text) < 20):
                raise BadAnswer("the length of the answer is no number")
            self._size = int(text)

    def _in_chunks(self, head: Answer) -> Answer | None:
        while True:
            line = _LINE.search(self._buffer)
            if (line.start() if line else len(self._buffer)) > _CHUNK_LINE_BYTES_MAX:
                raise BadAnswer("the size of a chunk does not end")
            if line is None:
                return None
            size = _SIZE.fullmatch(self._buffer[: line.start()])
            if size is None:
                raise BadAnswer("the size of a chunk is no number")
            begin, end = line.end(), line.end() + int(size[1], 16)
            if begin == end:
                return self._behind_chunks(head, begin)
            if len(self._body) + min(end, len(self._buffer)) - begin >= BODY_BYTES_MAX:
                return self._answer(head, self._body + self._buffer[begin:end])
            behind = _LINE.match(self._buffer, end)
            if behind is None:
                if len(self._buffer) > end and self._buffer[end:] != b"\r":
                    raise BadAnswer("a chunk is longer than it says")
                return None
            self._body += self._buffer[begin:end]
            del self._buffer[: behind.end()]

    def _behind_chunks(self, head: Answer, begin: int) -> Answer | None:
        """Trailers, which say nothing to a webhook, and an empty line."""
        ends = _LINE.match(self._buffer, begin) or _HEAD_ENDS.search(self._buffer, max(begin, self._searched - 3))
        self._searched = len(self._buffer)
        if (ends.end() if ends else self._searched) - begin > HEAD_BYTES_MAX:
            raise BadAnswer("the trailers of the answer do not end")
        return None if ends is None else self._answer(head, self._body, whole=ends.end() == len(self._buffer))

    def _answer(self, head: Answer, body: bytearray, *, whole: bool = False) -> Answer:
        return head._replace(body=bytes(body[:BODY_BYTES_MAX]), keeps=head.keeps and whole)


@lru_cache(maxsize=16)  # all answers of one second have the same
def _parsed(head: bytes) -> tuple[bytes, int, str, Mapping[str, str]]:
    """The minor version, status, reason and headers. Raises BadAnswer."""
    line, *lines = _LINE.split(_BLANK.sub(b" ", head))
    status_line = _STATUS.fullmatch(line)
    if status_line is None:
        raise BadAnswer("it does not speak HTTP/1.1")
    return status_line[1], int(status_line[2]), _text(status_line[3] or b""), _headers(lines)


def _headers(lines: Iterable[bytes | bytearray]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = _text(line).partition(":")
        name, value = name.strip().lower(), value.strip()
        if name in _LISTS and name in headers:
            headers[name] += f", {value}"
        elif headers.setdefault(name, value) != value and name == "content-length":
            raise BadAnswer("the answer has two lengths")  # RFC 9112, 6.3
    return headers


def _text(written: bytes | bytearray) -> str:
    return written.decode("latin-1")
