"""The state machine of a level rule (`when`) for one sensor, as a table.

    ok          nothing is wrong
    pending     `when` holds, but not yet for as long as `for` asks
    firing      told; stays so inside the hysteresis band
    recovering  `clear` holds, but not yet for as long as `clear_for` asks

A reading is one of three signals: BAD (`when` holds), GOOD (`clear` holds; by default: `when` does not), or
BAND (neither: inside the hysteresis). In the band ok and firing stay, pending falls back to ok and
recovering returns to firing. TIME is the end of `for` or `clear_for`. Where a duration is 0 its state is
passed through at once.

Only two ways tell anybody: into firing from ok or pending, and into ok from firing or recovering. So each
firing has exactly one resolved, and there is never one without it.
"""

from enum import StrEnum, auto

from agent.rules.memory import State


class Signal(StrEnum):
    """What a reading, or the time, means to the machine."""

    BAD = auto()
    BAND = auto()
    GOOD = auto()
    TIME = auto()


OK, PENDING, FIRING, RECOVERING = State

_NEXT: dict[State, dict[Signal, State]] = {
    OK: {Signal.BAD: PENDING},
    PENDING: {Signal.BAND: OK, Signal.GOOD: OK, Signal.TIME: FIRING},
    FIRING: {Signal.GOOD: RECOVERING},
    RECOVERING: {Signal.BAD: FIRING, Signal.BAND: FIRING, Signal.TIME: OK},
}
_TELLS = {
    (OK, FIRING): "firing",
    (PENDING, FIRING): "firing",
    (FIRING, OK): "resolved",
    (RECOVERING, OK): "resolved",
}


def after(state: State, signal: Signal, *, for_s: float, clear_for_s: float) -> State:
    """The state that follows; the same where nothing changes."""
    following = _NEXT[state].get(signal, state)
    if following is PENDING and state is OK and for_s == 0:
        return FIRING
    if following is RECOVERING and state is FIRING and clear_for_s == 0:
        return OK
    return following


def tells(before: State, following: State) -> str | None:
    """`firing` or `resolved` where this change is told, else None."""
    return _TELLS.get((before, following))
