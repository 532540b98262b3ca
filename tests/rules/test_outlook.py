"""What can be seen of a rule without a reading: its numbers, where time takes it, and how many are in which state."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from agent.rules import Rule, State
from agent.rules.outlook import Outlook, outlook, thresholds, thresholds_of
from tests.rules.parts import SENSOR, Agent


@pytest.mark.parametrize(
    ("rule", "numbers"),
    [
        ({"when": {"above": 5}}, [5]),
        ({"when": {"at_least": 5, "below": 8.5}, "clear": {"at_most": 4}}, [4, 5, 8.5]),
        ({"when": {"outside": [2, 8]}, "clear": {"inside": [3, 7]}}, [2, 3, 7, 8]),
        ({"when": {"equals": 3}}, [3]),
        ({"when": {"one_of": [1, "on", True, 2]}}, [1, 2]),
        ({"when": {"equals": True}}, []),
        ({"when": {"matches": "on"}}, []),
        ({"when": {"silent_for": "10m"}}, []),
        ({"when": {"rising": {"by": 3, "within": "1m"}, "above": 5}}, [5]),
        ({"each": {"above": 7}}, [7]),
        ({"each": {"changes_by": 2}}, []),
        ({"each": "reading"}, []),
    ],
)
def test_thresholds_are_the_numbers_that_values_are_compared_with(rule: dict[str, Any], numbers: list[float]) -> None:
    assert thresholds(Rule.model_validate({"sensor": SENSOR, **rule})) == numbers


def test_a_compound_rule_has_other_thresholds_for_each_sensor() -> None:
    warm = {"sensor": "rooms.{room}.t", "above": 25}
    cold = {"sensor": "rooms.{room}.t", "below": 24}
    wet, shut = {"sensor": "rooms.{room}.h", "above": 70}, {"sensor": "house.window", "equals": "shut"}
    agent = Agent(damp={"when": {"all": [warm, wet, shut]}, "clear": {"any": [cold]}})
    assert thresholds(agent.engine.rules["damp"].rule) == [24, 25, 70]
    for sensor, numbers in {"rooms.kitchen.t": [24, 25], "rooms.kitchen.h": [70], "house.window": []}.items():
        (route,) = agent.engine.routes(sensor)
        assert thresholds_of(route) == numbers


def test_a_hold_leads_to_firing_and_back_to_ok_at_its_end() -> None:
    agent = Agent(warm={"sensor": SENSOR, "when": {"above": 5}, "for": "60s", "clear_for": "30s"})
    rule, key = agent.engine.rules["warm"], ("warm", SENSOR)

    def ahead() -> Outlook | None:
        return outlook(rule, agent.engine.memory[key])

    agent.reads(9)
    began_at = agent.at
    assert ahead() == (State.FIRING, began_at + 60)
    agent.waits(61)
    assert ahead() is None, "firing ends by no time"
    agent.reads(1)
    assert ahead() == (State.OK, agent.at + 30)


def test_the_census_is_what_a_look_through_all_memories_finds() -> None:
    random = Random(3)
    agent = Agent(
        warm={"sensor": "rooms.*.t", "when": {"above": 5}, "clear": {"below": 3}, "for": "2s", "clear_for": "3s"},
        both={"when": {"all": [{"sensor": "rooms.{r}.t", "above": 4}, {"sensor": "house.on", "equals": True}]}},
        moved={"sensor": "rooms.*.t", "each": {"above": 8}, "throttle": "5s"},
    )
    for n in range(600):
        agent.reads(random.choice([1, 4, 9]), f"rooms.{random.randrange(9)}.t")
        if n % 50 == 7:
            agent.reads(random.random() < 0.5, "house.on")
        if n % 97 == 0:
            agent.forgets(f"rooms.{random.randrange(9)}.t")
        if n % 200 == 199:
            agent.reload()
        if n % 300 == 299:
            agent.start()
        agent.waits(random.random())
        assert_census(agent)
    assert {*agent.engine.census.counts("warm").values()} != {0}


def assert_census(agent: Agent) -> None:
    engine = agent.engine
    for name, rule in engine.rules.items():
        memories = {key: memory for key, memory in engine.memory.items() if key[0] == name and not rule.is_shared(key)}
        counts = Counter(memory.state for memory in memories.values())
        assert engine.census.counts(name) == {state: counts[state] for state in State}
        for state in State:
            wanted = {key[1] for key, memory in memories.items() if memory.state is state}
            assert set(engine.census.subjects(name, state)) == wanted


def test_who_is_longest_in_a_state_comes_first() -> None:
    agent = Agent(warm={"sensor": "rooms.*.t", "when": {"above": 5}, "clear": {"below": 3}})
    for room in "cab":
        agent.reads(9, f"rooms.{room}.t")
    agent.reads(1, "rooms.c.t")
    agent.reads(9, "rooms.c.t")
    assert list(agent.engine.census.subjects("warm", State.FIRING)) == ["rooms.a.t", "rooms.b.t", "rooms.c.t"]
