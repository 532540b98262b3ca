"""What an update keeps of the outbox, and when it is put back."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from agent.install.outbox import keep, main, put_back_if_newer
from agent.outbox import Outbox
from agent.outbox.schema import VERSION
from tests.support.hands import HandClock


@pytest.fixture
async def state(tmp_path: Path) -> Path:
    """The folder of an agent that is stopped."""
    folder = tmp_path / "state"
    folder.mkdir()
    outbox = Outbox(folder, {})
    await outbox.open(HandClock())
    await outbox.close()
    return folder


def set_version(folder: Path, version: int) -> None:
    """As a newer version of bellcrank does, which then fails."""
    with contextlib.closing(sqlite3.connect(folder / "outbox.db")) as db:
        db.execute(f"PRAGMA user_version = {version}")


def version(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def test_an_outbox_that_a_newer_version_has_changed_is_put_back(state: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    keep(state, copy)
    set_version(state, VERSION + 1)
    said = put_back_if_newer(state, copy, 1.8e9)
    assert version(state / "outbox.db") == VERSION
    [aside] = state.glob("outbox.replaced-*")
    assert str(aside) in said
    assert version(aside / "outbox.db") == VERSION + 1


def test_any_other_outbox_stays_with_all_that_came_since(state: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    keep(state, copy)
    before = (state / "outbox.db").read_bytes()
    assert put_back_if_newer(state, copy, 1.8e9).endswith("stays as it is")
    assert (state / "outbox.db").read_bytes() == before


def test_an_agent_that_never_ran_has_nothing_to_keep(tmp_path: Path) -> None:
    assert "no outbox" in keep(tmp_path, tmp_path / "copy")
    assert "stays" in put_back_if_newer(tmp_path, tmp_path / "copy", 1.8e9)
    assert not (tmp_path / "copy").exists()


def test_the_state_is_found_in_a_configuration_however_bad(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "bellcrank.yaml"
    config.write_text(f"agent: {{state_dir: {state}}}\nrules: 7\nbrokers: !credential x\n")
    assert main("keep", str(config), str(tmp_path / "copy")) == 0
    assert (tmp_path / "copy").stat().st_size > 0
    set_version(state, VERSION + 1)
    assert main("put-back", str(config), str(tmp_path / "none")) == 1
    assert f"{tmp_path / 'none'}: No such file" in capsys.readouterr().err
