"""What an outcome means: every status stands in exactly one row of the table."""

import pytest

from agent.model import Delivery, Ending, Rest, Settlement
from agent.webhooks.breaker import FAILURES_BEFORE_REST, Breaker, SlowStart
from agent.webhooks.config import DELAYS_S
from agent.webhooks.retry import Fate, Health, Outcome, judge, parse_date, parse_retry_after, settle

FEW = [400, 405, 406, 411, 413, 414, 415, 422, 431, 501, 505]
NAMED = {
    **dict.fromkeys(range(200, 300), (Fate.DELIVERED, Health.ANSWERS)),
    **dict.fromkeys([429, 502, 503, 504], (Fate.NEXT, Health.RESTS)),
    **dict.fromkeys([408, 425, 500], (Fate.NEXT, Health.AS_IT_WAS)),
    **dict.fromkeys(range(300, 400), (Fate.NEXT, Health.AS_IT_WAS)),
    **dict.fromkeys([401, 403, 404, 407, 409, 421, 451], (Fate.NEXT, Health.MISCONFIGURED)),
    **dict.fromkeys(FEW, (Fate.NEXT_FEW, Health.AS_IT_WAS)),
    410: (Fate.WAITS, Health.DISABLED),
}


def outcome(status: int | None, **more: object) -> Outcome:
    return Outcome(duration_s=0.1, status=status, **more)  # type: ignore[arg-type]


def delivery(**more: int) -> Delivery:
    return Delivery(1, "ops", 1, "evt_1", "a.t", b"", 0.0, 1e9, 0.0, **more)  # type: ignore[arg-type]


def after(one: Delivery, of: Outcome, *, failures: int = 1, others: bool = False, jitter: float = 0.0) -> Settlement:
    return settle(one, of, 1000.0, delays_s=DELAYS_S, jitter=jitter, failures=failures, others_answered=others)


@pytest.mark.parametrize("status", range(200, 600))
def test_each_status_stands_in_its_row(status: int) -> None:
    other = (Fate.NEXT, Health.MISCONFIGURED) if status < 500 else (Fate.NEXT, Health.AS_IT_WAS)
    assert judge(outcome(status)) == NAMED.get(status, other)


def test_no_answer_waits_and_rests() -> None:
    assert judge(outcome(None)) == (Fate.UNANSWERED, Health.RESTS)


@pytest.mark.parametrize("status", [200, 404, 500])
def test_the_header_disables_whatever_the_status(status: int) -> None:
    assert judge(outcome(status, disable=True)) == (Fate.WAITS, Health.DISABLED)


def test_the_delays_are_those_of_the_design() -> None:
    minutes = [0, 5 / 60, 0.5, 2, 10, 30, 60, 120, 240, 480, 720, 1080, 1440]
    assert [delay / 60 for delay in DELAYS_S] == pytest.approx(minutes)
    waits = [after(delivery(attempts=n), outcome(500)).due_at - 1000 for n in range(14)]
    assert waits == pytest.approx([*DELAYS_S[1:], 86400, 86400])


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777.0),
        ("Sun Nov  6 08:49:37 1994", 784111777.0),
        ("Sun, 06 Nov 99999 08:49:37 GMT", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_the_date_of_an_answer_is_read_in_each_form_that_http_knows(text: str | None, date: float | None) -> None:
    assert parse_date(text) == date


@pytest.mark.parametrize(("jitter", "factor"), [(-1, 0.8), (1, 1.2)])
def test_each_delay_is_jittered_by_a_fifth(jitter: float, factor: float) -> None:
    assert after(delivery(attempts=1), outcome(500), jitter=jitter).due_at - 1000 == pytest.approx(30 * factor)


def test_without_an_answer_no_attempt_is_used_up_and_it_goes_again_soon() -> None:
    waits = [after(delivery(), outcome(None), failures=n) for n in (1, 2, 3, 4, 5)]
    assert [one.due_at - 1000 for one in waits] == [1, 2, 4, 8, 8]
    assert all((one.attempts, one.held) == (0, True) for one in waits)


def test_without_an_answer_while_others_get_one_the_attempt_counts() -> None:
    settled = after(delivery(), outcome(None), others=True)
    assert (settled.attempts, settled.held, settled.due_at) == (1, False, 1005)


@pytest.mark.parametrize("status", FEW)
def test_a_refused_request_is_tried_five_times_within_an_hour_and_is_then_dead(status: int) -> None:
    one, waited = delivery(attempts=7), 0.0
    for n in range(1, 5):
        settled = after(one, outcome(status))
        assert (settled.ending, settled.refusals) == (Ending.AGAIN, n)
        waited += settled.due_at - 1000
        one = delivery(attempts=settled.attempts, refusals=settled.refusals)
    assert waited < 3600
    assert after(one, outcome(status)).ending is Ending.DEAD


def test_retry_after_is_the_later_of_it_and_the_schedule() -> None:
    assert after(delivery(), outcome(429, retry_after_s=60.0)).due_at == 1060
    assert after(delivery(attempts=4), outcome(429, retry_after_s=60.0)).due_at == 1000 + 1800


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("0000000000000120", 120),
        ("999999999", 86400),
        ("9" * 400, 86400),
        ("Wed, 21 Oct 2015 07:28:10 GMT", 10),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0),
        ("Wed, 21 Oct 2035 07:27:00 GMT", 86400),
        ("soon", None),
        ("Wed, 21 Oct 99999999999999999999 07:28:10 GMT", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_a_day(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, 1445412480.0) == seconds


def breaker() -> Breaker:
    return Breaker("ops", 30.0, 900.0)


def fail(one: Breaker, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        one.note(outcome(None), now, 0.0)


def test_five_failures_in_a_row_let_it_rest() -> None:
    one = breaker()
    fail(one, FAILURES_BEFORE_REST - 1)
    assert not one.resting
    fail(one, 1)
    assert one.resting_until == 30


def test_an_answer_between_begins_the_count_anew() -> None:
    one = breaker()
    fail(one, 4)
    one.note(outcome(500), 0.0, 0.0)
    fail(one, 4)
    assert not one.resting


def test_rests_double_up_to_the_longest_with_each_failed_probe() -> None:
    one, now, rests = breaker(), 0.0, []
    fail(one, 5)
    for _ in range(7):
        assert one.resting_until is not None
        rests.append(one.resting_until - now)
        now = one.resting_until
        fail(one, 1, now)
    assert rests == [30, 60, 120, 240, 480, 900, 900]


def test_what_was_in_flight_when_the_rest_began_makes_it_no_longer() -> None:
    one = breaker()
    fail(one, 5)
    fail(one, 7, now=1.0)
    assert one.resting_until == 30


@pytest.mark.parametrize("status", [200, 404, 500])
def test_any_answer_that_is_not_marked_ends_the_rest(status: int) -> None:
    one = breaker()
    fail(one, 5)
    assert one.note(outcome(status), 30.0, 0.0)
    assert not one.resting
    fail(one, 4)
    assert not one.resting


@pytest.mark.parametrize(("status", "rests"), [(429, True), (503, True), (502, False)])
def test_retry_after_rests_the_webhook_on_429_and_503(status: int, rests: bool) -> None:
    one = breaker()
    one.note(outcome(status, retry_after_s=100.0), 5.0, 0.0)
    assert one.resting is rests
    assert one.resting_until == (105 if rests else None)


def test_what_answers_at_once_with_a_retry_after_lets_it_rest_for_that_long_and_no_longer() -> None:
    one = breaker()
    for _ in range(8):
        one.note(outcome(503, retry_after_s=5.0), 100.0, 0.0)
    assert one.resting_until == 105
    one.note(outcome(503, retry_after_s=60.0), 100.0, 0.0)
    assert one.resting_until == 160


def test_a_retry_after_of_nothing_is_no_rest() -> None:
    one = breaker()
    one.note(outcome(503, retry_after_s=0.0), 100.0, 0.0)
    assert not one.resting


def test_a_failed_probe_behind_a_retry_after_begins_with_the_shortest_rest() -> None:
    one = breaker()
    one.note(outcome(503, retry_after_s=5.0), 100.0, 0.0)
    fail(one, 1, now=105.0)
    assert one.resting_until == 135


def test_410_disables_and_a_2xx_ends_misconfigured() -> None:
    one = breaker()
    one.note(outcome(404), 0.0, 0.0)
    assert one.misconfigured
    one.note(outcome(500), 0.0, 0.0)
    assert one.misconfigured
    one.note(outcome(204), 0.0, 0.0)
    assert not one.misconfigured
    one.note(outcome(410), 0.0, 0.0)
    assert one.kept() == Rest("ops", None, disabled=True)


def test_a_rest_is_taken_up_over_a_start_but_no_longer_than_the_longest() -> None:
    assert Breaker.restored("ops", 30, 900, Rest("ops", 50.0, disabled=False), 20.0).resting_until == 50
    told = Breaker.restored("ops", 30, 900, Rest("ops", 7200.0, disabled=False), 20.0)
    assert told.resting_until == 7200, "a Retry-After may be longer than the longest rest"
    clamped = Breaker.restored("ops", 30, 900, Rest("ops", 1e9, disabled=False), 20.0)
    assert clamped.resting_until == 20 + 86400


def test_the_network_that_comes_back_brings_the_probe_of_an_unanswered_rest_forward() -> None:
    one = breaker()
    fail(one, 5)
    fail(one, 1, now=30.0)
    assert one.resting_until == 90
    assert one.hurry(40.0, 0.5)
    assert one.resting_until == 40.5
    fail(one, 1, now=40.5)
    assert one.resting_until == 70.5, "the rests begin with the shortest, as the network is another"


def test_who_asks_for_a_probe_gets_it_now_whatever_the_receiver_asked_for() -> None:
    one = breaker()
    one.note(outcome(503, retry_after_s=100.0), 0.0, 0.0)
    one.retry(40.0)
    assert (one.resting, one.resting_until, one.asked_until) == (True, 40.0, None), "one probe goes, until it answers"
    fail(one, 1, now=40.0)
    assert one.resting_until == 70.0
    one.retry(80.0)
    assert one.resting_until == 70.0
    one.note(outcome(204), 80.0, 0.0)
    one.retry(90.0)
    assert not one.resting


def test_a_probe_that_is_near_is_not_put_off() -> None:
    one = breaker()
    fail(one, 5)
    assert not one.hurry(29.9, 0.5)
    assert one.resting_until == 30


def test_a_retry_after_is_kept_whatever_the_network_does_and_over_a_start() -> None:
    one = breaker()
    one.note(outcome(503, retry_after_s=100.0), 0.0, 0.0)
    assert not one.hurry(10.0, 0.5)
    fail(one, 1, now=20.0)
    again = Breaker.restored("ops", 30, 900, one.kept(), 30.0)
    for known in (one, again):
        assert not known.hurry(40.0, 0.5)
        assert known.resting_until == 100


def test_a_rest_that_answers_brought_about_is_none_of_the_networks() -> None:
    one = breaker()
    for _ in range(5):
        one.note(outcome(502), 0.0, 0.0)
    assert not one.hurry(10.0, 0.5)


def test_a_rest_from_before_a_start_is_brought_forward() -> None:
    one = Breaker.restored("ops", 30, 900, Rest("ops", 500.0, disabled=False), 20.0)
    assert one.hurry(40.0, 0.5)
    assert one.resting_until == 40.5


def test_what_does_not_rest_is_not_hurried() -> None:
    one = breaker()
    fail(one, 4)
    assert not one.hurry(10.0, 0.5)


@pytest.mark.parametrize(
    ("most", "rounds"), [(8, [1, 2, 4, 8, 8]), (6, [1, 2, 4, 6, 6]), (1, [1, 1, 1]), (64, [1, 2, 4, 8, 16, 32, 64])]
)
def test_a_slow_start_doubles_with_each_answered_round(most: int, rounds: list[int]) -> None:
    slow = SlowStart(most)
    assert slow.at_once == most, "without a rest there is none"
    slow.begin()
    seen = []
    for _ in rounds:
        seen.append(slow.at_once)
        for n in range(slow.at_once):
            assert slow.at_once == seen[-1], f"only {n} of the round are answered"
            slow.answered()
    assert seen == rounds
