"""A receiver that does harm, beside a good one; how long it takes is shown by `python -m tests.faults.neighbours`."""

from pathlib import Path

import pytest

from tests.faults.neighbours import NEIGHBOURS, beside


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
async def test_whatever_one_receiver_does_the_other_gets_all_in_order(tmp_path: Path, neighbour: str) -> None:
    result = await beside(tmp_path, NEIGHBOURS[neighbour], count=60)
    assert result.good, result
    assert 1 <= result.neighbour_at_most <= 8, "it was asked, over no more connections than it may have"
