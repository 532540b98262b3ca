"""Silence, and the presence of the source without which it says nothing; what is told of sources themselves."""

from typing import Any

import pytest

from agent.model import Event
from agent.rules import SOURCE_GRACE_S, Site
from agent.rules.telling import SOURCES
from drivers.base import FeedState, Presence
from tests.rules.parts import SENSOR, Agent, alerts, reading, states

SILENT: dict[str, Any] = {"sensor": SENSOR, "when": {"silent_for": "15m"}}
ROOMS: dict[str, Any] = {"sensor": "rooms.*.temperature", "when": {"silent_for": "15m"}}
KITCHEN = "rooms.kitchen.temperature"
QUARTER = 900
AWAY = [FeedState.LOST, FeedState.REFUSED, FeedState.OFFLINE, FeedState.PAUSED, FeedState.CONNECTING]


def opened(*, sensors: tuple[str, ...] = (), **rules: Any) -> Agent:
    """Both sources are open."""
    agent = Agent(site=Site(("thermostat", "rooms"), sensors, ("ops",)), **rules)
    open_both(agent)
    return agent


def open_both(agent: Agent) -> None:
    for source in ("thermostat", "rooms"):
        agent.stands(FeedState.OPEN, source)


def silent() -> Agent:
    agent = opened(silent=SILENT)
    agent.reads(20)
    agent.waits(QUARTER)
    assert agent.state("silent") == "firing"
    return agent


# -- silence


def test_a_sensor_that_stays_silent_for_so_long_fires_at_that_time() -> None:
    agent = opened(silent=SILENT)
    agent.reads(20, unit="°C", labels={"room": "hall"}, attributes={"battery": 3})
    assert agent.waits(QUARTER - 1) == []
    (firing,) = agent.waits(100)
    assert (firing.state, firing.at, firing.condition) == ("firing", 1000 + QUARTER, {"silent_for": "15m"})
    assert (firing.sensor, firing.value, firing.unit) == (SENSOR, 20, "°C")
    assert firing.labels == {"site": "cabin", "room": "hall"}
    assert firing.summary == "silent: thermostat.temperature has been silent for 15m"


def test_each_reading_begins_the_silence_anew_and_writes_nothing() -> None:
    agent = opened(silent=SILENT)
    agent.reads(20)
    commits = agent.commits
    for _ in range(10):
        assert agent.waits(QUARTER - 1) == []
        agent.reads(20)
    assert agent.commits == commits
    assert len(agent.waits(QUARTER)) == 1


def test_the_next_reading_resolves_it() -> None:
    agent = silent()
    (resolved,) = agent.reads(21)
    assert (resolved.state, resolved.value) == ("resolved", 21)
    assert resolved.summary == "silent: resolved, thermostat.temperature is 21"
    assert states(agent.waits(QUARTER)) == ["firing"]


def test_a_value_that_was_refused_or_is_unfit_for_another_rule_is_as_it_comes() -> None:
    """A refused value is no reading at all; one that another rule cannot judge is a sign of life."""
    agent = opened(silent=SILENT, cold={"sensor": SENSOR, "when": {"below": 5}})
    agent.reads(20)
    agent.waits(QUARTER - 1)
    agent.reads("error")
    assert agent.waits(QUARTER - 1) == []


def test_a_retained_message_is_no_sign_of_life() -> None:
    agent = opened(silent=SILENT)
    agent.reads(20)
    agent.waits(600)
    agent.reads(20, retained=True)
    assert states(agent.waits(300)) == ["firing"]
    assert agent.reads(20, retained=True) == []
    assert agent.state("silent") == "firing"


def test_a_live_reading_before_a_retained_one_in_the_same_step_counts() -> None:
    agent = opened(silent=SILENT)
    agent.reads(20)
    agent.waits(600)
    step = agent.engine.step(agent.moment)
    step.reading(reading(20), agent.at)
    step.reading(reading(20, retained=True), agent.at)
    agent.finish(step)
    assert agent.waits(QUARTER - 1) == []


def test_a_message_that_is_undone_is_no_sign_of_life() -> None:
    agent = opened(silent=SILENT)
    agent.reads(20)
    agent.waits(600)
    step = agent.engine.step(agent.moment)
    before = step.savepoint()
    step.reading(reading(21), agent.at)
    step.rollback(before)
    agent.finish(step)
    assert [event.at for event in agent.waits(300)] == [1900]


def test_the_first_reading_ever_writes_one_row_so_that_it_is_known_from_then_on() -> None:
    agent = opened(silent=ROOMS)
    assert agent.waits(10 * QUARTER) == []
    commits = agent.commits
    agent.reads(20, KITCHEN)
    agent.reads(21, KITCHEN)
    assert agent.commits == commits + 1
    agent.start(downtime_s=None)
    open_both(agent)
    assert agent.waits(QUARTER - 1) == []
    (firing,) = agent.waits(1)
    assert (firing.subject, firing.value) == (KITCHEN, None)
    assert firing.summary == f"silent: {KITCHEN} has been silent for 15m"


def test_a_sensor_known_from_a_retained_message_alone_may_be_silent_too() -> None:
    agent = opened(silent=ROOMS)
    agent.reads(20, KITCHEN, retained=True)
    assert states(agent.waits(QUARTER)) == ["firing"]


def test_a_sensor_that_the_configuration_names_in_full_is_known_without_ever_having_spoken() -> None:
    agent = opened(sensors=(SENSOR,), silent=SILENT, rooms=ROOMS)
    assert agent.commits == 0
    (firing,) = agent.waits(QUARTER)
    assert (firing.rule, firing.subject, firing.at) == ("silent", SENSOR, 1000 + QUARTER)


def test_after_a_start_silence_counts_from_the_start() -> None:
    agent = opened(silent=SILENT)
    agent.reads(20)
    agent.waits(QUARTER - 1)
    agent.start(downtime_s=5)
    open_both(agent)
    assert agent.waits(QUARTER - 1) == []
    assert states(agent.waits(1)) == ["firing"]


@pytest.mark.parametrize("downtime_s", [0.0, 5000.0, None])
def test_what_was_silent_stays_firing_over_a_start_until_it_speaks(downtime_s: float | None) -> None:
    agent = silent()
    assert agent.start(downtime_s=downtime_s) == []
    open_both(agent)
    assert agent.waits(3 * QUARTER) == []
    assert states(agent.reads(20)) == ["resolved"]


def test_silence_and_a_value_may_have_to_hold_together() -> None:
    agent = opened(hot={"sensor": SENSOR, "when": {"above": 30, "silent_for": "15m"}})
    agent.reads(20)
    assert agent.waits(QUARTER) == []
    agent.reads(31)
    assert states(agent.waits(QUARTER)) == ["firing"]


# -- silence says something only of a source that is open


@pytest.mark.parametrize("away", AWAY)
def test_silence_does_not_count_while_its_source_is_away_and_begins_anew_with_it(away: FeedState) -> None:
    agent = opened(silent=SILENT)
    agent.reads(20)
    agent.waits(600)
    agent.stands(away)
    assert alerts(agent.waits(10 * QUARTER)) == []
    agent.stands(FeedState.OPEN)
    assert agent.waits(QUARTER - 1) == []
    assert states(agent.waits(1)) == ["firing"]


@pytest.mark.parametrize("away", AWAY)
def test_a_source_that_goes_and_comes_resolves_nothing(away: FeedState) -> None:
    agent = silent()
    assert alerts(agent.stands(away)) == []
    assert alerts(agent.waits(3600)) == []
    assert alerts(agent.stands(FeedState.OPEN)) == []
    assert agent.waits(3600) == []
    assert agent.state("silent") == "firing"
    assert states(agent.reads(20)) == ["resolved"]


def test_before_its_source_was_ever_open_nothing_is_silent() -> None:
    agent = Agent(site=Site(("thermostat",), (SENSOR,)), silent=SILENT)
    assert alerts(agent.waits(10 * QUARTER)) == []


def test_a_hold_of_a_silence_ends_with_its_source() -> None:
    agent = opened(silent=SILENT | {"for": "5m"})
    agent.reads(20)
    agent.waits(QUARTER)
    assert agent.state("silent") == "pending"
    agent.stands(FeedState.LOST)
    assert agent.state("silent") == "ok"
    assert alerts(agent.waits(3600)) == []


def test_one_device_of_a_source_may_be_away_while_the_others_are_there() -> None:
    agent = opened(silent=ROOMS)
    agent.reads(20, KITCHEN)
    agent.reads(20, "rooms.hall.temperature")
    agent.stands(FeedState.OFFLINE, "rooms.kitchen")
    assert [event.subject for event in alerts(agent.waits(QUARTER))] == ["rooms.hall.temperature"]
    agent.stands(FeedState.OPEN, "rooms.kitchen")
    assert [event.subject for event in alerts(agent.waits(QUARTER))] == [KITCHEN]


def test_a_device_that_is_there_is_silent_only_if_its_source_is_open_too() -> None:
    agent = opened(silent=ROOMS)
    agent.stands(FeedState.OPEN, "rooms.kitchen")
    agent.reads(20, KITCHEN)
    agent.stands(FeedState.LOST, "rooms")
    assert alerts(agent.waits(QUARTER)) == []
    agent.stands(FeedState.OPEN, "rooms")
    assert states(alerts(agent.waits(QUARTER))) == ["firing"]


def test_a_source_whose_name_begins_alike_is_another() -> None:
    agent = opened(silent=ROOMS)
    agent.reads(20, KITCHEN)
    agent.stands(FeedState.LOST, "room")
    agent.stands(FeedState.LOST, "rooms.kit")
    assert states(alerts(agent.waits(QUARTER))) == ["firing"]


def test_that_a_source_is_open_once_more_changes_nothing() -> None:
    agent = opened(silent=SILENT)
    agent.reads(20)
    agent.waits(600)
    agent.stands(FeedState.OPEN)
    assert states(agent.waits(300)) == ["firing"]


def test_a_sensor_and_its_source_may_come_and_go_within_one_step() -> None:
    agent = opened(silent=ROOMS)
    step = agent.engine.step(agent.moment)
    step.reading(reading(20, KITCHEN), agent.at)
    step.presence(Presence(agent.at, "rooms", "rooms", FeedState.LOST), agent.at)
    step.run_timers(agent.at + QUARTER)
    assert alerts(step.events) == []
    step.presence(Presence(agent.at, "rooms", "rooms", FeedState.OPEN), agent.at)
    step.run_timers(agent.at + 3 * QUARTER)
    assert states(alerts(step.events)) == ["firing"]


def test_a_source_that_comes_and_goes_asks_for_no_look_at_sensors_that_are_well() -> None:
    rising = {"sensor": "rooms.*.temperature", "when": {"rising": {"by": 5, "within": "10m"}}}
    agent = opened(silent=ROOMS, rising=rising)
    for room in range(20):
        agent.reads(20, f"rooms.unit{room}.temperature")
    agent.reads(20, KITCHEN)
    agent.reads(25, KITCHEN)
    looked = []
    for state in (FeedState.PAUSED, FeedState.OPEN, FeedState.LOST, FeedState.OPEN):
        step = agent.engine.step(agent.moment)
        step.presence(Presence(agent.at, "rooms", "rooms", state), agent.at)
        looked.append({change.key for change in step.changes if change.key[0] != SOURCES})
        agent.finish(step)
    assert looked == [set()] * 4
    assert not agent.engine.memories.minding
    assert states(agent.waits(600)) == ["resolved"]


def test_what_was_to_be_looked_at_while_its_source_was_away_is_looked_at_once_it_is_back() -> None:
    agent = opened(silent=ROOMS)
    agent.reads(20, KITCHEN)
    agent.waits(600)
    agent.reads(20, "rooms.hall.temperature")
    agent.stands(FeedState.PAUSED, "rooms")
    agent.waits(300)
    assert agent.engine.memories.minding == {"rooms.kitchen": {("silent", KITCHEN)}}
    agent.stands(FeedState.OPEN, "rooms")
    assert not agent.engine.memories.minding
    assert alerts(agent.waits(QUARTER - 1)) == []
    assert [event.subject for event in alerts(agent.waits(1))] == ["rooms.hall.temperature", KITCHEN]


# -- sources


def told(events: list[Event]) -> list[tuple[str, str, str | None]]:
    return [(event.type, event.subject, event.reason) for event in events]


@pytest.mark.parametrize("away", [FeedState.LOST, FeedState.REFUSED, FeedState.OFFLINE])
def test_a_source_that_stays_away_is_told_once_and_once_that_it_is_back(away: FeedState) -> None:
    agent = opened()
    agent.stands(away, detail="connection refused")
    assert agent.waits(SOURCE_GRACE_S - 1) == []
    (lost,) = agent.waits(1)
    assert told([lost]) == [("source.lost", "source:thermostat", str(away))]
    assert (lost.rule, lost.sensor, lost.state, lost.severity) == (None, None, "firing", "warning")
    assert lost.summary == f"thermostat is {away}: connection refused"
    assert lost.send_to == ("ops",)
    agent.stands(away, detail="connection refused")
    assert agent.waits(100_000) == []
    (restored,) = agent.stands(FeedState.OPEN)
    assert told([restored]) == [("source.restored", "source:thermostat", str(away))]
    assert restored.summary == "thermostat is there again"
    assert (restored.alert_id, restored.send_to) == (lost.alert_id, ("ops",))
    assert agent.waits(100_000) == []


def test_a_momentary_outage_is_told_to_nobody_and_not_written() -> None:
    agent = opened()
    for _ in range(5):
        agent.stands(FeedState.LOST)
        agent.waits(SOURCE_GRACE_S - 1)
        agent.stands(FeedState.OPEN)
    assert agent.waits(1000) == agent.told == []
    assert (agent.commits, agent.disk) == (0, {})


def test_a_source_that_changes_how_it_is_away_is_away_once() -> None:
    agent = opened()
    agent.stands(FeedState.LOST)
    agent.waits(20)
    agent.stands(FeedState.REFUSED)
    assert told(agent.waits(10)) == [("source.lost", "source:thermostat", "refused")]
    assert agent.stands(FeedState.OFFLINE) == agent.waits(1000) == []
    assert told(agent.stands(FeedState.OPEN)) == [("source.restored", "source:thermostat", "refused")]


def test_that_it_pauses_tells_nobody() -> None:
    agent = opened()
    agent.stands(FeedState.PAUSED)
    assert agent.waits(100_000) == agent.stands(FeedState.OPEN) == []


def test_a_source_that_was_never_open_is_told_as_lost() -> None:
    agent = Agent(site=Site(("thermostat", "rooms"), (), ("ops",)))
    agent.stands(FeedState.OPEN, "rooms")
    (lost,) = agent.waits(SOURCE_GRACE_S)
    assert told([lost]) == [("source.lost", "source:thermostat", "lost")]
    assert lost.summary == "thermostat is lost: not open since the start"


def test_a_device_is_told_of_like_a_source() -> None:
    agent = opened()
    agent.stands(FeedState.OFFLINE, "rooms.kitchen")
    assert told(agent.waits(30)) == [("source.lost", "source:rooms.kitchen", "offline")]
    assert told(agent.stands(FeedState.OPEN, "rooms.kitchen")) == [
        ("source.restored", "source:rooms.kitchen", "offline")
    ]


@pytest.mark.parametrize("downtime_s", [0.0, 5000.0, None])
def test_a_lost_source_is_not_lost_twice_over_a_start(downtime_s: float | None) -> None:
    agent = opened()
    agent.stands(FeedState.LOST)
    (lost,) = agent.waits(30)
    assert agent.start(downtime_s=downtime_s) == []
    agent.stands(FeedState.OPEN, "rooms")
    assert agent.waits(1000) == []
    (restored,) = agent.stands(FeedState.OPEN)
    assert restored.alert_id == lost.alert_id
    agent.start()
    agent.stands(FeedState.OPEN)
    agent.stands(FeedState.OPEN, "rooms")
    assert agent.waits(1000) == []


def test_a_lost_source_that_the_configuration_no_longer_has_is_done_with() -> None:
    agent = opened()
    agent.stands(FeedState.LOST)
    (lost,) = agent.waits(30)
    agent.site = agent.site._replace(sources=("rooms",))
    (restored,) = agent.start()
    assert (restored.type, restored.alert_id) == ("source.restored", lost.alert_id)
    assert agent.disk == {}


# -- reload


def test_a_reload_takes_over_what_is_in_memory_only() -> None:
    agent = opened(silent=SILENT, rises={"sensor": SENSOR, "when": {"rising": {"by": 5, "within": "1h"}}})
    agent.waits(100)
    agent.reads(20)
    agent.waits(600)
    commits = agent.commits
    agent.rules = {**agent.rules, "other": {"sensor": SENSOR, "when": {"above": 100}}}
    assert agent.reload() == []
    assert agent.commits == commits
    assert agent.engine.latest[SENSOR].reading.value == 20
    (silence,) = agent.waits(300)
    assert (silence.rule, silence.at, silence.value) == ("silent", 2000, 20)
    assert {event.rule: event.state for event in agent.reads(25)} == {"silent": "resolved", "rises": "firing"}


def test_a_reload_does_not_forget_what_it_has_not_written_yet() -> None:
    agent = opened(rises={"sensor": SENSOR, "when": {"rising": {"by": 5, "within": "1h"}}})
    agent.reads(20)
    agent.reload()
    assert agent.engine.soft_since() == 1000
    agent.flush()
    agent.start()
    assert states(agent.reads(25)) == ["firing"]


def test_a_source_that_a_reload_adds_has_its_grace() -> None:
    agent = opened()
    agent.waits(1000)
    agent.site = agent.site._replace(sources=("thermostat", "rooms", "new"))
    agent.reload()
    assert agent.waits(29) == []
    assert told(agent.waits(1)) == [("source.lost", "source:new", "lost")]


def test_a_source_that_is_away_during_a_reload_is_told_in_its_time() -> None:
    agent = opened()
    agent.stands(FeedState.LOST)
    agent.waits(20)
    agent.reload()
    assert [event.at for event in agent.waits(20)] == [1030]
    agent.reload()
    assert agent.waits(100) == []
    assert told(agent.stands(FeedState.OPEN)) == [("source.restored", "source:thermostat", "lost")]


# -- forget


def test_forgetting_a_firing_sensor_resolves_it_and_leaves_nothing() -> None:
    agent = silent()
    assert agent.forgets(SENSOR)
    resolved = agent.told[-1]
    assert (resolved.state, resolved.reason, resolved.value) == ("resolved", "forgotten", 20)
    assert agent.disk == {}
    assert SENSOR not in agent.engine.latest
    assert agent.waits(10 * QUARTER) == []
    assert not agent.forgets(SENSOR)


def test_a_forgotten_sensor_that_speaks_again_is_new() -> None:
    agent = opened(silent=ROOMS, moves={"sensor": "rooms.*.temperature", "each": {"changes_by": 5}})
    agent.reads(20, KITCHEN)
    assert agent.forgets(KITCHEN)
    assert [event.rule for event in agent.reads(20, KITCHEN)] == ["moves"]
    assert states(agent.waits(QUARTER)) == ["firing"]


def test_only_what_was_heard_can_be_forgotten() -> None:
    agent = opened()
    assert not agent.forgets(SENSOR)
    agent.reads(20)
    assert agent.forgets(SENSOR)
