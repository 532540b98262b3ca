"""The kill storm, short; the long one is `python -m tests.faults kill-storm`."""

from pathlib import Path

import pytest

from tests.faults.storm import kill_storm


@pytest.mark.timeout(180)
async def test_nothing_is_lost_or_evaluated_twice_over_kills_cut_links_and_reloads(tmp_path: Path) -> None:
    a_round = {"kill": 5, "cut": 5, "reload": 4, "kill the broker": 1}
    result = await kill_storm(tmp_path, seconds=0, seed=7, a_round=a_round)
    assert result.good, result
    assert result.figures["repeats that were known"] > 0, "the broker has to send again, else it shows nothing"
    assert result.figures["requests"] > result.figures["told"], "and answers have to get lost"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("mutant", ["acknowledge-early", "no-ledger"])
async def test_the_storm_catches_an_agent_with_a_broken_promise(tmp_path: Path, mutant: str) -> None:
    result = await kill_storm(tmp_path, seconds=0, seed=7, mutant=mutant, a_round={"kill": 6, "cut": 6}, patience_s=8)
    assert result.lost if mutant == "acknowledge-early" else result.duplicates, result
