"""What readings and timers tell."""

from typing import Any

import pytest

from agent.model import Moment
from tests.rules.parts import SENSOR, WALL, Agent, reading, states

COLD: dict[str, Any] = {"sensor": SENSOR, "when": {"below": 5}}
BAND: dict[str, Any] = COLD | {"clear": {"above": 6.5}}
RING: dict[str, Any] = {"sensor": "doorbell.button", "each": {"equals": "pressed"}}
MOVES: dict[str, Any] = {"sensor": SENSOR, "each": {"changes_by": 0.5}}


# -- levels


def test_the_first_value_ever_beyond_the_threshold_fires() -> None:
    assert states(Agent(cold=COLD).reads(4.2)) == ["firing"]


def test_by_default_it_is_over_when_the_condition_no_longer_holds() -> None:
    agent = Agent(cold=COLD)
    agent.reads(4.2)
    assert states(agent.reads(5)) == ["resolved"]


def test_more_of_the_same_tells_nobody_and_writes_nothing() -> None:
    agent = Agent(cold=COLD)
    agent.reads(4.2)
    commits = agent.commits
    assert agent.reads(3) == []
    assert agent.commits == commits


def test_inside_the_band_ok_and_firing_stay() -> None:
    agent = Agent(cold=BAND)
    assert agent.reads(6) == []
    agent.reads(4)
    assert agent.reads(6) == []
    assert agent.state("cold") == "firing"
    assert states(agent.reads(7)) == ["resolved"]
    assert agent.reads(6) == []


def test_inside_the_band_pending_falls_back_to_ok() -> None:
    agent = Agent(cold=BAND | {"for": "1m"})
    agent.reads(4)
    agent.waits(59)
    assert agent.reads(6) == []
    assert agent.state("cold") == "ok"
    assert agent.waits(3600) == []


def test_inside_the_band_recovering_returns_to_firing_and_tells_nobody() -> None:
    agent = Agent(cold=BAND | {"clear_for": "1m"})
    agent.reads(4)
    agent.reads(7)
    assert agent.state("cold") == "recovering"
    assert agent.reads(6) == []
    assert agent.state("cold") == "firing"
    assert agent.waits(3600) == []


def test_a_hold_ends_by_timer_without_a_new_reading_at_its_own_time() -> None:
    agent = Agent(cold=COLD | {"for": "1m", "clear_for": "30s"})
    agent.reads(4)
    assert agent.engine.next_due() == 1060
    assert agent.waits(59.9) == []
    (firing,) = agent.waits(10)
    assert (firing.state, firing.at, firing.wall) == ("firing", 1060, WALL + 1060)
    assert firing.started_wall == firing.wall
    agent.reads(8)
    (resolved,) = agent.waits(600)
    assert (resolved.state, resolved.at) == ("resolved", 1069.9 + 30)
    assert resolved.ended_wall == pytest.approx(WALL + 1099.9)
    assert agent.engine.next_due() is None


def test_a_reading_at_the_very_end_of_a_hold_comes_too_late() -> None:
    agent = Agent(cold=COLD | {"for": "1m"})
    agent.reads(4)
    agent.at += 60
    assert states(agent.reads(8)) == ["firing", "resolved"]


def test_a_hold_counts_from_the_first_match_not_from_the_last() -> None:
    agent = Agent(cold=COLD | {"for": "1m"})
    for _ in range(4):
        assert agent.reads(4) == []
        agent.at += 19
    assert states(agent.waits(0)) == ["firing"]


def test_timers_run_in_the_order_of_their_times_also_those_of_the_same_step() -> None:
    agent = Agent(
        slow={"sensor": "a.*", "when": {"above": 5}, "for": "20s"},
        fast={"sensor": "b.*", "when": {"above": 5}, "for": "5s"},
    )
    agent.reads(9, "a.t")
    step = agent.engine.step(agent.moment)
    step.reading(reading(9, "b.t"), 1001)
    step.reading(reading(9, "b.u"), 1000.5)
    step.run_timers(1100)
    assert [(event.sensor, event.at) for event in step.events] == [
        ("b.t", 1006),
        ("b.u", 1006),
        ("a.t", 1020),
    ]


def test_time_never_goes_back() -> None:
    agent = Agent(cold=COLD)
    step = agent.engine.step(agent.moment)
    step.reading(reading(4), 1010)
    step.reading(reading(8), 1005)
    assert [event.at for event in step.events] == [1010, 1010]


def test_ten_thousand_holds_that_end_at_once_are_told_in_order() -> None:
    agent = Agent(cold={"sensor": "a.*", "when": {"below": 5}, "for": "1m"})
    step = agent.engine.step(agent.moment)
    for number in range(10_000):
        step.reading(reading(1, f"a.{number:05}"), 1000)
    agent.commit(step)
    told = agent.waits(60)
    assert [event.sensor for event in told] == [f"a.{number:05}" for number in range(10_000)]
    assert agent.engine.next_due() is None


def test_a_sensor_that_comes_and_goes_leaves_no_timers_behind() -> None:
    agent = Agent(cold=COLD | {"for": "1d"})
    for _ in range(100):
        agent.reads(4)
        agent.at += 1
        agent.reads(8)
    agent.reads(4)
    assert agent.engine.memories.timers == [(agent.at + 86400, ("cold", SENSOR))]


@pytest.mark.parametrize("value", ["error", "", True])
@pytest.mark.parametrize("before", [[], [4], [4, 60, 8]])
def test_a_value_of_another_kind_neither_matches_nor_clears(value: Any, before: list[float]) -> None:
    """In every state: ok, pending, recovering; and it is counted."""
    agent = Agent(cold=COLD | {"for": "1m", "clear_for": "1m"})
    for value_or_wait in before:
        if value_or_wait == 60:
            agent.waits(60)
        else:
            agent.reads(value_or_wait)
    state = agent.state("cold")
    assert agent.reads(value) == []
    assert agent.state("cold") == state
    assert agent.engine.unfit == {SENSOR: 1}


def test_a_timer_tells_the_last_value_that_the_rule_could_judge() -> None:
    agent = Agent(cold=COLD | {"for": "1m"})
    agent.reads(4, attributes={"battery": 80})
    agent.reads(3.5, attributes={"battery": 79})
    agent.reads("error")
    (firing,) = agent.waits(60)
    assert (firing.value, firing.attributes) == (3.5, {"battery": 79})


def test_what_a_pending_sensor_says_again_writes_nothing() -> None:
    agent = Agent(cold=COLD | {"for": "1m"}, other={"sensor": "a.b", "when": {"above": 5}})
    agent.reads(4)
    disk, commits = dict(agent.disk), agent.commits
    agent.reads(3)
    assert agent.commits == commits
    agent.reads(6, "a.b")
    assert agent.disk.items() >= disk.items()


def test_a_retained_message_may_fire_and_clear_a_level() -> None:
    agent = Agent(cold=COLD)
    assert states(agent.reads(4, retained=True)) == ["firing"]
    assert states(agent.reads(8, retained=True)) == ["resolved"]


def test_a_pattern_has_a_memory_for_each_sensor_and_a_star_is_one_part() -> None:
    agent = Agent(cold={"sensor": "rooms.*.temperature", "when": {"below": 5}})
    assert [e.subject for e in agent.reads(4, "rooms.kitchen.temperature")] == ["rooms.kitchen.temperature"]
    assert [e.subject for e in agent.reads(4, "rooms.hall.temperature")] == ["rooms.hall.temperature"]
    assert agent.reads(4, "rooms.temperature") == []
    assert agent.reads(4, "rooms.a.b.temperature") == []
    assert agent.reads(4, "rooms.hall.humidity") == []
    assert states(agent.reads(9, "rooms.hall.temperature")) == ["resolved"]
    assert agent.state("cold", "rooms.kitchen.temperature") == "firing"


# -- what an alert says


def test_an_alert_tells_all_that_a_receiver_needs() -> None:
    agent = Agent(
        too_cold=COLD | {"severity": "critical", "send_to": ["ops"], "expires": "1h"},
        webhooks=("ops", "phone"),
    )
    said: dict[str, Any] = {"unit": "°C", "labels": {"room": "hall"}, "payload": {"t": 4.2}}
    (firing,) = agent.reads(4.2, **said, attributes={"battery": 80})
    assert (firing.type, firing.subject, firing.sensor) == ("sensor.alert.firing", SENSOR, SENSOR)
    assert (firing.rule, firing.state, firing.severity) == ("too_cold", "firing", "critical")
    assert (firing.value, firing.unit, firing.condition) == (4.2, "°C", {"below": 5})
    assert firing.labels == {"site": "cabin", "room": "hall"}
    assert (firing.attributes, firing.has_payload, firing.payload) == ({"battery": 80}, False, None)
    assert (firing.send_to, firing.expires_s, firing.reason) == (("ops",), 3600, "condition")
    assert (firing.at, firing.wall, firing.synced) == (1000, WALL + 1000, True)
    assert (firing.started_wall, firing.ended_wall) == (WALL + 1000, None)
    assert firing.summary == "too_cold: thermostat.temperature is 4.2 °C"
    assert firing.id.startswith("evt_")
    assert firing.alert_id is not None
    assert firing.alert_id.startswith("alt_")

    agent.at += 90
    (resolved,) = agent.reads(7, **said, attributes={"battery": 79})
    assert (resolved.type, resolved.state) == ("sensor.alert.resolved", "resolved")
    assert resolved.alert_id == firing.alert_id
    assert resolved.id != firing.id
    assert (resolved.started_wall, resolved.ended_wall) == (WALL + 1000, WALL + 1090)
    assert (resolved.value, resolved.attributes, resolved.condition) == (7, {"battery": 79}, {"below": 5})
    assert (resolved.severity, resolved.reason, resolved.send_to) == ("critical", "condition", ("ops",))
    assert resolved.summary == "too_cold: resolved, thermostat.temperature is 7 °C"


def test_a_rule_may_name_its_own_type() -> None:
    agent = Agent(warm=COLD | {"event": "freezer.too_warm"}, ring=RING | {"event": "door.rang"})
    assert [e.type for e in [*agent.reads(4), *agent.reads(9)]] == [
        "freezer.too_warm",
        "freezer.too_warm.resolved",
    ]
    assert [e.type for e in agent.reads("pressed", "doorbell.button")] == ["door.rang"]


def test_without_send_to_every_webhook_is_told_and_with_an_empty_one_none() -> None:
    agent = Agent(
        all=COLD,
        none=COLD | {"send_to": []},
        twice=COLD | {"send_to": ["ops", "ops"]},
        webhooks=("ops", "phone"),
    )
    assert [event.send_to for event in agent.reads(4)] == [("ops", "phone"), (), ("ops",)]


@pytest.mark.parametrize("document", [{"t": 4, "x": [1, None]}, None, "text"])
def test_the_payload_is_told_only_where_the_rule_says_so(document: Any) -> None:
    agent = Agent(
        now=COLD | {"payload": True},
        later=COLD | {"payload": True, "for": "1s"},
        each={"sensor": SENSOR, "each": "reading", "payload": True},
        without=COLD,
    )
    told = {e.rule: (e.has_payload, e.payload) for e in agent.reads(4, payload=document) + agent.waits(1)}
    with_it = (True, document)
    assert told == {"now": with_it, "later": with_it, "each": with_it, "without": (False, None)}


def test_a_payload_with_a_number_that_json_has_not_can_be_kept_and_told() -> None:
    agent = Agent(cold=COLD | {"payload": True, "for": "1m"})
    agent.reads(4, payload={"t": 4, "x": [float("nan"), float("inf"), 1.5]})
    agent.start(downtime_s=0)
    (firing,) = agent.waits(60)
    assert firing.payload == {"t": 4, "x": [None, None, 1.5]}


def test_a_payload_too_deep_to_be_written_fails_with_its_own_message() -> None:
    """Before the step has changed; not later, when the commit asks for the rows."""
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    agent = Agent(cold=COLD | {"payload": True, "for": "1m"})
    step = agent.engine.step(agent.moment)
    before = step.savepoint()
    with pytest.raises(RecursionError):
        step.reading(reading(4, payload=deep), 1000)
    step.rollback(before)
    assert step.rows() == {}


def test_a_long_text_is_kept_in_part() -> None:
    agent = Agent(on={"sensor": "a.t", "when": {"not_equals": "ok"}})
    agent.reads("x" * 1_000_000, "a.t")
    assert len(agent.disk["on", "a.t"]) < 5000
    assert len(str(agent.engine.latest["a.t"].reading.value)) < 5000


def test_what_a_sensor_said_last_is_there_to_see_without_the_rest_of_its_message() -> None:
    agent = Agent(cold=COLD)
    agent.reads(8, unit="°C", payload={"big": "x"})
    agent.reads("error", unit="°C")
    latest = agent.engine.latest[SENSOR]
    assert (latest.reading.value, latest.reading.unit, latest.at) == ("error", "°C", 1000)
    assert latest.reading.origin.payload is None


# -- pulses


def test_each_matching_reading_is_a_pulse_with_nothing_to_resolve() -> None:
    agent = Agent(ring=RING | {"severity": "info", "expires": "10m"})
    first, second = [agent.reads(word, "doorbell.button") for word in ("pressed", "pressed")]
    assert agent.reads("released", "doorbell.button") == []
    (pulse,) = first
    assert (pulse.type, pulse.subject, pulse.rule) == ("sensor.event", "doorbell.button", "ring")
    assert (pulse.severity, pulse.expires_s, pulse.condition) == ("info", 600, {"equals": "pressed"})
    assert (pulse.alert_id, pulse.state, pulse.started_wall, pulse.ended_wall, pulse.reason) == (None,) * 5
    assert pulse.send_to == ("ops", "phone")
    assert pulse.summary == "ring: doorbell.button is pressed"
    assert second[0].id != pulse.id
    assert agent.disk == {}


def test_a_retained_message_is_never_a_pulse_and_sets_no_baseline() -> None:
    agent = Agent(ring=RING, moves=MOVES, all={"sensor": "a.b", "each": "reading"})
    assert agent.reads("pressed", "doorbell.button", retained=True) == []
    assert agent.reads(1, "a.b", retained=True) == []
    assert agent.reads(20, retained=True) == []
    assert len(agent.reads(20)) == 1


def test_an_empty_text_is_no_reading_for_each() -> None:
    agent = Agent(all={"sensor": "a.b", "each": "reading"}, other={"sensor": "a.b", "each": {"not_equals": "x"}})
    assert agent.reads("", "a.b") == []
    assert len(agent.reads("y", "a.b")) == 2


def test_changes_by_is_against_the_last_value_that_was_told() -> None:
    agent = Agent(moves=MOVES)
    told = [event.value for v in (20, 20.3, 20.4, 20.5, 20.1, 20.0, 19.9) for event in agent.reads(v)]
    assert told == [20, 20.5, 20.0]


def test_changes_by_is_not_fooled_by_binary_fractions() -> None:
    agent = Agent(moves={"sensor": SENSOR, "each": {"changes_by": 0.1}})
    told = [event.value for v in (0.2, 0.3, 0.4, 70.2, 70.3, 70.35) for event in agent.reads(v)]
    assert told == [0.2, 0.3, 0.4, 70.2, 70.3]


def test_changes_by_cannot_judge_a_text_or_a_bool() -> None:
    agent = Agent(moves=MOVES)
    assert agent.reads("warm") + agent.reads(True) == []
    assert agent.engine.unfit == {SENSOR: 2}
    assert len(agent.reads(20)) == 1


def test_throttle_drops_pulses_that_are_closer_and_counts_them() -> None:
    agent = Agent(ring=RING | {"throttle": "10s"})
    told = []
    for _ in range(6):
        told += agent.reads("pressed", "doorbell.button")
        agent.at += 5
    assert [event.at for event in told] == [1000, 1010, 1020]
    assert agent.engine.memory["ring", "doorbell.button"].throttled == 3


@pytest.mark.parametrize("apart_s", [0.0, 0.4, 3.0])
def test_one_press_that_a_bridge_tells_four_times_is_one_event(apart_s: float) -> None:
    """Zigbee2MQTT: `pressed` with the whole state, `""` behind it, `pressed` alone, and the state once more."""
    agent = Agent(ring={"sensor": "doorbell.*", "each": {"equals": "pressed"}, "throttle": "10s"})
    told = []
    for value in ("pressed", "", "pressed", "pressed"):
        told += agent.reads(value, "doorbell.button")
        agent.at += apart_s
    assert [event.value for event in told] == ["pressed"]


def test_a_throttled_value_was_not_told_and_sets_no_baseline() -> None:
    agent = Agent(moves=MOVES | {"throttle": "10s"})
    agent.reads(20)
    agent.at += 1
    assert agent.reads(21) == []
    agent.at += 10
    assert [event.value for event in agent.reads(20.6)] == [20.6]


def test_each_sensor_of_a_pattern_has_its_own_throttle() -> None:
    agent = Agent(ring={"sensor": "door.*", "each": "reading", "throttle": "1m"})
    assert len(agent.reads(1, "door.front") + agent.reads(1, "door.back") + agent.reads(1, "door.front")) == 2


def test_what_throttle_counts_is_soft_and_waits_for_a_commit() -> None:
    agent = Agent(ring=RING | {"throttle": "1m"})
    agent.reads("pressed", "doorbell.button")
    commits, disk = agent.commits, dict(agent.disk)
    agent.at += 1
    agent.reads("pressed", "doorbell.button")
    agent.at += 1
    agent.reads("pressed", "doorbell.button")
    assert (agent.commits, agent.disk, agent.engine.soft_since()) == (commits, disk, 1001)
    agent.flush()
    assert agent.engine.soft_since() is None
    assert agent.disk != disk
    agent.start()
    assert agent.engine.memory["ring", "doorbell.button"].throttled == 2


def test_soft_changes_ride_with_the_next_commit() -> None:
    agent = Agent(ring=RING | {"throttle": "1m"}, cold=COLD)
    for _ in range(2):
        agent.reads("pressed", "doorbell.button")
    agent.reads(4)
    assert agent.engine.soft_since() is None
    agent.start()
    assert agent.engine.memory["ring", "doorbell.button"].throttled == 1


# -- the staged step


def test_a_step_that_is_let_go_of_changes_nothing() -> None:
    agent = Agent(cold=COLD | {"for": "1m"}, ring=RING | {"throttle": "1m"})
    agent.reads(4)
    agent.reads("pressed", "doorbell.button")
    engine = agent.engine
    before = (
        dict(engine.memory),
        dict(engine.latest),
        list(engine.memories.timers),
        engine.memories.now,
        engine.soft_since(),
    )
    step = engine.step(Moment(1100, WALL + 1100, synced=True))
    step.run_timers(1100)
    step.reading(reading(9), 1100)
    step.reading(reading("pressed", "doorbell.button"), 1059)
    assert step.hard
    assert states(step.events) == ["firing", "resolved", None]
    after = (
        dict(engine.memory),
        dict(engine.latest),
        list(engine.memories.timers),
        engine.memories.now,
        engine.soft_since(),
    )
    assert after == before
    assert states(agent.waits(60)) == ["firing"]


def test_a_rollback_undoes_all_since_its_savepoint_and_nothing_more() -> None:
    agent = Agent(
        cold=COLD | {"for": "1m"}, ring=RING | {"throttle": "1m"}, hot={"sensor": "a.t", "when": {"above": 5}}
    )
    agent.reads(9, "a.t")
    step = agent.engine.step(agent.moment)
    step.reading(reading(4), 1001)
    before = step.savepoint()
    rows, events = step.rows(), list(step.events)
    step.reading(reading(8), 1002)
    step.reading(reading("odd", "a.t"), 1002)
    step.reading(reading(1, "a.t"), 1002)
    step.reading(reading("pressed", "doorbell.button"), 1003)
    step.run_timers(2000)
    assert len(step.events) == 2
    step.rollback(before)
    assert (step.rows(), step.events, step.hard) == (rows, events, True)
    step.run_timers(1061)
    assert [(event.state, event.at) for event in step.events] == [("firing", 1061)]
    agent.commit(step)
    assert agent.engine.unfit == {}
    assert agent.state("hot", "a.t") == "firing"
    assert "doorbell.button" not in agent.engine.latest


def test_a_rollback_takes_back_that_something_must_be_written() -> None:
    agent = Agent(cold=COLD)
    step = agent.engine.step(agent.moment)
    before = step.savepoint()
    step.reading(reading(4), 1000)
    step.rollback(before)
    assert (step.hard, step.events, step.rows()) == (False, [], {})


def test_a_timer_that_ran_before_the_rollback_runs_again_after_it() -> None:
    agent = Agent(cold=COLD | {"for": "1m"})
    agent.reads(4)
    step = agent.engine.step(agent.moment)
    before = step.savepoint()
    step.run_timers(2000)
    step.rollback(before)
    step.run_timers(2000)
    assert [(event.state, event.at) for event in step.events] == [("firing", 1060)]


def test_holds_whose_end_cannot_be_stored_begin_anew() -> None:
    agent = Agent(cold=COLD | {"for": "1m"})
    agent.reads(4)
    agent.engine.skip_timers(1060)
    assert agent.engine.next_due() == 1120


# -- summaries


def test_a_rule_tells_in_its_own_words() -> None:
    words = "{labels.site}/{labels.room}: {value:.1f} {unit} at {attributes.battery} % ({state}) <{summary}>"
    agent = Agent(cold=COLD | {"summary": words})
    (fired,) = agent.reads(4.23, unit="°C", labels={"room": "hall"}, attributes={"battery": 97})
    assert fired.summary == f"cabin/hall: 4.2 °C at 97 % (firing) <cold: {SENSOR} is 4.23 °C>"
    (resolved,) = agent.reads(7)
    assert resolved.summary == f"cabin/: 7.0  at  % (resolved) <cold: resolved, {SENSOR} is 7>"


def test_a_pulse_tells_in_the_words_of_its_rule_too() -> None:
    agent = Agent(ring=RING | {"summary": "{{ {value} }}{ended_at}", "payload": True})
    (pulse,) = agent.reads("pressed", "doorbell.button", payload={"action": "pressed"})
    assert pulse.summary == "{ pressed }"


def test_a_summary_is_no_longer_than_it_may_be() -> None:
    agent = Agent(cold=COLD | {"summary": "{attributes.a}" * 100})
    (fired,) = agent.reads(4, attributes={"a": "x" * 10_000})
    assert fired.summary == "x" * 1000


def test_other_words_apply_at_the_next_event_and_change_nothing_else() -> None:
    agent = Agent(cold=COLD | {"summary": "one"})
    assert agent.reads(4)[0].summary == "one"
    agent.rules = {"cold": COLD | {"summary": "two"}}
    assert agent.reload() == []
    assert agent.reads(7)[0].summary == "two"
