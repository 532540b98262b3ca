"""The directory of patterns leaves no rule out, and looks at few others."""

from collections.abc import Mapping
from datetime import UTC
from itertools import product
from typing import Any

from agent.rules.compiled import Compiled, compile_rule
from agent.rules.config import Rule
from agent.rules.directory import Directory

PATTERNS = [".".join(parts) for n in (2, 3) for parts in product("ab", *[("a", "b", "*")] * (n - 1))]
OPERANDS = [{"sensor": pattern, "above": 1} for pattern in ("a.{x}.a", "b.a", "b.b.{x}")]
SENSORS = [".".join(parts) for n in (1, 2, 3, 4) for parts in product(("a", "b", "c"), repeat=n)]


def compiled(name: str, rule: Mapping[str, Any]) -> Compiled:
    return compile_rule(name, Rule.model_validate(rule), ("ops",), "", UTC)


def rules() -> list[Compiled]:
    plain: list[dict[str, Any]] = [{"sensor": pattern, "when": {"above": 1}} for pattern in PATTERNS]
    return [compiled(f"rule_{i}", rule) for i, rule in enumerate([*plain, {"when": {"all": OPERANDS}}])]


def test_each_rule_that_a_sensor_is_part_of_is_found_in_the_order_of_the_configuration() -> None:
    every = rules()
    directory = Directory(every)
    for sensor in SENSORS:
        wanted = [rule.name for rule in every if rule.routes(sensor)]
        assert [rule.name for rule in directory.candidates(sensor) if rule.routes(sensor)] == wanted, sensor


def test_rules_of_other_sensors_are_not_looked_at() -> None:
    own = [compiled(f"rule_{i}", {"sensor": f"a.{i}.t", "when": {"above": 1}}) for i in range(9)]
    others = [compiled(f"other_{i}", {"sensor": f"s{i}.*.t", "when": {"above": 1}}) for i in range(9)]
    directory = Directory([*own, *others])
    assert [rule.name for rule in directory.candidates("a.3.t")] == ["rule_3"]
    assert [rule.name for rule in directory.candidates("s4.x.t")] == ["other_4"]
