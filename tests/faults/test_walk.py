"""A short walk of the faults' long one, and what it must catch."""

from pathlib import Path
from random import Random

import pytest

from agent.outbox import Ledger
from agent.rules import Engine
from tests.faults.walk import Walk


async def test_each_message_happened_once_however_often_it_came_and_the_agent_ended(tmp_path: Path) -> None:
    result = await Walk(tmp_path, Random(7)).run(200)
    assert result.wrong == []
    assert result.repeats > 20, "some were known"
    assert min(result.steps.values()) > 1, "each thing happened"


async def test_the_walk_catches_an_agent_without_a_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "knows", lambda *_: False)
    assert (await Walk(tmp_path, Random(7)).run(100)).wrong


async def test_the_walk_catches_an_agent_that_forgets_its_rules_over_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Engine.load
    monkeypatch.setattr(Engine, "load", lambda self, rows, *more: load(self, {}, *more))
    assert (await Walk(tmp_path, Random(7)).run(100)).wrong
