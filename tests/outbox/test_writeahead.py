"""What a crash left in the write-ahead log is on the disk before it is believed."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from tests.outbox.parts import deliver, event, opened, owe
from tests.support.hands import HandClock


async def crashed(folder: Path) -> Path:
    """An outbox with an event that only the log has."""
    async with opened(folder / "made", HandClock()) as (outbox, _):
        await owe(outbox, HandClock(), event(1))
        shutil.copytree(folder / "made", folder / "state")
    return folder / "state"


async def test_a_start_writes_the_log_again_and_syncs_it_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await crashed(tmp_path) / "outbox.db-wal"
    before, synced, true_sync = log.read_bytes(), list[tuple[str, bytes]](), os.fsync

    def sync(descriptor: int) -> None:
        true_sync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((path.name, path.read_bytes()))

    monkeypatch.setattr(os, "fsync", sync)
    written_before = log.stat().st_mtime_ns
    async with opened(log.parent, HandClock()):
        assert synced == [(log.name, before)]
        assert log.stat().st_mtime_ns > written_before


async def test_a_log_that_the_disk_does_not_take_is_not_believed_but_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, clock = await crashed(tmp_path), HandClock()

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="the outbox cannot be opened"):
            async with opened(state, clock):
                pass
    assert not list(state.glob("outbox.damaged-*"))
    async with opened(state, clock) as (outbox, _):
        assert [one.event_id for one in await deliver(outbox, clock, "ops", 1)] == ["evt_1"]
