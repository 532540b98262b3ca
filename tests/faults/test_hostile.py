"""Hostile peers and bad networks, short; the long ones are `python -m tests.faults NAME`."""

from pathlib import Path

import pytest

from tests.faults.receivers import receivers_lie

pytestmark = pytest.mark.timeout(180)


async def test_whoever_lies_of_a_delivery_is_told_it_again_and_holds_up_nobody(tmp_path: Path) -> None:
    result = await receivers_lie(tmp_path, seconds=0, seed=1, share=0.25)
    assert result.good, result
