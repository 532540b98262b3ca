"""Bytes into lines, in whatever pieces they come."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.framing import Line, LineFramer

MOST = 8
noise = st.lists(
    st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"1.5", b"\x00\xff", b"x" * MOST, b"y" * (MOST + 1)]), max_size=30
).map(b"".join)


def in_pieces(data: bytes, cuts: list[int]) -> list[Line]:
    framer = LineFramer(MOST)
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [line for i, j in pairwise(places) for line in framer.feed(data[i:j])]


@given(noise, st.lists(st.integers(0, 10_000), max_size=20))
def test_any_split_of_the_bytes_gives_the_same_lines(data: bytes, cuts: list[int]) -> None:
    assert in_pieces(data, cuts) == LineFramer(MOST).feed(data)


@given(noise)
def test_byte_by_byte_gives_the_lines_that_python_sees(data: bytes) -> None:
    *ended, _ = data.replace(b"\r", b"\n").split(b"\n")
    whole = [line for line in ended if line]
    told = in_pieces(data, list(range(len(data))))
    assert [line.content for line in told if not line.too_long] == [line for line in whole if len(line) <= MOST]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_line_ends_with_lf_crlf_or_cr_and_an_empty_one_is_none(end: bytes) -> None:
    assert LineFramer(MOST).feed(b"one" + end + end + b"two" + end + b"par") == [Line(b"one"), Line(b"two")]


def test_a_line_at_the_bound_is_whole_and_one_beyond_is_told_of_once_and_let_go_of() -> None:
    framer = LineFramer(MOST)
    assert framer.feed(b"12345678\n") == [Line(b"12345678")]
    assert framer.feed(b"123456789") == [Line(b"12345678", too_long=True)]
    assert framer.feed(b"x" * 1000) == []
    assert not framer.idle
    assert framer.feed(b"tail\nnext\n") == [Line(b"next")]
    assert framer.idle


def test_noise_without_a_line_end_takes_no_room() -> None:
    framer = LineFramer(MOST)
    for _ in range(1000):
        framer.feed(b"\x80" * 1000)
    assert len(framer._partial) <= MOST


def test_after_a_reset_a_partial_line_is_not_glued_to_the_next() -> None:
    framer = LineFramer(MOST)
    framer.feed(b"21")
    framer.reset()
    assert framer.feed(b".5\n") == [Line(b".5")]


def test_after_a_reset_a_line_that_was_too_long_no_longer_swallows_the_next() -> None:
    framer = LineFramer(MOST)
    framer.feed(b"123456789")
    framer.reset()
    assert framer.feed(b"5\n") == [Line(b"5")]
