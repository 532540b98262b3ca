"""The open SQLite file itself."""

import sqlite3
from pathlib import Path

import pytest

from agent.outbox.file import File


def test_a_connection_that_cannot_be_set_up_is_closed_and_not_left_to_the_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_file: File, _db: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    path = tmp_path / "outbox.db"
    file = File(path)
    monkeypatch.setattr(File, "_set_up", fails)
    raised = []
    for _ in range(3):
        with pytest.raises(sqlite3.OperationalError) as error:
            file.reopen()
        raised.append(error)  # with its traceback, in whose frames the connection is
    opened = [number for number in Path("/proc/self/fd").iterdir() if number.exists() and number.readlink() == path]
    assert not opened
