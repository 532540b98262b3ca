"""A backup is one state of the outbox, checked; put back it goes on from there, and the world's memory is kept."""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.cli import main
from agent.outbox import Locked
from agent.outbox.backup import back_up, put_back
from agent.outbox.idle import switch_webhook
from tests.outbox.parts import batch_of, deliver, event, opened, owe
from tests.support.hands import HandClock

WALL = 1_790_000_000.0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def commit_ledger(state: Path, clock: HandClock) -> None:
    async with opened(state, clock) as (outbox, _):
        batch = batch_of(outbox, clock.moment(), event(1), event(2))
        batch.memory = {("cold", "a.t"): "as it was"}
        batch.ledger = {"broker:house": (False, b"12345678")}
        batch.subscriptions = {"broker:house": {"x/+": 1}}
        await outbox.commit(batch)


async def test_what_was_sent_since_goes_out_again_and_numbers_and_subscriptions_go_on(tmp_path: Path) -> None:
    clock, state, file = HandClock(), tmp_path / "state", tmp_path / "copy"
    await commit_ledger(state, clock)
    async with opened(state, clock) as (outbox, _):
        assert back_up(state, file) == file.stat().st_size
        batch = batch_of(outbox, clock.moment(), event(3))
        batch.subscriptions = {"broker:house": {"x/+": 1, "y/+": 2}}
        batch.memory = {("cold", "a.t"): "later"}
        await outbox.commit(batch)
        assert len(await deliver(outbox, clock, "ops", 3)) == 3
        with pytest.raises(Locked):
            put_back(state, file, WALL)
    assert file.stat().st_mode & 0o777 == 0o600
    done = put_back(state, file, WALL)
    assert done.pending == 2
    assert done.replaced
    assert (done.replaced / "outbox.db").exists()
    async with opened(state, clock) as (outbox, loaded):
        assert loaded.memory == {("cold", "a.t"): "as it was"}
        assert loaded.ledgers == {}, "what comes again was evaluated by what is put aside"
        assert loaded.subscriptions == {"broker:house": {"x/+": 1, "y/+": 2}}
        assert outbox.counters["ops"].balanced
        await owe(outbox, clock, event(4))
        sent = await deliver(outbox, clock, "ops", 3)
        assert [(d.event_id, d.sequence) for d in sent] == [("evt_1", 1), ("evt_2", 2), ("evt_4", 4)]


async def test_the_agent_goes_on_while_a_backup_is_made_and_that_is_one_state(tmp_path: Path) -> None:
    clock, state, file = HandClock(), tmp_path / "state", tmp_path / "copy"
    async with opened(state, clock) as (outbox, _):
        await owe(outbox, clock, *(event(n) for n in range(2000)))
        making = asyncio.create_task(asyncio.to_thread(back_up, state, file))
        number = 2000
        while not making.done():
            await owe(outbox, clock, event(number))
            number += 1
        await making
    put_back(state, file, WALL)
    async with opened(state, clock) as (outbox, _):
        assert outbox.counters["ops"].balanced
        assert 2000 <= outbox.counters["ops"].pending <= number


async def test_no_file_is_replaced_unasked_and_none_is_left_half(tmp_path: Path) -> None:
    clock, state, file = HandClock(), tmp_path / "state", tmp_path / "copy"
    await commit_ledger(state, clock)
    file.write_text("mine")
    with pytest.raises(FileExistsError):
        back_up(state, file)
    assert file.read_text() == "mine"
    back_up(state, file, replace=True)
    with closing(sqlite3.connect(state / "outbox.db")) as db:
        db.execute("DROP TABLE deliveries")
        db.commit()
    with pytest.raises(OSError, match="no outbox"):
        back_up(state, tmp_path / "other")
    assert names(tmp_path) == ["copy", "state"]


async def test_a_damaged_event_refuses_no_backup_neither_while_it_waits_nor_when_it_is_dead(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, state = HandClock(), tmp_path / "state"
    await commit_ledger(state, clock)
    with closing(sqlite3.connect(state / "outbox.db")) as db:
        db.execute("UPDATE letters SET body = x'00' WHERE delivery = (SELECT MIN(id) FROM deliveries WHERE state = 0)")
        db.commit()
    back_up(state, tmp_path / "waits")
    assert "will not be sent" in caplog.text
    async with opened(state, clock) as (outbox, _):
        assert await outbox.mailboxes["ops"].due(clock.now(), 1) == []
        await owe(outbox, clock)
        assert outbox.counters["ops"].dead == 1
    caplog.clear()
    back_up(state, tmp_path / "dead")
    assert "will not be sent" not in caplog.text
    put_back(state, tmp_path / "dead", WALL)
    async with opened(state, clock) as (outbox, _):
        assert outbox.counters["ops"].balanced


@pytest.mark.parametrize("kind", ["empty", "text", "another database", "damaged", "newer"])
async def test_what_is_no_sound_backup_is_refused_and_nothing_changes(tmp_path: Path, kind: str) -> None:
    clock, state, file = HandClock(), tmp_path / "state", tmp_path / "copy"
    await commit_ledger(state, clock)
    back_up(state, file)
    before = (state / "outbox.db").read_bytes()
    if kind == "empty":
        file.write_bytes(b"")
    elif kind == "text":
        file.write_text("hello" * 100)
    elif kind == "damaged":
        file.write_bytes(file.read_bytes()[:4096])
    else:
        statement = {
            "another database": "DROP TABLE deliveries",
            "newer": "PRAGMA user_version = 99",
        }[kind]
        with closing(sqlite3.connect(file)) as db:
            db.execute(statement)
            db.commit()
    with pytest.raises(Exception, match=r"backup|malformed|outbox|schema|database"):
        put_back(state, file, WALL)
    assert (state / "outbox.db").read_bytes() == before
    assert not list(state.glob("outbox.replaced*"))


async def test_it_is_put_where_there_is_none_yet(tmp_path: Path) -> None:
    clock, state, file = HandClock(), tmp_path / "state", tmp_path / "copy"
    await commit_ledger(state, clock)
    back_up(state, file)
    done = put_back(tmp_path / "new", file, WALL)
    assert (done.replaced, done.pending) == (None, 2)
    async with opened(tmp_path / "new", clock) as (outbox, loaded):
        assert loaded.subscriptions == {"broker:house": {"x/+": 1}}
        assert len(await deliver(outbox, clock, "ops", 2)) == 2


def owners(folder: Path) -> dict[str, tuple[int, int]]:
    """Of all that lies in it, and beneath."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_uid, path.lstat().st_gid) for path in sorted(folder.rglob("*"))
    }


def give_away(folder: Path, owner: int, group: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner, group)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another")
async def test_what_root_restores_can_be_opened_by_the_agent_that_is_another_user(tmp_path: Path) -> None:
    clock, state, file = HandClock(), tmp_path / "state", tmp_path / "copy"
    await commit_ledger(state, clock)
    back_up(state, file)
    (state / "outbox.lock").unlink()
    give_away(state, 12345, 12346)
    done = put_back(state, file, WALL)
    assert done.replaced
    found = owners(state)
    assert {"outbox.db", "outbox.lock", done.replaced.name, f"{done.replaced.name}/outbox.db"} <= set(found)
    assert set(found.values()) == {(12345, 12346)}, found
    assert owners(tmp_path)["copy"] == (0, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another")
async def test_a_webhook_that_root_switches_leaves_nothing_that_the_agent_cannot_open(tmp_path: Path) -> None:
    await commit_ledger(tmp_path, HandClock())
    (tmp_path / "outbox.lock").unlink()
    give_away(tmp_path, 12345, 12346)
    assert switch_webhook(tmp_path, "ops", enabled=False)
    assert set(owners(tmp_path).values()) == {(12345, 12346)}, owners(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another")
async def test_root_gives_nothing_away_to_which_a_link_in_the_folder_leads(tmp_path: Path) -> None:
    state, others = tmp_path / "state", tmp_path / "others"
    await commit_ledger(state, HandClock())
    others.touch()
    (state / "outbox.lock").unlink()
    (state / "outbox.lock").symlink_to(others)
    os.chown(state, 12345, 12346)
    switch_webhook(state, "ops", enabled=False)
    assert (others.stat().st_uid, others.stat().st_gid) == (0, 0)


async def test_the_commands_do_not_need_the_secrets_that_only_the_service_has(tmp_path: Path) -> None:
    state, config = tmp_path / "state", tmp_path / "bellcrank.yaml"
    await commit_ledger(state, HandClock())
    webhook = "{url: 'https://example.com', secrets: [!credential whsec, !env BELLCRANK_TEST_NOWHERE]}"
    config.write_text(f"version: 1\nagent: {{state_dir: {state}}}\nsources: {{}}\nwebhooks: {{ops: {webhook}}}\n")
    for words in (["backup"], ["restore", "--yes"], ["webhooks", "disable"]):
        about = "ops" if words[0] == "webhooks" else str(tmp_path / "copy")
        done = CliRunner().invoke(main, [*words, about, "--config", str(config)])
        assert done.exit_code == 0, done.output
    config.write_text("agent: {state_dir: !env BELLCRANK_TEST_NOWHERE}")
    done = CliRunner().invoke(main, ["restore", "--yes", str(tmp_path / "copy"), "--config", str(config)])
    assert done.exit_code == 78
