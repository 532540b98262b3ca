"""Hostile peers and bad networks, short; the long ones are `python -m tests.faults NAME`."""

from pathlib import Path

import pytest

from tests.faults.broker_abuse import broker_abuse
from tests.faults.packets import packets
from tests.faults.poison import poison
from tests.faults.receivers import receivers_lie
from tests.faults.serial_abuse import serial_abuse

pytestmark = pytest.mark.timeout(180)


async def test_whoever_lies_of_a_delivery_is_told_it_again_and_holds_up_nobody(tmp_path: Path) -> None:
    result = await receivers_lie(tmp_path, seconds=0, seed=1, share=0.1)
    assert result.good, result


async def test_more_poison_than_a_broker_leaves_unacknowledged_blocks_nothing(tmp_path: Path) -> None:
    result = await poison(tmp_path, seconds=0, seed=1)
    assert result.good, result


async def test_good_lines_of_serial_devices_are_told_among_whatever_else_comes(tmp_path: Path) -> None:
    result = await serial_abuse(tmp_path, seconds=0, seed=1, devices=2)
    assert result.good, result


async def test_what_a_broker_says_again_is_told_once_whatever_else_it_does(tmp_path: Path) -> None:
    result = await broker_abuse(tmp_path, seconds=0, seed=1, brokers=2, share=0.25)
    assert result.good, result


async def test_lost_packets_and_peers_that_vanish_lose_nothing_and_tell_nothing_twice(tmp_path: Path) -> None:
    result = await packets(tmp_path, seconds=0, seed=1, hold_s=(0.1, 0.6))
    assert result.good, result
