"""Conditions that look back: rising, falling, unchanged_for, count; and repeat, which looks at the alert."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.rules.config import Drift
from agent.rules.operands import DRIFT_ENTRIES_MAX, DriftOperand
from drivers.base import FeedState
from tests.rules.parts import SENSOR, Agent, alerts, reading, states

RISES: dict[str, Any] = {"sensor": SENSOR, "when": {"rising": {"by": 5, "within": "10m"}}}
FALLS: dict[str, Any] = {"sensor": SENSOR, "when": {"falling": {"by": 5, "within": "10m"}}}
STUCK: dict[str, Any] = {"sensor": SENSOR, "when": {"unchanged_for": "1h"}}
OFTEN: dict[str, Any] = {"sensor": SENSOR, "when": {"above": 5}, "count": 3, "within": "5m"}
THRICE: dict[str, Any] = {"sensor": "doorbell.button", "each": {"equals": "pressed"}, "count": 3, "within": "5m"}
MINUTE = 60


def opened(**rules: Any) -> Agent:
    agent = Agent(**rules)
    for source in ("thermostat", "doorbell"):
        agent.stands(FeedState.OPEN, source)
    return agent


def story(agent: Agent, *said: tuple[float, Any], sensor: str = SENSOR) -> list[str | None]:
    """What is told while a sensor says things, each after so many seconds."""
    told = []
    for after_s, value in said:
        told += agent.waits(after_s)
        told += agent.reads(value, sensor)
    return states(told)


# -- rising and falling


def test_rising_is_the_latest_less_the_lowest_of_the_window() -> None:
    agent = opened(rises=RISES)
    assert story(agent, (0, 22), (60, 20), (60, 21), (60, 24.9)) == []
    assert story(agent, (60, 25)) == ["firing"]


def test_falling_is_the_highest_of_the_window_less_the_latest() -> None:
    agent = opened(falls=FALLS)
    assert story(agent, (0, 22), (60, 25), (60, 24), (60, 20.1)) == []
    assert story(agent, (60, 20)) == ["firing"]


def test_what_is_older_than_the_window_no_longer_counts() -> None:
    agent = opened(rises=RISES)
    assert story(agent, (0, 20), (599, 24.9)) == []
    assert story(agent, (1, 25)) == []


def test_a_slow_rise_never_fires() -> None:
    assert story(opened(rises=RISES), *((120, 20 + n) for n in range(50))) == []


def test_a_rise_is_over_when_it_has_left_the_window_without_a_new_reading() -> None:
    agent = opened(rises=RISES)
    story(agent, (0, 20), (60, 26))
    assert agent.waits(539) == []
    (resolved,) = agent.waits(1)
    assert (resolved.state, resolved.at, resolved.value) == ("resolved", 1600, 26)


def test_a_rise_is_not_over_because_its_source_was_lost() -> None:
    agent = opened(rises=RISES)
    story(agent, (0, 20), (60, 26))
    agent.stands(FeedState.LOST)
    assert alerts(agent.waits(3600)) == []
    assert agent.state("rises") == "firing"


def test_a_binary_fraction_does_not_fool_a_rise() -> None:
    agent = opened(rises={"sensor": SENSOR, "when": {"rising": {"by": 0.1, "within": "1m"}}})
    assert story(agent, (0, 20.2), (1, 20.3)) == ["firing"]


def test_a_rise_may_have_to_end_higher_than_something() -> None:
    agent = opened(rises={"sensor": SENSOR, "when": {"above": 30, "rising": {"by": 5, "within": "10m"}}})
    assert story(agent, (0, 20), (60, 29), (60, 31), (60, 32), (60, 29)) == ["firing", "resolved"]


@pytest.mark.parametrize("value", ["warm", True])
def test_what_is_no_number_is_counted_and_changes_no_window(value: Any) -> None:
    agent = opened(rises=RISES)
    assert story(agent, (0, 20), (1, value), (1, 25)) == ["firing"]
    assert agent.engine.unfit == {SENSOR: 1}


def test_a_retained_value_says_nothing_of_when_it_rose() -> None:
    agent = opened(rises=RISES, often=OFTEN)
    agent.reads(20, retained=True)
    assert story(agent, (1, 26)) == []
    for _ in range(3):
        assert agent.reads(26, retained=True) == []


VALUES = st.lists(st.tuples(st.integers(0, 40), st.integers(-20, 20)), max_size=60)


@given(VALUES)
def test_a_window_is_as_good_as_all_readings_in_it(said: list[tuple[int, int]]) -> None:
    operand, at, window, heard = DriftOperand(Drift(by=7, within="100s"), 1), 0, None, []  # type: ignore[arg-type]
    for gap_s, value in said:
        at += gap_s
        heard.append((at, value))
        found = operand.hear(None, window, reading(value), at)
        assert found is not None
        lowest = min(value for when, value in heard if at - when < 100)
        assert found.truth is (value - lowest >= 7)
        window = found.window


def test_a_window_of_a_flood_is_bounded_and_still_finds_the_rise() -> None:
    operand, window = DriftOperand(Drift(by=100, within="10m"), 1), None  # type: ignore[arg-type]
    for n in range(10_000):
        heard = operand.hear(None, window, reading(n / 100), n / 20)
        assert heard is not None
        window = heard.window
        assert window is not None
        assert len(window) <= DRIFT_ENTRIES_MAX
    heard = operand.hear(None, window, reading(100), 500.0)
    assert heard is not None
    assert heard.truth is True, "0 was said 500 seconds ago"


# -- unchanged_for


def test_equal_readings_that_span_it_are_unchanged() -> None:
    agent = opened(stuck=STUCK)
    assert story(agent, (0, 20), (1800, 20), (1799, 20)) == []
    assert story(agent, (1, 20)) == ["firing"]
    assert story(agent, (60, 20), (60, 20.1)) == ["resolved"]


def test_silence_is_not_unchanged() -> None:
    agent = opened(stuck=STUCK)
    story(agent, (0, 20), (60, 20))
    assert agent.waits(100_000) == []


def test_a_retained_value_behind_a_start_ends_no_count_that_nobody_knows() -> None:
    agent = opened(often=OFTEN)
    assert story(agent, (0, 6), (1, 7), (1, 8)) == ["firing"]
    agent.flush()
    agent.start(downtime_s=None)
    assert agent.reads(0, retained=True) == []
    assert states(agent.reads(0)) == ["resolved"]


def test_a_retained_reading_does_not_span_but_begins_anew() -> None:
    agent = opened(stuck=STUCK)
    agent.reads(20)
    agent.waits(3600)
    assert agent.reads(20, retained=True) == []
    assert states(agent.reads(20)) == ["firing"]
    assert states(agent.reads(21, retained=True)) == ["resolved"]


@pytest.mark.parametrize(("first", "other"), [(1, True), (0, False), ("1", 1), ("on", "On")])
def test_values_of_another_kind_are_not_equal(first: Any, other: Any) -> None:
    agent = opened(stuck=STUCK)
    assert story(agent, (0, first), (3600, other), (3599, other)) == []
    assert story(agent, (1, other)) == ["firing"]


# -- count


def test_the_third_match_is_the_pulse_and_then_the_window_is_empty() -> None:
    agent = opened(thrice=THRICE)
    button = "doorbell.button"
    assert story(agent, (0, "pressed"), (10, "pressed"), (10, "released"), sensor=button) == []
    assert story(agent, (10, "pressed"), sensor=button) == [None]
    assert story(agent, (10, "pressed"), (10, "pressed"), sensor=button) == []
    assert story(agent, (10, "pressed"), sensor=button) == [None]


def test_matches_that_are_too_far_apart_make_no_pulse() -> None:
    agent = opened(thrice=THRICE)
    assert story(agent, (0, "pressed"), (200, "pressed"), (100, "pressed"), sensor="doorbell.button") == []
    assert story(agent, (10, "pressed"), sensor="doorbell.button") == [None]


def test_a_counted_pulse_may_be_throttled_too() -> None:
    agent = opened(thrice=THRICE | {"throttle": "1m"})
    assert story(agent, *[(1, "pressed")] * 8, sensor="doorbell.button") == [None]
    assert agent.engine.memory["thrice", "doorbell.button"].throttled == 1
    assert story(agent, *[(60, "pressed")], sensor="doorbell.button") == [None], "two were counted since"


def test_a_level_holds_while_three_matches_lie_within() -> None:
    agent = opened(often=OFTEN)
    assert story(agent, (0, 6), (60, 7), (60, 1)) == []
    assert story(agent, (60, 8)) == ["firing"]
    assert story(agent, (60, 9)) == [], "still three after the first has left"
    assert agent.waits(119) == []
    (resolved,) = agent.waits(1)
    assert (resolved.state, resolved.at) == ("resolved", 1360)


def test_a_count_waits_for_its_source_and_then_goes_on() -> None:
    agent = opened(often=OFTEN)
    story(agent, (0, 6), (1, 6), (1, 6))
    agent.stands(FeedState.LOST)
    assert alerts(agent.waits(3600)) == []
    assert states(alerts(agent.stands(FeedState.OPEN))) == ["resolved"]


def test_a_count_may_have_to_be_cleared() -> None:
    agent = opened(often=OFTEN | {"clear": {"below": 2}})
    assert story(agent, (0, 6), (1, 6), (1, 6), (600, 4)) == ["firing"]
    assert story(agent, (1, 1)) == ["resolved"]


def test_no_more_times_are_remembered_than_there_is_to_count_to() -> None:
    agent = opened(often=OFTEN)
    for _ in range(100):
        agent.reads(6)
    assert len(agent.engine.memory["often", SENSOR].windows[0] or ()) == 3


# -- windows are soft


@pytest.mark.parametrize("rule", [RISES | {"when": {"rising": {"by": 50, "within": "10m"}}}, OFTEN, STUCK])
def test_windows_wait_for_a_commit_and_survive_with_it(rule: dict[str, Any]) -> None:
    agent = opened(one=rule)
    story(agent, (0, 6), (1, 7))
    assert agent.commits == 0
    assert agent.engine.soft_since() == 1000
    agent.flush()
    windows = agent.engine.memory["one", SENSOR].windows
    agent.start(downtime_s=5)
    assert agent.engine.memory["one", SENSOR].windows == windows


@pytest.mark.parametrize("downtime_s", [None, -1.0])
def test_after_a_downtime_of_unknown_length_windows_begin_anew(downtime_s: float | None) -> None:
    agent = opened(rises=RISES, often=OFTEN, thrice=THRICE, stuck=STUCK)
    story(agent, (0, 20), (1, 20))
    story(agent, (0, "pressed"), (1, "pressed"), sensor="doorbell.button")
    agent.flush()
    agent.start(downtime_s=downtime_s)
    assert story(agent, (0, 26)) == []
    assert story(agent, (0, "pressed"), sensor="doorbell.button") == []


def test_a_crash_may_make_a_counted_pulse_late_but_never_early() -> None:
    agent = opened(thrice=THRICE)
    story(agent, (0, "pressed"), (1, "pressed"), sensor="doorbell.button")
    agent.flush()
    assert story(agent, (0, "pressed"), sensor="doorbell.button") == [None]
    agent.start()
    assert story(agent, (0, "pressed"), (1, "pressed"), sensor="doorbell.button") == []


def test_equal_values_of_a_drift_write_nothing() -> None:
    agent = opened(rises=RISES)
    agent.reads(20)
    agent.flush()
    story(agent, *[(1, 20)] * 50)
    assert agent.engine.soft_since() is None


# -- repeat


def test_a_firing_rule_is_told_again_until_it_is_over() -> None:
    agent = opened(high={"sensor": SENSOR, "when": {"above": 5}, "repeat": "4h", "clear_for": "1m"})
    agent.reads(6, unit="°C")
    (firing,) = agent.told
    reminders = agent.waits(9 * 3600)
    assert [event.at for event in reminders] == [1000 + 4 * 3600, 1000 + 8 * 3600]
    (first, _) = reminders
    assert (first.type, first.state, first.alert_id) == ("sensor.alert.repeated", "firing", firing.alert_id)
    assert (first.value, first.started_wall, first.ended_wall) == (6, firing.started_wall, None)
    assert first.summary == "high: still, thermostat.temperature is 6 °C"
    agent.reads(4)
    assert states(agent.waits(60)) == ["resolved"]
    assert agent.waits(100_000) == []


def test_while_it_recovers_nobody_is_reminded() -> None:
    agent = opened(high={"sensor": SENSOR, "when": {"above": 5}, "repeat": "1h", "clear_for": "2h"})
    agent.reads(6)
    agent.waits(3000)
    agent.reads(4)
    assert agent.waits(3600) == []
    assert [event.type for event in agent.reads(6)] == ["sensor.alert.repeated"]


def test_a_rule_with_its_own_type_repeats_under_it() -> None:
    agent = opened(high={"sensor": SENSOR, "when": {"above": 5}, "repeat": "1h", "event": "freezer.warm"})
    agent.reads(6)
    assert [event.type for event in agent.waits(3600)] == ["freezer.warm.repeated"]


@pytest.mark.parametrize(("downtime_s", "left_s"), [(300, 600), (None, 3600), (10 * 3600, 3600)])
def test_a_reminder_waits_as_long_as_the_agent_was_away(downtime_s: float | None, left_s: float) -> None:
    agent = opened(high={"sensor": SENSOR, "when": {"above": 5}, "repeat": "1h"})
    agent.reads(6)
    agent.waits(3000)
    assert agent.start(downtime_s=downtime_s) == []
    assert agent.waits(left_s - 1) == []
    assert len(agent.waits(1)) == 1


def test_a_reminder_that_is_new_in_the_configuration_counts_from_the_firing() -> None:
    agent = opened(high={"sensor": SENSOR, "when": {"above": 5}})
    agent.reads(6)
    agent.waits(1000)
    agent.rules = {"high": {"sensor": SENSOR, "when": {"above": 5}, "repeat": "1h"}}
    assert agent.reload() == []
    assert [event.at for event in agent.waits(3600)] == [4600]
