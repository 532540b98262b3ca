"""The hours of a rule: by the clock on the wall, over midnight, and over a change of summer time."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.rules import Site
from agent.rules.config import DAYS, Active
from agent.rules.schedule import Schedule
from tests.rules.parts import SENSOR, Agent, states

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT: dict[str, Any] = {"from": "22:00", "to": "06:00"}
HOT: dict[str, Any] = {"sensor": SENSOR, "when": {"above": 30}, "active": NIGHT}


def unix(text: str) -> float:
    """`2026-10-24 22:00` in Berlin; with `+1` behind it the second of two such times."""
    plain = text.removesuffix("+1")
    return datetime.fromisoformat(plain).replace(tzinfo=BERLIN, fold=int(plain != text)).timestamp()


def at(text: str, **rules: Any) -> Agent:
    """An agent at this time in Berlin."""
    agent = Agent(site=Site(timezone=BERLIN), **rules)
    agent.wall = unix(text) - agent.at
    agent.start()
    return agent


def waits_until(agent: Agent, text: str) -> list[Any]:
    return agent.waits(unix(text) - agent.moment.wall)


# -- the hours themselves


@pytest.mark.parametrize(
    ("active", "time", "holds"),
    [
        (NIGHT, "2026-07-01 21:59:59", False),
        (NIGHT, "2026-07-01 22:00", True),
        (NIGHT, "2026-07-02 05:59:59", True),
        (NIGHT, "2026-07-02 06:00", False),
        ({"from": "08:00", "to": "17:00"}, "2026-07-01 17:00", False),
        ({"from": "08:00", "to": "17:00"}, "2026-07-01 16:59", True),
        ({"days": ["wed"]}, "2026-07-01 00:00", True),
        ({"days": ["wed"]}, "2026-07-02 00:00", False),
        ({"from": "12:00", "to": "24:00"}, "2026-07-01 23:59:59", True),
        ({"to": "12:00"}, "2026-07-01 00:00", True),
        # a night that begins on a Saturday belongs to it, also on the Sunday morning
        (NIGHT | {"days": ["sat"]}, "2026-07-05 05:00", True),
        (NIGHT | {"days": ["sat"]}, "2026-07-05 22:00", False),
        (NIGHT | {"days": ["sat"]}, "2026-07-04 05:00", False),
        (NIGHT | {"days": ["sun"]}, "2026-07-06 05:00", True),
        # the clocks go back on this morning, so 02:30 comes twice
        ({"from": "02:15", "to": "02:45"}, "2026-10-25 02:30", True),
        ({"from": "02:15", "to": "02:45"}, "2026-10-25 02:50", False),
        ({"from": "02:15", "to": "02:45"}, "2026-10-25 02:30+1", True),
        # the clocks go forward on this morning, so 02:30 does not come at all
        ({"from": "02:30", "to": "04:00"}, "2027-03-28 01:59:59", False),
        ({"from": "02:30", "to": "04:00"}, "2027-03-28 03:00", True),
    ],
)
def test_a_rule_is_active_while_the_clock_shows_it(active: dict[str, Any], time: str, holds: bool) -> None:
    assert Schedule(Active.model_validate(active), BERLIN).at(unix(time))[0] is holds


@pytest.mark.parametrize(
    ("active", "first", "changes"),
    [
        (NIGHT, "2026-07-01 12:00", ["2026-07-01 22:00", "2026-07-02 06:00", "2026-07-02 22:00"]),
        (NIGHT | {"days": ["sat"]}, "2026-07-01 12:00", ["2026-07-04 22:00", "2026-07-05 06:00", "2026-07-11 22:00"]),
        ({"days": ["mon", "tue"]}, "2026-07-01 12:00", ["2026-07-06 00:00", "2026-07-08 00:00"]),
        # 2026-10-25: nine hours of night, and what comes twice is twice
        (NIGHT, "2026-10-24 12:00", ["2026-10-24 22:00", "2026-10-25 06:00"]),
        (
            {"from": "02:15", "to": "02:45"},
            "2026-10-25 00:00",
            ["2026-10-25 02:15", "2026-10-25 02:45", "2026-10-25 02:15+1", "2026-10-25 02:45+1", "2026-10-26 02:15"],
        ),
        ({"from": "01:00", "to": "02:30"}, "2026-10-25 00:00", ["2026-10-25 01:00", "2026-10-25 02:30"]),
        # 2027-03-28: seven hours of night, and what does not come begins or ends when the clock jumps over it
        (NIGHT, "2027-03-27 12:00", ["2027-03-27 22:00", "2027-03-28 06:00"]),
        ({"from": "02:30", "to": "04:00"}, "2027-03-28 00:00", ["2027-03-28 03:00", "2027-03-28 04:00"]),
        ({"from": "01:00", "to": "02:30"}, "2027-03-28 00:00", ["2027-03-28 01:00", "2027-03-28 03:00"]),
        ({"from": "02:15", "to": "02:45"}, "2027-03-28 00:00", ["2027-03-29 02:15"]),
    ],
)
def test_it_knows_when_that_changes(active: dict[str, Any], first: str, changes: list[str]) -> None:
    schedule, wall = Schedule(Active.model_validate(active), BERLIN), unix(first)
    for change in changes:
        until = schedule.at(wall)[1]
        assert datetime.fromtimestamp(until, BERLIN) == datetime.fromtimestamp(unix(change), BERLIN)
        wall = until


CLOCKS = st.integers(0, 95).map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")


@pytest.mark.parametrize("day", ["2026-10-24", "2027-03-27", "2026-07-01"])
@settings(max_examples=40, deadline=None)
@given(begin=CLOCKS, end=CLOCKS, days=st.lists(st.sampled_from(DAYS), min_size=1))
def test_three_days_minute_by_minute(day: str, begin: str, end: str, days: list[str]) -> None:
    """Against a walk through the days that looks at the clock every five minutes, over a change of summer time."""
    if begin == end:
        return
    schedule = Schedule(Active.model_validate({"from": begin, "to": end, "days": days}), BERLIN)
    now, until, before = unix(day), 0.0, False
    for _ in range(3 * 288):
        local = datetime.fromtimestamp(now, UTC).astimezone(BERLIN)
        clock, today = local.strftime("%H:%M"), DAYS[local.weekday()]
        yesterday = DAYS[local.weekday() - 1]
        if begin < end:
            shown = begin <= clock < end and today in days
        else:
            shown = (clock >= begin and today in days) or (clock < end and yesterday in days)
        active, ends = schedule.at(now)
        assert active is shown, local
        if now < until:
            assert active is before, "it had said that nothing changes until then"
        before, until = active, ends
        now += 300


# -- what a rule makes of them


def test_outside_its_hours_a_condition_counts_as_not_holding() -> None:
    agent = at("2026-07-01 12:00", hot=HOT)
    assert agent.reads(31) == []
    assert agent.state("hot") == "ok"


def test_when_its_hours_begin_what_was_said_before_fires_by_timer() -> None:
    agent = at("2026-07-01 12:00", hot=HOT)
    agent.reads(31, unit="°C")
    (firing,) = waits_until(agent, "2026-07-01 23:00")
    assert (firing.state, firing.wall, firing.value) == ("firing", pytest.approx(unix("2026-07-01 22:00")), 31)
    assert firing.reason == "condition"


def test_when_its_hours_end_an_alert_is_resolved_and_told_why() -> None:
    agent = at("2026-07-01 23:00", hot=HOT)
    assert states(agent.reads(31)) == ["firing"]
    (resolved,) = waits_until(agent, "2026-07-02 07:00")
    assert (resolved.state, resolved.reason) == ("resolved", "inactive")
    assert resolved.wall == pytest.approx(unix("2026-07-02 06:00"))


def test_within_its_hours_an_alert_is_resolved_by_its_condition() -> None:
    agent = at("2026-07-01 23:00", hot=HOT)
    agent.reads(31)
    assert [event.reason for event in agent.reads(20)] == ["condition"]


def test_hours_end_an_alert_also_inside_its_band_and_wait_for_clear_for() -> None:
    agent = at("2026-07-01 23:00", hot=HOT | {"clear": {"below": 25}, "clear_for": "1h"})
    agent.reads(31)
    agent.reads(27)
    assert waits_until(agent, "2026-07-02 06:59") == []
    assert [(event.state, event.reason) for event in waits_until(agent, "2026-07-02 07:00:01")] == [
        ("resolved", "inactive")
    ]


def test_a_hold_that_would_end_with_the_hours_does_not_fire() -> None:
    agent = at("2026-07-02 05:30", hot=HOT | {"for": "30m"})
    agent.reads(31)
    assert waits_until(agent, "2026-07-02 12:00") == []


def test_outside_its_hours_there_are_no_pulses() -> None:
    agent = at("2026-07-01 21:00", ring={"sensor": SENSOR, "each": "reading", "active": NIGHT})
    assert agent.reads(1) == []
    waits_until(agent, "2026-07-01 22:00")
    assert len(agent.reads(1)) == 1


def test_what_was_said_before_its_hours_is_remembered_over_a_start() -> None:
    """A door speaks once."""
    agent = at("2026-07-01 12:00", hot=HOT)
    agent.reads(31)
    agent.start(downtime_s=None)
    assert states(waits_until(agent, "2026-07-01 22:00")) == ["firing"]


def test_hours_that_ended_while_the_agent_was_down_are_over_at_the_start() -> None:
    agent = at("2026-07-02 05:00", hot=HOT)
    agent.reads(31)
    agent.at += 2 * 3600
    agent.start()
    assert [(event.state, event.reason) for event in agent.waits(0)] == [("resolved", "inactive")]


def test_with_a_wrong_clock_a_rule_is_active() -> None:
    agent = at("2026-07-01 12:00", hot=HOT)
    agent.synced = False
    agent.waits(0)
    assert states(agent.reads(31)) == ["firing"]
    agent.synced = True
    assert [(event.state, event.reason) for event in agent.waits(60)] == [("resolved", "inactive")]


def test_a_clock_that_is_set_moves_the_hours() -> None:
    agent = at("2026-07-01 12:00", hot=HOT)
    agent.reads(31)
    agent.wall += timedelta(hours=11).total_seconds()
    assert states(agent.waits(1)) == ["firing"]
    agent.wall -= timedelta(hours=11).total_seconds()
    assert states(agent.waits(1)) == ["resolved"]


@pytest.mark.parametrize(("evening", "hours"), [("2026-10-24 22:00", 9), ("2027-03-27 22:00", 7)])
def test_a_night_over_a_change_of_summer_time_is_as_long_as_it_is(evening: str, hours: int) -> None:
    agent = at(evening, hot=HOT)
    agent.reads(31)
    assert agent.waits(hours * 3600 - 1) == []
    assert states(agent.waits(2)) == ["resolved"]


def test_what_changes_nothing_writes_nothing() -> None:
    agent = at("2026-07-01 12:00", hot=HOT)
    agent.reads(31)
    commits = agent.commits
    for value in (32, 33, 34):
        agent.reads(value)
    assert agent.commits == commits == 1
