"""The soak, short; the long one is `python -m tests.faults soak --seconds 3600`."""

from pathlib import Path

import pytest

from tests.faults.soak import soak


@pytest.mark.timeout(180)
async def test_whatever_goes_wrong_in_turn_all_is_told_and_what_is_bounded_stays_so(tmp_path: Path) -> None:
    result = await soak(tmp_path, seconds=0, seed=1, looks_min=2)
    assert result.good, result
