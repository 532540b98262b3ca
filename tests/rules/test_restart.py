"""What a start finds, and what it makes of the time in between."""

from typing import Any

import pytest

from agent.rules import SOURCES, Memory, Site
from tests.rules.parts import SENSOR, WALL, Agent, states

COLD: dict[str, Any] = {"sensor": SENSOR, "when": {"below": 5}, "for": "1m", "clear_for": "1m"}
PULSE: dict[str, Any] = {"sensor": SENSOR, "each": "reading", "throttle": "1m"}
HOUR = 3600.0


def pending(**more: Any) -> Agent:
    agent = Agent(cold=COLD | more)
    agent.reads(4, unit="°C", attributes={"battery": 80}, labels={"room": "hall"})
    return agent


def firing(**more: Any) -> Agent:
    agent = pending(**more)
    agent.waits(60)
    assert agent.state("cold") == "firing"
    return agent


def recovering(**more: Any) -> Agent:
    agent = firing(**more)
    agent.reads(8)
    return agent


@pytest.mark.parametrize(
    ("agent", "runs"),
    [
        (lambda: Agent(cold=COLD), False),
        (pending, True),
        (firing, False),
        (lambda: firing(repeat="6h"), True),
        (recovering, True),
    ],
    ids=["ok", "pending", "firing", "firing with reminders", "recovering"],
)
def test_it_is_known_whether_time_runs_that_a_restart_has_to_know_of(agent: Any, runs: bool) -> None:
    assert agent().engine.holds is runs


def test_a_source_that_is_away_asks_for_no_commit() -> None:
    agent = Agent(site=Site(sources=("thermostat",), events_to=("ops",)))
    assert agent.state(SOURCES, "source:thermostat") == "pending"
    assert not agent.engine.holds


@pytest.mark.parametrize("downtime_s", [0, 300, 10 * HOUR, None])
def test_firing_stays_firing_silently(downtime_s: float | None) -> None:
    agent = firing()
    assert agent.start(downtime_s=downtime_s) == []
    assert agent.state("cold") == "firing"
    assert agent.waits(10 * HOUR) == []


@pytest.mark.parametrize("stage", [pending, recovering])
def test_a_hold_runs_on_without_a_new_reading_and_the_downtime_does_not_count(stage: Any) -> None:
    agent = stage()
    agent.waits(40)
    agent.start(downtime_s=300)
    assert agent.waits(19) == []
    assert len(agent.waits(1)) == 1


@pytest.mark.parametrize("downtime_s", [None, HOUR + 1, -5.0])
@pytest.mark.parametrize("stage", [pending, recovering])
def test_a_hold_begins_anew_where_the_downtime_is_unknown_or_long(stage: Any, downtime_s: float | None) -> None:
    agent = stage()
    agent.waits(40)
    agent.start(downtime_s=downtime_s)
    assert agent.waits(59) == []
    assert len(agent.waits(1)) == 1


@pytest.mark.parametrize("downtimes", [(300.0, 500.0), (None, 0.0), (10 * HOUR, 0.0)])
def test_a_second_start_knows_what_the_first_made_of_the_downtime(
    downtimes: tuple[float | None, float],
) -> None:
    agent = pending()
    agent.waits(40)
    left = 20 if downtimes[0] == 300.0 else 60
    for downtime_s in downtimes:
        agent.start(downtime_s=downtime_s)
    assert agent.waits(left - 1) == []
    assert len(agent.waits(1)) == 1


def test_a_time_line_that_fell_back_prolongs_no_hold_and_no_throttle() -> None:
    agent = Agent(cold=COLD, all=PULSE)
    agent.reads(4)
    agent.at -= 500
    agent.start()
    assert agent.reads(4) == []
    assert states(agent.waits(60)) == ["firing"]
    assert len(agent.reads(4)) == 1


def test_a_start_without_a_downtime_has_nothing_to_write() -> None:
    agent = firing()
    commits = agent.commits
    agent.start(downtime_s=300)
    assert agent.commits == commits


def test_a_timer_after_a_start_tells_what_the_sensor_said_before() -> None:
    agent = pending()
    agent.start(downtime_s=5)
    (event,) = agent.waits(60)
    assert (event.value, event.unit, event.attributes) == (4, "°C", {"battery": 80})
    assert event.labels == {"site": "cabin", "room": "hall"}


def test_a_hold_that_ended_while_nobody_looked_is_told_at_the_start() -> None:
    agent = pending()
    agent.at += 70
    agent.start()
    (event,) = agent.waits(0)
    assert (event.state, event.at) == ("firing", 1060)


def test_a_pair_keeps_its_alert_id_and_its_start_over_restarts() -> None:
    agent = firing()
    agent.start(downtime_s=300)
    agent.reads(8)
    agent.start(downtime_s=300)
    agent.waits(60)
    first, last = agent.told
    assert states(agent.told) == ["firing", "resolved"]
    assert first.alert_id == last.alert_id
    assert first.started_wall == last.started_wall == WALL + 1060


def test_resolved_goes_to_those_who_were_owed_firing_whatever_send_to_says_now() -> None:
    agent = recovering(send_to=["ops"])
    agent.rules = {"cold": COLD | {"send_to": ["phone"], "severity": "info", "event": "new.name"}}
    assert agent.start() == []
    (resolved,) = agent.waits(60)
    assert resolved.send_to == ("ops",)
    assert (resolved.type, resolved.severity) == ("sensor.alert.resolved", "warning")


CHANGES: dict[str, dict[str, Any]] = {
    "removed": {},
    "changed": {"cold": COLD | {"when": {"below": 3}}},
    "a pulse now": {"cold": {"sensor": SENSOR, "each": "reading"}},
}


@pytest.mark.parametrize("rules", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("stage", [firing, recovering])
def test_an_alert_of_a_rule_that_is_gone_or_means_something_else_is_resolved(stage: Any, rules: dict[str, Any]) -> None:
    agent = stage(send_to=["ops"], event="freezer.too_warm", severity="critical", expires="1h")
    agent.rules = rules
    (resolved,) = agent.start(downtime_s=300)
    started = agent.told[0]
    assert (resolved.state, resolved.reason, resolved.at) == ("resolved", "rule_removed", agent.at)
    assert (resolved.type, resolved.severity) == ("freezer.too_warm.resolved", "critical")
    assert (resolved.condition, resolved.expires_s, resolved.rule) == ({"below": 5}, 3600, "cold")
    assert (resolved.alert_id, resolved.send_to) == (started.alert_id, ("ops",))
    assert (resolved.started_wall, resolved.ended_wall) == (started.started_wall, agent.moment.wall)
    assert agent.disk == {}
    assert agent.start() == []


def test_a_changed_decoding_is_a_changed_meaning() -> None:
    agent = firing()
    assert states(agent.start(decoding="path: u")) == ["resolved"]
    agent.reads(4)
    assert agent.state("cold") == "pending"


@pytest.mark.parametrize("rules", CHANGES.values(), ids=CHANGES)
def test_a_pending_one_that_is_gone_tells_nobody(rules: dict[str, Any]) -> None:
    agent = pending()
    agent.rules = rules
    assert agent.start() == []
    assert agent.disk == {}
    assert agent.waits(600) == []


def test_a_throttle_runs_on_over_a_known_downtime_and_ends_with_an_unknown_one() -> None:
    agent = Agent(all=PULSE)
    agent.reads(1)
    agent.start(downtime_s=30)
    assert agent.reads(1) == []
    agent.waits(30)
    assert len(agent.reads(1)) == 1
    agent.start(downtime_s=None)
    agent.start(downtime_s=0)
    assert len(agent.reads(1)) == 1


def test_a_baseline_is_kept_over_a_restart() -> None:
    agent = Agent(moves={"sensor": SENSOR, "each": {"changes_by": 0.5}})
    agent.reads(20)
    agent.start(downtime_s=None)
    assert agent.reads(20.4) == []
    assert len(agent.reads(20.5)) == 1


@pytest.mark.parametrize(
    "row",
    ["", "{", "[]", "{}", "null", "3", '"text"', "[" * 100_000, '["m","odd",0]', '["m","ok",null]', "[1,2]"],
)
def test_an_unreadable_row_is_dropped_and_stops_nothing(row: str) -> None:
    agent = firing()
    agent.disk["cold", "other.sensor"] = row
    assert agent.start() == []
    assert list(agent.disk) == [("cold", SENSOR)]
    assert agent.state("cold") == "firing"


@pytest.mark.parametrize("stage", [pending, firing, recovering])
def test_a_memory_is_the_same_after_the_disk(stage: Any) -> None:
    (memory,) = stage().engine.memory.values()
    assert Memory.load(memory.dump()) == memory


def test_back_to_ok_leaves_no_row() -> None:
    agent = recovering()
    assert list(agent.disk) == [("cold", SENSOR)]
    agent.waits(60)
    assert agent.disk == {}
    assert agent.engine.memory == {}
