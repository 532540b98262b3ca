"""Outages, short; the long ones are `python -m tests.faults away` and `feeds`."""

from pathlib import Path

import pytest

from tests.faults.away import away
from tests.faults.feeds import feeds


@pytest.mark.timeout(180)
async def test_what_waits_while_the_receiver_is_away_arrives_whole_and_in_order(tmp_path: Path) -> None:
    result = await away(tmp_path, seconds=4, seed=1, warm_up_s=2)
    assert result.good, result
    assert result.figures["waiting"] >= 300, "much has to wait, else it shows nothing"


@pytest.mark.timeout(180)
async def test_feeds_that_go_and_come_are_heard_again_and_leak_nothing(tmp_path: Path) -> None:
    result = await feeds(tmp_path, seconds=0, seed=1, times=2)
    assert result.good, result
