"""The kill storm, short; the long one is `python -m tests.faults.storm`."""

from pathlib import Path

import pytest

from tests.faults.storm import storm


@pytest.mark.timeout(180)
async def test_nothing_is_lost_or_evaluated_twice_over_kills_and_cut_links(tmp_path: Path) -> None:
    result = await storm(tmp_path, kills=5, cuts=5, seed=7)
    assert result.good, result
    assert result.repeats_dropped > 0, "the storm has to make the broker send again, else it shows nothing"
    assert result.requests > result.published, "and answers have to get lost"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("mutant", ["acknowledge-early", "no-ledger"])
async def test_the_storm_catches_an_agent_with_a_broken_promise(tmp_path: Path, mutant: str) -> None:
    result = await storm(tmp_path, kills=6, cuts=6, seed=7, mutant=mutant, patience_s=8)
    assert not result.good
    assert result.lost if mutant == "acknowledge-early" else result.told_twice


@pytest.mark.timeout(180)
async def test_nothing_is_lost_or_evaluated_twice_over_reloads(tmp_path: Path) -> None:
    result = await storm(tmp_path, kills=1, cuts=1, reloads=8, seed=7)
    assert result.good, result
    assert result.reloads == 8
    assert result.repeats_dropped > 0, "the reloads have to make the broker send again, else it shows nothing"
