"""A short walk of the faults' long one, and what it must catch."""

from pathlib import Path

import pytest

from tests.faults.walk import FAULTS, walk


async def test_each_message_happened_once_however_often_it_came_and_the_agent_ended(tmp_path: Path) -> None:
    result = await walk(tmp_path, seconds=0, seed=7, steps=200)
    assert result.good, result
    assert result.figures["came again"] > 20, "some were known"
    assert min(result.figures.values()) > 1, "each thing happened"


@pytest.mark.parametrize("mutant", FAULTS[0].mutants)
async def test_the_walk_catches_an_agent_with_a_broken_promise(tmp_path: Path, mutant: str) -> None:
    assert not (await walk(tmp_path, seconds=0, seed=7, steps=100, mutant=mutant)).good
