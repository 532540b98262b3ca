"""The state machine, every state with every signal."""

import pytest

from agent.rules.machine import FIRING, OK, PENDING, RECOVERING, Signal, after, tells
from agent.rules.memory import State

BAD, BAND, GOOD, TIME = Signal
TABLE = [
    # state       signal  next, with holds of 1 s
    (OK, BAD, PENDING),
    (OK, BAND, OK),
    (OK, GOOD, OK),
    (OK, TIME, OK),
    (PENDING, BAD, PENDING),
    (PENDING, BAND, OK),
    (PENDING, GOOD, OK),
    (PENDING, TIME, FIRING),
    (FIRING, BAD, FIRING),
    (FIRING, BAND, FIRING),
    (FIRING, GOOD, RECOVERING),
    (FIRING, TIME, FIRING),
    (RECOVERING, BAD, FIRING),
    (RECOVERING, BAND, FIRING),
    (RECOVERING, GOOD, RECOVERING),
    (RECOVERING, TIME, OK),
]


def test_the_table_has_every_state_with_every_signal() -> None:
    assert {(state, signal) for state, signal, _ in TABLE} == {(a, b) for a in State for b in Signal}


@pytest.mark.parametrize(("state", "signal", "following"), TABLE)
def test_with_holds_each_state_is_entered(state: State, signal: Signal, following: State) -> None:
    assert after(state, signal, for_s=1, clear_for_s=1) is following


@pytest.mark.parametrize(("state", "signal", "following"), TABLE)
def test_without_holds_pending_and_recovering_are_passed_through(
    state: State, signal: Signal, following: State
) -> None:
    through = {(OK, PENDING): FIRING, (FIRING, RECOVERING): OK}
    assert after(state, signal, for_s=0, clear_for_s=0) is through.get((state, following), following)


def test_each_hold_is_passed_through_for_itself() -> None:
    assert after(OK, BAD, for_s=0, clear_for_s=1) is FIRING
    assert after(OK, BAD, for_s=1, clear_for_s=0) is PENDING
    assert after(FIRING, GOOD, for_s=0, clear_for_s=1) is RECOVERING
    assert after(FIRING, GOOD, for_s=1, clear_for_s=0) is OK


def test_only_the_ways_into_and_out_of_an_alert_tell_anybody() -> None:
    told = {(a, b): tells(a, b) for a in State for b in State if tells(a, b)}
    assert told == {
        (OK, FIRING): "firing",
        (PENDING, FIRING): "firing",
        (FIRING, OK): "resolved",
        (RECOVERING, OK): "resolved",
    }
