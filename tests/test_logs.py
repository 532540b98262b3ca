"""What the agent logs: one record a line, whatever a sensor has put into it."""

import logging
from collections.abc import Callable, Iterator

import pytest

from agent import logs

HOSTILE = "a\nFAKE record\r\x1b[2J\x00\x85\u2028\u2029\x0b\u202egnp.exe\x9b31m\ttab \ud800 é °C 温"


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Gives what went to stderr; the root logger is put back afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err
    root.handlers[:] = before
    root.setLevel(level)


def test_a_record_is_one_line_with_its_controls_escaped(said: Callable[[], str]) -> None:
    logs.set_up()
    logging.getLogger("agent.x").warning("%s", HOSTILE)
    [line, end] = said().split("\n")
    assert end == ""
    assert line.isprintable()
    assert line.endswith(
        r"WARNING  agent.x: a\nFAKE record\r\x1b[2J\x00\x85\u2028\u2029\x0b\u202egnp.exe\x9b31m\ttab \ud800 é °C 温"
    )


def test_a_traceback_is_a_part_of_the_one_line(said: Callable[[], str]) -> None:
    logs.set_up()
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("agent.x").exception("failed", stack_info=True)
    [line, _] = said().split("\n")
    assert line.isprintable()
    assert r"failed\nTraceback (most recent call last):\n" in line
    assert r"ValueError: a\nFAKE record" in line


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.DEBUG, 7),
        (logging.INFO, 6),
        (logging.WARNING, 4),
        (logging.ERROR, 3),
        (logging.CRITICAL, 2),
        (logging.INFO + 5, 6),
    ],
)
def test_under_the_journal_each_line_begins_with_its_priority(
    said: Callable[[], str], monkeypatch: pytest.MonkeyPatch, level: int, priority: int
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:12345")
    logs.set_up(verbose=True)
    logging.getLogger("agent.x").log(level, "two\nlines")
    assert said() == f"<{priority}>agent.x: two\\nlines\n"


def test_nobody_can_forge_a_priority(said: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:12345")
    logs.set_up()
    logging.getLogger("agent.x").info("x\n<0>kernel: panic")
    assert [line[:3] for line in said().splitlines()] == ["<6>"]


@pytest.mark.parametrize(("verbose", "lines"), [(False, 1), (True, 2)])
def test_debug_records_are_for_who_asks(
    said: Callable[[], str], monkeypatch: pytest.MonkeyPatch, verbose: bool, lines: int
) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    logs.set_up(verbose=verbose)
    for say in (logging.getLogger("agent.x").debug, logging.getLogger("agent.x").info):
        say("x")
    logging.getLogger("asyncio").info("poll took")
    assert len(said().splitlines()) == lines


def test_what_asyncio_repeats_without_end_is_told_once_a_minute(said: Callable[[], str]) -> None:
    logs.set_up()
    for when in (0.0, 1.0, 59.0, 61.0, -86400.0):
        for name in ("asyncio", "agent.x"):
            record = logging.LogRecord(name, logging.ERROR, "", 0, "socket %d: no descriptor", (7,), None)
            record.created += when
            logging.getLogger(name).handle(record)
    lines = said().splitlines()
    assert sum("asyncio" in line for line in lines) == 3, "at first, after a minute, and when the clock was set back"
    assert sum("agent.x" in line for line in lines) == 5


def test_what_asyncio_told_is_not_remembered_without_end(said: Callable[[], str]) -> None:
    logs.set_up()
    for number in [*range(300), 299]:
        logging.getLogger("asyncio").error("task %d", number)
    assert len(said().splitlines()) == 300
