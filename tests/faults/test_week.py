"""A week offline, short; the long one is `python -m tests.faults.week`."""

from pathlib import Path

import pytest

from tests.faults.week import week


@pytest.mark.timeout(180)
async def test_a_week_offline_loses_what_the_policy_says_and_names_it(tmp_path: Path) -> None:
    result = await week(tmp_path, events=5000, max_events=2000)
    assert result.good, result
    assert result.dropped_by_kind.keys() == {"pulse", "firing", "resolved"}, "whole alerts have to go too"
