"""Faults of the device, short; the long ones are `python -m tests.faults NAME`."""

from pathlib import Path

import pytest

from tests.faults.clocks import clock_drift, clock_steps, clock_unset
from tests.faults.descriptors import out_of_descriptors
from tests.faults.disk_faults import disk_full, failing_disk, read_only
from tests.faults.feed_faults import broker_killed, usb_storm
from tests.faults.memory import little_memory

pytestmark = pytest.mark.timeout(180)


async def test_while_the_card_fails_nothing_is_acknowledged_and_then_it_goes_on(tmp_path: Path) -> None:
    result = await failing_disk(tmp_path, seconds=0, seed=1, times=2)
    assert result.good, result


async def test_an_agent_that_acknowledges_early_is_caught_by_a_card_that_fails(tmp_path: Path) -> None:
    result = await failing_disk(tmp_path, seconds=0, seed=1, times=1, mutant="acknowledge-early")
    assert "acknowledged meanwhile" in str(result)


async def test_a_file_system_that_goes_read_only_is_gone_on_with_when_it_is_mended(tmp_path: Path) -> None:
    result = await read_only(tmp_path, seconds=0.5, seed=1)
    assert result.good, result


async def test_of_a_disk_that_is_full_to_the_last_block_what_finds_no_room_is_counted(tmp_path: Path) -> None:
    result = await disk_full(tmp_path, seconds=0, seed=1, times=1)
    assert result.good, result


async def test_without_descriptors_it_is_calm_and_with_them_all_answers_again(tmp_path: Path) -> None:
    result = await out_of_descriptors(tmp_path, seconds=2.5, seed=1)
    assert result.good, result


async def test_what_a_broker_that_saves_nothing_had_not_on_its_way_when_it_was_killed_is_told_once(
    tmp_path: Path,
) -> None:
    """One that keeps its sessions is killed in test_storm.py."""
    result = await broker_killed(tmp_path, seconds=0.5, seed=1, times=1, persistent=False)
    assert result.good, result


async def test_a_device_that_comes_and_goes_is_heard_in_the_end_and_nothing_grows(tmp_path: Path) -> None:
    result = await usb_storm(tmp_path, seconds=0.5, seed=1, times=10)
    assert result.good, result


async def test_a_clock_that_is_set_fires_and_loses_nothing(tmp_path: Path) -> None:
    result = await clock_steps(tmp_path, seconds=0.6, seed=1)
    assert result.good, result


async def test_a_clock_that_drifts_fires_and_loses_nothing(tmp_path: Path) -> None:
    result = await clock_drift(tmp_path, seconds=0, seed=1, moment_s=0.1)
    assert result.good, result


async def test_a_start_in_1970_fires_and_loses_nothing_when_the_clock_becomes_right(tmp_path: Path) -> None:
    result = await clock_unset(tmp_path, seconds=0, seed=1, times=1, moment_s=0.1)
    assert result.good, result


async def test_with_96_mib_it_takes_a_flood_while_much_waits_and_is_not_killed(tmp_path: Path) -> None:
    result = await little_memory(tmp_path, seconds=1, seed=1, waiting=5_000, sensors=500)
    assert result.good, result
