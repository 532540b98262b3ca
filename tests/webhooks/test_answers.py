"""What is made of the bytes that a receiver answers, however they are cut."""

from collections.abc import Iterator

import pytest

from agent.webhooks.answers import BODY_BYTES_MAX, HEAD_BYTES_MAX, Answer, AnswerReader, BadAnswer

OK = b"HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\n\r\n"
TRAILERS = CHUNKED.removesuffix(b"\r\n") + b"X-Sum: 1\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK
BARE = OK.replace(b"\r\n", b"\n")
NONE = b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n"


def answered(*parts: bytes) -> Answer:
    """What is there with the last part and not before."""
    reader = AnswerReader()
    *before, last = (reader.feed(part) for part in parts)
    assert before == [None] * len(before)
    assert last is not None
    return last


def one_by_one(text: bytes) -> Iterator[bytes]:
    return (bytes([byte]) for byte in text)


@pytest.mark.parametrize("text", [OK, CHUNKED, TRAILERS, INTERIM, BARE])
def test_an_answer_is_the_same_in_one_piece_and_in_single_bytes(text: bytes) -> None:
    whole = answered(text)
    assert whole == answered(*one_by_one(text))
    assert (whole.body, whole.keeps) == (b"hello", True)


def test_of_the_head_status_reason_and_headers_are_known() -> None:
    headers = b"Retry-After:  7 \r\nretry-after: 9\r\nrubbish\r\nContent-Length: 0\r\n"
    answer = answered(b"HTTP/1.1 429 Too many\r\n" + headers + b"\r\n")
    assert (answer.status, answer.reason) == (429, "Too many")
    assert answer.headers["retry-after"] == "7"


def test_a_header_that_goes_on_in_the_next_line_hides_no_other_one() -> None:
    folded = b"X-Note: a\r\n Content-Length: 0\r\n\tRetry-After: 9\r\nContent-Length: 5\r\n"
    answer = answered(b"HTTP/1.1 503 Busy\r\n" + folded + b"\r\nhello")
    assert answer.body == b"hello"
    assert answer.headers == {"x-note": "a Content-Length: 0 Retry-After: 9", "content-length": "5"}


def test_several_lines_of_codings_are_one_list() -> None:
    reader = AnswerReader()
    assert reader.feed(CHUNKED.replace(b"busy", b"").replace(b": chunked", b": gzip\r\nTransfer-Encoding: chunked"))
    unknown = CHUNKED.replace(b": chunked", b": chunked\r\nTransfer-Encoding: gzip")
    reader = AnswerReader()
    assert reader.feed(unknown) is None, "chunked is not what was done last: only the end ends it"
    assert not reader.end().keeps


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_some_have_no_body_whatever_they_say(status: bytes) -> None:
    assert answered(b"HTTP/1.1 " + status + b"\r\nContent-Length: 7\r\n\r\n").keeps


def test_without_a_length_the_body_lasts_until_the_connection_ends() -> None:
    reader = AnswerReader()
    assert reader.feed(b"HTTP/1.1 200 OK\r\n\r\nhel") is reader.feed(b"lo") is None
    answer = reader.end()
    assert (answer.body, answer.keeps) == (b"hello", False)


@pytest.mark.parametrize(
    "text",
    [
        OK.replace(b"\r\n\r\n", b"\r\nConnection: Close\r\n\r\n"),
        OK.replace(b"\r\n\r\n", b"\r\nConnection: x\r\nConnection: close\r\n\r\n"),
        OK.replace(b"1.1", b"1.0"),
        CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n", 1),
        OK + b"HTTP/1.1 200 OK\r\n",
        NONE + b"x",
        TRAILERS + b"x",
    ],
    ids=[
        "said",
        "said in a second line",
        "1.0",
        "two ways to tell its length",
        "another behind it",
        "a body behind none",
        "behind chunks",
    ],
)
def test_a_connection_is_not_used_again_where_it_ends_or_says_more_than_was_asked(text: bytes) -> None:
    assert not answered(text).keeps


@pytest.mark.parametrize(
    "begin",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + bytes(4096) + b"\r\n",
    ],
    ids=["no length", "a length", "a chunk", "chunks"],
)
def test_of_a_body_that_is_too_long_the_beginning_is_enough(begin: bytes) -> None:
    reader, fed = AnswerReader(), 0
    answer = reader.feed(begin)
    more = b"1000\r\n" + bytes(4096) + b"\r\n" if begin.endswith(bytes(9) + b"\r\n") else bytes(4096)
    while answer is None:
        answer, fed = reader.feed(more), fed + 4096
        assert fed <= BODY_BYTES_MAX + 4096
    assert (answer.status, len(answer.body), answer.keeps) == (200, BODY_BYTES_MAX, False)


@pytest.mark.parametrize(
    "text",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + bytes(2000),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 10_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 200\r\n\r\nok",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * (HEAD_BYTES_MAX // 6),
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * (HEAD_BYTES_MAX // 6) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 2000 + b"\r\na\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 10_000 + b"\r\n",
    ],
)
def test_what_is_no_answer_is_refused(text: bytes) -> None:
    with pytest.raises(BadAnswer):
        AnswerReader().feed(text)


@pytest.mark.parametrize("behind", [b"garbage", b"\r\n0\r\n\r\n"])
def test_what_is_behind_the_beginning_of_a_long_body_does_not_matter_however_it_comes(behind: bytes) -> None:
    text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n" + bytes(BODY_BYTES_MAX + 1) + behind
    assert answered(text) == answered(text[: -len(behind) - 1])


@pytest.mark.parametrize("text", [b"", b"HTTP/1.1 200", OK[:-1], CHUNKED[:-1], b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_what_breaks_off_is_no_answer(text: bytes) -> None:
    reader = AnswerReader()
    assert reader.feed(text) is None
    assert reader.begun is bool(text)
    with pytest.raises(BadAnswer, match="breaks off"):
        reader.end()


def test_what_a_proxy_says_to_connect_has_no_body_and_the_connection_goes_on() -> None:
    reader = AnswerReader(to_connect=True)
    answer = reader.feed(b"HTTP/1.0 200 Connection established\r\n\r\n")
    assert answer is not None
    assert answer.keeps
