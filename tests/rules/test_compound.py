"""`all`, `any` and `not` over several sensors: unknown until heard, bound by placeholders, remembered for certain."""

from typing import Any

import pytest

from agent.rules import Memory, Site
from agent.rules.operands import all_of, any_of, not_of, truth_at
from drivers.base import FeedState
from tests.rules.parts import Agent, alerts, reading, states

COLD_ = "rooms.{room}.temperature"
COLD, WINDOW = "rooms.kitchen.temperature", "rooms.kitchen.window"
AIRING: dict[str, Any] = {
    "when": {
        "all": [
            {"sensor": "rooms.{room}.temperature", "below": 18},
            {"sensor": "rooms.{room}.window", "equals": "open"},
        ]
    }
}
HEATED: dict[str, Any] = {
    "when": {"all": [*AIRING["when"]["all"], {"sensor": "heating.state", "equals": "on"}]},
}
EITHER: dict[str, Any] = {"when": {"any": [{"sensor": "a.x", "above": 5}, {"sensor": "a.y", "above": 5}]}}
BOTH: dict[str, Any] = {"when": {"all": [{"sensor": "a.x", "above": 5}, {"sensor": "a.y", "above": 5}]}}
NEITHER: dict[str, Any] = {"when": {"not": EITHER["when"]}}


@pytest.mark.parametrize("a", [True, False, None])
@pytest.mark.parametrize("b", [True, False, None])
def test_truth_has_three_values(a: bool | None, b: bool | None) -> None:
    parts = [truth_at(0), truth_at(1)]
    both, either = all_of(parts)([a, b]), any_of(parts)([a, b])
    assert both is (False if False in (a, b) else None if None in (a, b) else True)
    assert either is (True if True in (a, b) else None if None in (a, b) else False)
    assert not_of(truth_at(0))([a]) is (None if a is None else not a)


def test_all_fires_when_the_last_one_holds_and_resolves_with_the_first_that_does_not() -> None:
    agent = Agent(both=BOTH)
    assert agent.reads(6, "a.x") == []
    (firing,) = agent.reads(7, "a.y", unit="%", attributes={"battery": 9})
    assert (firing.subject, firing.sensor, firing.value, firing.unit) == ("rule:both", "a.y", 7, "%")
    assert (firing.condition, firing.attributes) == (BOTH["when"], {"battery": 9})
    assert firing.summary == "both: a.y is 7 %"
    (resolved,) = agent.reads(5, "a.x")
    assert (resolved.state, resolved.subject, resolved.sensor, resolved.value) == ("resolved", "rule:both", "a.x", 5)
    assert resolved.alert_id == firing.alert_id


def test_any_fires_with_the_first_and_resolves_with_the_last() -> None:
    agent = Agent(either=EITHER)
    assert states(agent.reads(6, "a.x")) == ["firing"]
    assert agent.reads(6, "a.y") + agent.reads(1, "a.x") == []
    assert states(agent.reads(1, "a.y")) == ["resolved"]


def test_a_sensor_that_was_not_heard_yet_is_unknown_and_neither_fires_nor_clears() -> None:
    agent = Agent(neither=NEITHER)
    assert agent.reads(1, "a.x") == []
    assert states(agent.reads(1, "a.y")) == ["firing"]
    agent = Agent(either=EITHER)
    agent.reads(6, "a.x")
    assert agent.reads(1, "a.x") == [], "a.y might be above"
    assert agent.state("either", "rule:either") == "firing"


def test_a_value_of_another_kind_leaves_a_truth_as_it_is_and_is_counted() -> None:
    agent = Agent(both=BOTH)
    agent.reads(6, "a.x")
    agent.reads(6, "a.y")
    assert agent.reads("error", "a.x") == []
    assert agent.engine.unfit == {"a.x": 1}


def test_a_retained_message_may_fire_and_clear_a_compound() -> None:
    agent = Agent(both=BOTH)
    agent.reads(6, "a.x", retained=True)
    assert states(agent.reads(6, "a.y", retained=True)) == ["firing"]
    assert states(agent.reads(1, "a.y", retained=True)) == ["resolved"]


def test_conditions_may_be_nested_and_mixed() -> None:
    rule = {"when": {"all": [{"sensor": "a.x", "above": 5}], "not": {"any": [{"sensor": "a.y", "equals": "off"}]}}}
    agent = Agent(one=rule)
    agent.reads(6, "a.x")
    assert states(agent.reads("on", "a.y")) == ["firing"]
    assert states(agent.reads("off", "a.y")) == ["resolved"]


def test_holds_and_a_clear_of_its_own_go_with_it() -> None:
    clear = {"all": [{"sensor": "a.x", "below": 3}]}
    agent = Agent(both=BOTH | {"clear": clear, "for": "1m", "clear_for": "30s"})
    agent.reads(6, "a.x")
    agent.reads(6, "a.y")
    assert states(agent.waits(60)) == ["firing"]
    assert agent.reads(4, "a.x") == []
    agent.reads(2, "a.x")
    assert states(agent.waits(30)) == ["resolved"]


def test_one_sensor_may_stand_in_several_conditions() -> None:
    rule = {"when": {"any": [{"sensor": "a.x", "above": 5}, {"sensor": "a.x", "rising": {"by": 2, "within": "1m"}}]}}
    agent = Agent(one=rule)
    agent.reads(1, "a.x")
    assert states(agent.reads(3, "a.x")) == ["firing"]


# -- truths are hard


@pytest.mark.parametrize("downtime_s", [0.0, 9000.0, None])
def test_what_was_heard_is_remembered_over_a_crash(downtime_s: float | None) -> None:
    """A door speaks once."""
    agent = Agent(both=BOTH)
    agent.reads(6, "a.x")
    assert agent.commits == 1
    agent.start(downtime_s=downtime_s)
    assert states(agent.reads(6, "a.y")) == ["firing"]


def test_the_same_truth_again_writes_nothing() -> None:
    agent = Agent(both=BOTH)
    for value in (6, 7, 8, 6):
        agent.reads(value, "a.x")
    assert agent.commits == 1


def test_a_row_with_another_number_of_parts_is_dropped() -> None:
    agent = Agent(both=BOTH)
    agent.reads(6, "a.x")
    ((key, row),) = agent.disk.items()
    agent.disk[key] = Memory.load(row)._replace(truths=(True,)).dump()
    agent.start()
    assert agent.disk == {}


# -- placeholders


def test_each_binding_has_its_own_memory() -> None:
    agent = Agent(airing=AIRING)
    agent.reads(15, COLD)
    assert agent.reads("open", "rooms.hall.window") == []
    (firing,) = agent.reads("open", WINDOW, labels={"room": "kitchen"})
    assert (firing.subject, firing.labels["room"]) == ("rule:airing:kitchen", "kitchen")
    (other,) = agent.reads(15, "rooms.hall.temperature")
    assert other.subject == "rule:airing:hall"
    assert states(agent.reads("shut", WINDOW)) == ["resolved"]
    assert agent.state("airing", "rule:airing:hall") == "firing"


def test_a_sensor_without_placeholders_belongs_to_all_bindings() -> None:
    agent = Agent(heated=HEATED)
    for room in ("kitchen", "hall"):
        agent.reads(15, f"rooms.{room}.temperature")
        agent.reads("open", f"rooms.{room}.window")
    assert [e.subject for e in agent.reads("on", "heating.state")] == ["rule:heated:kitchen", "rule:heated:hall"]
    agent.reads(15, "rooms.bath.temperature")
    assert [e.subject for e in agent.reads("open", "rooms.bath.window")] == ["rule:heated:bath"], (
        "known before the room"
    )
    agent.start()
    assert states(agent.reads("off", "heating.state")) == ["resolved"] * 3


def test_what_all_bindings_have_in_common_never_fires_by_itself() -> None:
    rule = {"when": {"any": [{"sensor": "rooms.{room}.window", "equals": "open"}, {"sensor": "a.x", "above": 5}]}}
    agent = Agent(one=rule)
    assert agent.reads(6, "a.x") == []
    assert [event.subject for event in agent.reads("shut", WINDOW)] == ["rule:one:kitchen"]


def test_several_placeholders_are_told_apart_in_their_order() -> None:
    parts = [{"sensor": "h.{floor}.{room}.t", "above": 5}, {"sensor": "w.{room}.{floor}.open", "equals": True}]
    agent = Agent(one={"when": {"all": parts}})
    agent.reads(6, "h.first.kitchen.t")
    assert [event.subject for event in agent.reads(True, "w.kitchen.first.open")] == ["rule:one:first.kitchen"]


def test_an_alert_of_a_binding_keeps_its_id_over_a_restart_and_a_reload() -> None:
    agent = Agent(airing=AIRING)
    agent.reads(15, COLD)
    (firing,) = agent.reads("open", WINDOW)
    agent.start()
    agent.reload()
    (resolved,) = agent.reads("shut", WINDOW)
    assert resolved.alert_id == firing.alert_id


def test_a_compound_whose_meaning_changed_is_resolved() -> None:
    agent = Agent(airing=AIRING)
    agent.reads(15, COLD)
    agent.reads("open", WINDOW)
    assert states(agent.start(decoding="path: u")) == ["resolved"]
    assert agent.disk == {}


# -- with time


SILENT: dict[str, Any] = {
    "when": {"all": [{"sensor": "a.x", "above": 5}, {"sensor": "b.y", "silent_for": "15m"}]},
}


def test_a_silence_may_be_part_of_it_and_is_told_by_timer() -> None:
    agent = Agent(site=Site(sensors=("a.x", "b.y")), one=SILENT)
    for source in ("a", "b"):
        agent.stands(FeedState.OPEN, source)
    agent.reads(6, "a.x")
    (firing,) = agent.waits(900)
    assert (firing.state, firing.at, firing.subject) == ("firing", 1900, "rule:one")
    assert states(agent.reads(1, "b.y")) == ["resolved"]
    assert states(agent.waits(900)) == ["firing"]
    agent.stands(FeedState.LOST, "b")
    assert alerts(agent.waits(5000)) == []
    agent.reads(1, "a.x")
    assert alerts(agent.told)[-1].state == "resolved", "a.x has cleared it, whatever b.y says"


def test_a_silence_in_what_all_bindings_have_in_common_is_told_of_each() -> None:
    rule = {
        "when": {"all": [{"sensor": "rooms.{room}.window", "equals": "open"}, {"sensor": "b.y", "silent_for": "15m"}]}
    }
    agent = Agent(site=Site(sensors=("b.y",)), one=rule)
    agent.stands(FeedState.OPEN, "b")
    agent.reads("open", WINDOW)
    agent.reads("open", "rooms.hall.window")
    assert [(event.subject, event.at) for event in agent.waits(900)] == [
        ("rule:one:kitchen", 1900),
        ("rule:one:hall", 1900),
    ]


def test_a_sensor_is_said_to_be_alive_only_when_it_is() -> None:
    agent = Agent(alive={"when": {"not": {"sensor": "b.y", "silent_for": "15m"}}})
    agent.stands(FeedState.OPEN, "b")
    assert states(agent.reads(1, "b.y")) == ["firing"]
    assert states(agent.waits(900)) == ["resolved"]
    agent.stands(FeedState.LOST, "b")
    agent.stands(FeedState.OPEN, "b")
    assert agent.state("alive", "rule:alive") == "ok"
    assert states(agent.reads(1, "b.y")) == ["firing"]


def test_a_sensor_of_a_binding_that_nobody_knows_is_not_silent() -> None:
    rule = {"when": {"any": [{"sensor": "rooms.{room}.window", "silent_for": "15m"}, {"sensor": COLD_, "below": 5}]}}
    agent = Agent(one=rule)
    agent.stands(FeedState.OPEN, "rooms")
    agent.reads(20, COLD)
    assert agent.waits(5000) == [], "the kitchen may have no window"
    agent.reads("shut", WINDOW)
    assert states(agent.waits(900)) == ["firing"]


# -- forget and rollback


def test_a_forgotten_sensor_is_unknown_again() -> None:
    agent = Agent(both=BOTH)
    agent.reads(6, "a.x")
    agent.reads(6, "a.y")
    assert agent.forgets("a.x")
    assert agent.state("both", "rule:both") == "firing", "unknown clears nothing"
    assert agent.forgets("a.y")
    assert (agent.told[-1].state, agent.told[-1].reason) == ("resolved", "forgotten")
    assert agent.disk == {}


def test_a_rollback_takes_truths_back() -> None:
    agent = Agent(both=BOTH)
    agent.reads(6, "a.x")
    step = agent.engine.step(agent.moment)
    before = step.savepoint()
    step.reading(reading(6, "a.y"), agent.at)
    step.rollback(before)
    assert (step.events, step.rows()) == ([], {})
    assert states(agent.reads(6, "a.y")) == ["firing"]
