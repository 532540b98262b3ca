"""Damaged files: the agent starts with what is readable, tells what is not, and sends no byte that was not owed."""

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from agent.model import Delivery, Notice
from agent.outbox import NewerSchema, Outbox, schema
from agent.outbox.placing import KEPT
from tests.outbox.parts import batch_of, deliver, done, event, opened, owe
from tests.support.hands import HandClock
from tests.support.small_disk import Filler, small_disk

PAGE = schema.PAGE_BYTES
N = 400
DELIVERED = 100


async def filled(folder: Path, *, log: bool = False, n: int = N) -> None:
    """An outbox with what waits, what was delivered, memory and a ledger; with `log`, as after a cut of power."""
    clock = HandClock()
    made = folder.with_name(f"{folder.name}-made")
    async with opened(made, clock) as (outbox, _):
        for first in range(1, n + 1, 20):
            await owe(outbox, clock, *(event(k, subject=f"s{k % 7}") for k in range(first, first + 20)))
        await deliver(outbox, clock, "ops", min(DELIVERED, n // 2))
        batch = batch_of(outbox, clock.moment())
        batch.memory = {("cold", f"s{k}.t"): f"memory {k}" for k in range(20)}
        batch.ledger = {"broker:house": (False, b"12345678" * 10)}
        await outbox.commit(batch)
        if log:
            shutil.copytree(made, folder)
    if not log:
        shutil.copytree(made, folder)


def file_of(folder: Path) -> Path:
    return folder / "outbox.db"


def log_of(folder: Path) -> Path:
    return folder / "outbox.db-wal"


def write(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def truncate(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share) // PAGE * PAGE)


def root(folder: Path, name: str) -> int:
    """Where the root page of a table or an index begins."""
    with closing(sqlite3.connect(f"file:{file_of(folder)}?immutable=1", uri=True)) as db:
        return (int(db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()[0]) - 1) * PAGE


def leaf_of(folder: Path, table: str, share: float) -> int:
    """Where a leaf of a table begins, so far on in its order."""
    with closing(sqlite3.connect(f"file:{file_of(folder)}?immutable=1", uri=True)) as db:
        query = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path"
        leaves = db.execute(query, (table,)).fetchall()
        return (int(leaves[int(len(leaves) * share)][0]) - 1) * PAGE


def page_with(folder: Path, text: bytes) -> int:
    """Where the page begins that holds a text."""
    data = file_of(folder).read_bytes()
    assert data.count(text)
    return data.index(text) // PAGE * PAGE


def garbage(folder: Path, at: int) -> None:
    write(file_of(folder), at, bytes(range(7, 247)) * 4)


def of_another(folder: Path) -> None:
    """The log of another outbox."""
    other = folder.with_name("other")
    with closing(sqlite3.connect(other, isolation_level=None)) as db:
        db.execute(f"PRAGMA page_size = {PAGE}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t (x)")
        db.execute("BEGIN")
        for _ in range(30):
            db.execute("INSERT INTO t VALUES (zeroblob(900))")
        db.execute("COMMIT")
        shutil.copy(f"{other}-wal", log_of(folder))


KINDS: dict[str, tuple[Callable[[Path], None], int]] = {
    # how, and at least so many of the 300 that wait are saved
    "empty": (lambda at: os.truncate(file_of(at), 0), 0),
    "header overwritten": (lambda at: write(file_of(at), 0, bytes(100)), 300),
    "first page overwritten": (lambda at: garbage(at, 0), 300),
    "truncated at three quarters": (lambda at: truncate(file_of(at), 0.75), 130),
    "a page of deliveries overwritten": (lambda at: garbage(at, leaf_of(at, "deliveries", 0.7)), 260),
    "a page of letters overwritten": (lambda at: garbage(at, page_with(at, b"evt_300 is 300")), 260),
    "the root of the deliveries overwritten": (lambda at: garbage(at, root(at, "deliveries")), 0),
    "the root of the letters overwritten": (lambda at: garbage(at, root(at, "letters")), 0),
    "an index overwritten": (lambda at: garbage(at, root(at, "pending")), 300),
    "counters overwritten": (lambda at: garbage(at, root(at, "webhooks")), 300),
    "meta overwritten": (lambda at: garbage(at, root(at, "meta")), 300),
    "the list of tables overwritten": (lambda at: write(file_of(at), 100, bytes(900)), 300),
}
LOGS: dict[str, tuple[Callable[[Path], None], int]] = {
    "truncated": (lambda at: truncate(log_of(at), 0.9), 0),
    "torn": (lambda at: write(log_of(at), log_of(at).stat().st_size * 9 // 10, bytes(3000)), 0),
    "garbage": (lambda at: write(log_of(at), 0, bytes(range(256)) * 16), 0),
}


async def deliver_all(outbox: Outbox, clock: HandClock) -> list[Delivery]:
    sent = []
    while outbox.counters["ops"].pending:
        for delivery in await outbox.mailboxes["ops"].due(clock.now(), 8):
            outbox.mailboxes["ops"].settle(done(delivery))
            sent.append(delivery)
        await owe(outbox, clock)
    return sent


async def starts_and_goes_on(folder: Path, clock: HandClock, at_least: int) -> list[Notice]:
    """Open, deliver all that waits, owe and deliver one more. Returns what was told."""
    notices: list[Notice] = []
    async with opened(folder, clock) as (outbox, _):
        outbox.telling.tell = notices.append
        await owe(outbox, clock, event(9000, subject="new", at=clock.now()))
        assert outbox.counters["ops"].balanced
        sent = await deliver_all(outbox, clock)
        assert len(sent) - 1 >= at_least
        for delivery in sent:
            number = delivery.event_id.removeprefix("evt_")
            expected = f"{delivery.event_id} is {delivery.sequence if number == '9000' else number}"
            assert delivery.body == expected.encode(), "not what was owed"
        assert len({delivery.event_id for delivery in sent}) == len(sent)
        assert outbox.counters["ops"].balanced
    with closing(sqlite3.connect(file_of(folder))) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return notices


@pytest.mark.parametrize("kind", KINDS)
async def test_with_a_damaged_file_it_starts_and_saves_what_is_readable(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "state"
    await filled(folder)
    damage, at_least = KINDS[kind]
    damage(folder)
    size_bytes = file_of(folder).stat().st_size
    [notice] = await starts_and_goes_on(folder, HandClock(), at_least)
    assert notice.type == "outbox.damaged"
    aside = folder / notice.data["folder"]
    assert (aside / "outbox.db").stat().st_size == size_bytes, "it is kept"
    assert aside.stat().st_mode & 0o077 == 0
    assert await starts_and_goes_on(folder, HandClock(), 0) == [], "it is sound now"


@pytest.mark.parametrize("kind", LOGS)
async def test_with_a_damaged_log_it_starts_with_what_was_committed_before(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "state"
    await filled(folder, log=True)
    damage, at_least = LOGS[kind]
    damage(folder)
    await starts_and_goes_on(folder, HandClock(), at_least)


async def test_the_log_of_another_database_is_not_taken_in(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    await filled(folder)
    of_another(folder)
    [notice] = await starts_and_goes_on(folder, HandClock(), 300)
    assert notice.data["lost"] == {}
    assert (folder / notice.data["folder"] / "outbox.db-wal").stat().st_size > 0


def places_of(folder: Path, text: bytes) -> list[int]:
    """Wherever it is in the file."""
    data = file_of(folder).read_bytes()
    return [match.start() for match in re.finditer(re.escape(text), data)]


async def test_a_subject_that_a_row_and_its_index_spell_differently_is_told_all_the_same(tmp_path: Path) -> None:
    """SQLite sees nothing of that before the row is to go: nothing is malformed."""
    clock, made = HandClock(), tmp_path / "made"
    async with opened(made, clock) as (outbox, _):
        await owe(outbox, clock, event(1, subject="attic"), event(2, subject="kettle"), event(3, subject="yard"))
    places = places_of(made, b"kettle")
    assert len(places) == 3, "the row, its index and its letter have it"
    for place in places:
        folder = tmp_path / str(place)
        shutil.copytree(made, folder)
        write(file_of(folder), place, b"j")
        await starts_and_goes_on(folder, HandClock(), 3)


async def test_a_page_that_is_damaged_while_it_runs_costs_what_was_on_it_and_nothing_else(tmp_path: Path) -> None:
    clock = HandClock()
    notices: list[Notice] = []
    async with opened(tmp_path, clock) as (outbox, _):
        outbox.telling.tell = notices.append
        for first in range(1, N + 1, 20):
            await owe(outbox, clock, *(event(k, subject=f"s{k % 7}") for k in range(first, first + 20)))
        with closing(sqlite3.connect(file_of(tmp_path))) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        await outbox.worker.read(lambda file: file.db.execute("PRAGMA shrink_memory"))
        garbage(tmp_path, leaf_of(tmp_path, "deliveries", 0.7))
        number, sequence = outbox.store.numbers
        sent = await deliver_all(outbox, clock)
        assert [notice.type for notice in notices] == ["outbox.damaged"]
        lost = notices[0].data["lost"]["ops"]
        assert 0 < lost < 40
        counters = outbox.counters["ops"]
        assert (counters.owed, counters.dropped_by["damaged"]) == (N, lost)
        assert counters.balanced
        assert len(sent) >= N - lost
        assert outbox.store.wants_whole, "and the pipeline will write memory and ledgers anew"
        assert outbox.store.numbers == (number, sequence)
        whole = batch_of(outbox, clock.moment())
        whole.whole = True
        await outbox.commit(whole)
        assert not outbox.store.wants_whole


async def test_a_newer_schema_is_refused_though_it_is_damaged_and_nothing_is_touched(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    await filled(folder)
    write(file_of(folder), 60, (schema.VERSION + 1).to_bytes(4, "big"))
    garbage(folder, root(folder, "deliveries"))
    before = sorted((path.name, path.stat().st_size) for path in folder.iterdir())
    with pytest.raises(NewerSchema):
        await starts_and_goes_on(folder, HandClock(), 0)
    assert sorted((path.name, path.stat().st_size) for path in folder.iterdir()) == before


async def test_a_folder_in_its_place_is_refused_in_words(tmp_path: Path) -> None:
    file_of(tmp_path).mkdir()
    with pytest.raises(OSError, match="move it away"):
        await starts_and_goes_on(tmp_path, HandClock(), 0)
    assert file_of(tmp_path).is_dir()


async def test_a_full_disk_is_no_damage(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    await filled(folder)
    garbage(folder, root(folder, "pending"))
    with small_disk(tmp_path, "tmpfs") as disk:
        shutil.copytree(folder, disk / "state")
        filler = Filler(disk)
        filler.fill()
        with pytest.raises(OSError, match=r"full|No space"):
            await starts_and_goes_on(disk / "state", HandClock(), 0)
        assert list((disk / "state").glob("outbox.damaged-*")) == []
        filler.free()
        await starts_and_goes_on(disk / "state", HandClock(), 300)


async def test_only_so_many_damaged_files_are_kept_and_that_one_goes_is_told(tmp_path: Path) -> None:
    folder, clock = tmp_path / "state", HandClock()
    await filled(folder, n=200)
    removed = []
    for _ in range(KEPT + 1):
        garbage(folder, root(folder, "pending"))
        clock.advance(60)
        [notice] = await starts_and_goes_on(folder, clock, 0)
        removed += notice.data["removed"]
    assert len(removed) == 1
    assert len(list(folder.glob("outbox.damaged-*"))) == KEPT


@pytest.mark.parametrize("moved", [0, 1, 2, 3], ids=lambda n: f"{n} files moved")
async def test_a_cut_while_the_new_file_is_put_in_place_is_gone_on_with(tmp_path: Path, moved: int) -> None:
    folder, clock = tmp_path / "state", HandClock()
    await filled(folder, log=True)
    other = tmp_path / "salvaged"
    await filled(other)
    shutil.copy(file_of(other), folder / "outbox.db.next")
    for suffix in ("", "-wal", "-shm")[:moved]:
        (folder / f"outbox.db{suffix}").unlink()
    assert await starts_and_goes_on(folder, clock, 300) == []
    assert not (folder / "outbox.db.next").exists()


FLIPS = 100
VERSION_IN_HEADER = range(60, 64)
"""A flip there may make a newer schema of it, and that is refused."""


async def test_with_any_one_flipped_bit_a_closed_outbox_opens_and_goes_on(tmp_path: Path) -> None:
    made = tmp_path / "made"
    await filled(made, n=40)
    data = file_of(made).read_bytes()
    chance = Random(5)
    places = [at for at in range(len(data)) if at not in VERSION_IN_HEADER and (data[at] or at < 100)]
    for place in chance.sample(places, FLIPS):
        bit = chance.randrange(8)
        folder, clock = tmp_path / f"flip-{place}-{bit}", HandClock()
        shutil.copytree(made, folder)
        write(file_of(folder), place, bytes([data[place] ^ 1 << bit]))
        async with opened(folder, clock) as (outbox, _):
            await owe(outbox, clock, event(9000, subject="new", at=clock.now()))
            assert outbox.counters["ops"].balanced, folder.name
            assert outbox.counters["ops"].owed > 0
        shutil.rmtree(folder)


@pytest.mark.parametrize("text", [b"state INTEGER NOT NULL", b"owed_again", b"SET pending_events", b"headers TEXT"])
async def test_a_flipped_bit_in_the_schema_is_found_at_the_start_and_costs_nothing(tmp_path: Path, text: bytes) -> None:
    folder = tmp_path / "state"
    await filled(folder, n=40)
    data = file_of(folder).read_bytes()
    for at in (found.start() for found in re.finditer(re.escape(text), data)):  # some are left of migrations
        write(file_of(folder), at, bytes([text[0] ^ 1]))
    [notice] = await starts_and_goes_on(folder, HandClock(), 20)
    assert notice.data["lost"] == {}
