"""The load and the receiver of the bench."""

import pytest

from bench.load import publish_frame, readings
from bench.receiver import Arrivals, take_body


def test_a_publish_frame_is_what_mqtt_says() -> None:
    assert publish_frame("a/b", "hi", 258) == b"\x32\x89\x00\x00\x03a/b\x01\x02hi"


def test_readings_that_change_nothing_may_end_with_one_that_tells() -> None:
    assert list(readings(3, None, tell_last=False)) == [1, 2, 3]
    assert list(readings(3, -1, tell_last=True)) == [-1, -1, 3]


@pytest.mark.parametrize(
    ("head", "body", "taken"),
    [
        (b"POST /hook/a HTTP/1.1\r\nContent-Length: 3", b"abcPOST", b"abc"),
        (b"POST /hook/a HTTP/1.1\r\ncontent-length:3", b"ab", None),
        (b"POST /hook/a HTTP/1.1\r\ntransfer-encoding: chunked", b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\nPOST", b"abc"),
        (b"POST /hook/a HTTP/1.1\r\nTransfer-Encoding: chunked", b"2\r\nab\r\n1\r\nc\r\n0\r\n", None),
        (b"GET /count/a HTTP/1.1", b"GET", b""),
    ],
)
def test_a_body_is_taken_by_its_length_or_its_chunks_once_it_is_whole(
    head: bytes, body: bytes, taken: bytes | None
) -> None:
    came = head + b"\r\n\r\n" + body
    found = take_body(head, came, len(head) + 4)
    assert (found and found[0]) == taken
    assert found is None or came[found[1] :] in (b"POST", b"GET")


def test_only_the_first_time_that_a_reading_came_counts() -> None:
    arrivals = Arrivals()
    arrivals.note(b'{"time":"2026","data":{"value":2,"t":1}}')
    first = arrivals.times[2]
    arrivals.note(b'{"t": 2, "h": 40.5}')
    arrivals.note(b"no reading")
    assert (arrivals.count, arrivals.times[2], arrivals.times[1]) == (1, first, 0)
