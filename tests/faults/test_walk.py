"""A short walk of the faults' long one, and what it must catch."""

from pathlib import Path
from random import Random

import pytest

from tests.faults.fault import Result
from tests.faults.walk import FAULTS, Sent, Walk, walk


async def test_each_message_happened_once_however_often_it_came_and_the_agent_ended(tmp_path: Path) -> None:
    result = await walk(tmp_path, seconds=0, seed=7, steps=200)
    assert result.good, result
    assert result.figures["came again"] > 20, "some were known"
    assert min(result.figures.values()) > 1, "each thing happened"


async def test_after_a_kill_a_hold_goes_on_from_the_last_commit_which_a_reload_of_the_same_rules_is_not(
    tmp_path: Path,
) -> None:
    one, result = Walk(tmp_path, Random(7)), Result()
    await one.start()
    await one.hear([Sent(1, "t.a", 12, retained=False)])
    held_since = int(one.clock.now())
    one.clock.advance(3)
    await one.reload(new_meaning=False)
    await one.kill(downtime_s=1)
    one.clock.advance(20)
    await one.round([])
    await one.stop()
    one.judge(result)
    assert result.good, result
    assert one.told()["slow", "t.a"] == [("firing", held_since + 7 + 3 + 1, "12")]


@pytest.mark.parametrize("mutant", FAULTS[0].mutants)
async def test_the_walk_catches_an_agent_with_a_broken_promise(tmp_path: Path, mutant: str) -> None:
    assert not (await walk(tmp_path, seconds=0, seed=7, steps=100, mutant=mutant)).good
