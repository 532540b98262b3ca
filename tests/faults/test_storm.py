"""The kill storm, short; the long one is `python -m tests.faults kill-storm`."""

from pathlib import Path

import pytest

from tests.faults.storm import kill_storm


@pytest.mark.timeout(180)
async def test_nothing_is_lost_or_evaluated_twice_over_kills_cut_links_and_reloads(tmp_path: Path) -> None:
    a_round = {"kill": 3, "cut": 3, "reload": 2, "kill the broker": 1}
    result = await kill_storm(tmp_path, seconds=0, seed=7, a_round=a_round)
    assert result.good, result
    assert result.figures["repeats that were known"] > 0, "the broker has to send again, else it shows nothing"
    assert result.figures["requests"] > result.figures["told"], "and answers have to get lost"


@pytest.mark.timeout(180)
async def test_the_storm_catches_an_agent_without_a_ledger(tmp_path: Path) -> None:
    """One that acknowledges early is caught in test_device.py, and by the whole campaign."""
    result = await kill_storm(tmp_path, seconds=0, seed=7, mutant="no-ledger", a_round={"kill": 1, "cut": 3})
    assert result.duplicates, result
