"""A receiver that does harm, beside a good one; how long it takes is shown by `python -m tests.faults neighbours`."""

from pathlib import Path

import pytest

from tests.faults.neighbours import NEIGHBOURS, beside
from tests.support.receiver import Receiver


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
async def test_whatever_one_receiver_does_the_other_gets_all_in_order(tmp_path: Path, neighbour: str) -> None:
    async with Receiver(NEIGHBOURS[neighbour]) as bad:
        told = await beside(tmp_path, bad.url, count=60)
        assert told.good, told
        assert 1 <= bad.most_at_once <= 8, "it was asked, by no more at once than it may be"
