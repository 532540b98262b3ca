"""A week offline, short; the long one is `python -m tests.faults week`."""

from pathlib import Path

import pytest

from tests.faults.week import week


@pytest.mark.timeout(180)
async def test_a_week_offline_loses_what_the_policy_says_and_names_it(tmp_path: Path) -> None:
    result = await week(tmp_path, seconds=0, seed=1, events=3000, max_events=1200)
    assert result.good, result
    for kind in ("pulse", "firing", "resolved"):
        assert result.figures[f"dropped {kind}"], "whole alerts have to go too"


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("mutant", "by"), [("counts-wrong", "its counters are not those of its events"), ("marks-lost", "again, though")]
)
async def test_a_week_catches_each_of_its_mutants_by_what_that_breaks(tmp_path: Path, mutant: str, by: str) -> None:
    result = await week(tmp_path, seconds=0, seed=1, mutant=mutant, events=700, max_events=300)
    assert by in result.bad[0], result
