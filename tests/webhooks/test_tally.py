"""What attempts are counted as: every outcome has one word of a closed set, and every duration one bucket."""

import ast
from pathlib import Path

import pytest

from agent.webhooks import transport
from agent.webhooks.retry import Outcome
from agent.webhooks.tally import BOUNDS_S, LATELY, OUTCOMES, UNANSWERED, Tally, word_for

REJECTED = [400, 405, 406, 411, 413, 414, 415, 422, 431, 501, 505]
WORDS = {
    **dict.fromkeys(range(200, 300), "delivered"),
    **dict.fromkeys(range(300, 400), "redirected"),
    **dict.fromkeys(range(400, 500), "misconfigured"),
    **dict.fromkeys(range(500, 600), "error"),
    **dict.fromkeys([408, 425], "error"),
    **dict.fromkeys([429, 502, 503, 504], "unavailable"),
    **dict.fromkeys(REJECTED, "rejected"),
    410: "gone",
}


def attempt(status: int | None, duration_s: float = 0.1, error: str = "") -> Outcome:
    return Outcome(duration_s=duration_s, status=status, error=error)


@pytest.mark.parametrize("status", range(200, 600))
def test_each_status_has_the_word_of_its_row(status: int) -> None:
    assert word_for(attempt(status)) == WORDS[status]
    assert WORDS[status] in OUTCOMES


@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_the_header_that_disables_has_its_word_whatever_the_status(status: int) -> None:
    assert word_for(Outcome(duration_s=0.1, status=status, disable=True)) == "gone"


@pytest.mark.parametrize("kind", UNANSWERED)
def test_each_kind_of_error_is_its_own_word(kind: str) -> None:
    assert word_for(attempt(None, error=kind)) == kind


def test_a_kind_of_error_that_nobody_knows_makes_no_new_word() -> None:
    assert word_for(attempt(None, error="sunspots")) == "failed"


def test_the_words_are_those_that_the_transport_can_tell() -> None:
    tree = ast.parse(Path(transport.__file__).read_text(encoding="utf-8"))
    (kind,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "_kind"]
    texts = {node.value for node in ast.walk(kind) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert texts & set(UNANSWERED) == set(UNANSWERED) - {"failed"}, "`failed` is the courier's own"
    told = {text for text in texts if " " not in text} - {"os_error", "errno"}
    assert told == set(UNANSWERED) - {"failed"}


def test_every_attempt_is_counted_once() -> None:
    tally = Tally()
    for outcome in (attempt(204), attempt(200), attempt(503), attempt(None, error="dns"), attempt(301)):
        tally.note(outcome)
    assert dict(tally.attempts_by) == {"delivered": 2, "unavailable": 1, "dns": 1, "redirected": 1}
    assert (tally.succeeded, tally.failed) == (2, 3)
    assert tally.histogram().count == 5


@pytest.mark.parametrize(
    ("duration_s", "bucket"),
    [(0.0, 0), (0.005, 0), (0.0051, 1), (0.1, 4), (14.9, 11), (15.0, 11), (15.002, 12), (3600.0, 12)],
)
def test_a_duration_falls_into_the_first_bucket_whose_bound_it_does_not_exceed(duration_s: float, bucket: int) -> None:
    tally = Tally()
    tally.note(attempt(204, duration_s))
    histogram = tally.histogram()
    assert [n for n, count in enumerate(histogram.counts) if count] == [bucket]
    assert histogram.sum_s == duration_s
    assert len(histogram.counts) == len(BOUNDS_S) + 1


def test_a_histogram_that_was_looked_at_stays_as_it_was() -> None:
    tally = Tally()
    before = tally.histogram()
    tally.note(attempt(204))
    assert before.count == 0


def test_success_rate_and_quantiles_are_of_the_last_attempts_only() -> None:
    tally = Tally()
    assert tally.success_rate is None
    assert tally.quantiles_ms(0.5, 0.95) == [None, None]
    for _ in range(1000):
        tally.note(attempt(500, 9.0))
    for n in range(LATELY):
        tally.note(attempt(204 if n % 4 else 503, (n + 1) / 1000))
    assert tally.success_rate == 0.75
    assert tally.quantiles_ms(0.5, 0.95) == pytest.approx([51.0, 96.0])
    assert tally.failed == 1025
