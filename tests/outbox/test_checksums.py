"""A row that the card has changed is neither sent nor believed, but given up, counted and told."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.model import Content, Notice
from agent.outbox import Filter, Outbox, Span, checksums, moving, waiting
from tests.outbox.parts import batch_of, deliver, done, event, opened, owe
from tests.support.hands import HandClock

CHANGES = {
    "body": "UPDATE letters SET body = x'657674' WHERE delivery = 2",
    "headers": """UPDATE letters SET headers = '{"x":' WHERE delivery = 2""",
    "suffix": "UPDATE letters SET suffix = '/fail' WHERE delivery = 2",
    "id": "UPDATE letters SET event_id = 'evt_3' WHERE delivery = 2",
    "webhook": "UPDATE webhooks SET name = 'oqs' WHERE name = 'ops'",
}


def change(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "outbox.db")) as db:
        for statement in statements:
            assert db.execute(statement).rowcount > 0
        db.commit()


def told(outbox: Outbox) -> list[Notice]:
    notices: list[Notice] = []
    outbox.telling.tell = notices.append
    return notices


async def settle_all(outbox: Outbox, clock: HandClock) -> None:
    await outbox.commit(batch_of(outbox, clock.moment()))


@pytest.mark.parametrize("unordered", [(), ("ops",)], ids=["in order", "without order"])
@pytest.mark.parametrize("changed", ["body", "headers", "suffix", "id"])
async def test_damaged_bytes_are_never_sent_but_dead_and_told_and_the_others_go_on(
    tmp_path: Path, changed: str, unordered: Sequence[str]
) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1), event(2), event(3))
    change(tmp_path, CHANGES[changed])
    async with opened(tmp_path, clock, unordered=unordered) as (outbox, _):
        notices = told(outbox)
        sent = []
        for _ in range(3):
            for delivery in await outbox.mailboxes["ops"].due(clock.now(), 3):
                sent.append(delivery.body)
                outbox.mailboxes["ops"].settle(done(delivery))
        assert sent == [b"evt_1 is 1", b"evt_3 is 3"]
        await settle_all(outbox, clock)
        counters = outbox.counters["ops"]
        assert (counters.delivered, counters.dead, counters.pending, counters.balanced) == (2, 1, 0, True)
        [notice] = notices
        assert (notice.type, notice.about) == ("outbox.damaged", None)
        assert notice.data["sequences"] == [[2, 2]]
        [letter] = outbox.archive.find(Filter(states=("dead",)), Span(), 10, newest=True)
        [attempt] = next(one.log for one in outbox.archive.whole(letter.id) if one.state == "dead")
        assert attempt.error
        assert attempt.error.startswith("damaged")


async def test_a_delivery_that_points_to_another_webhook_is_not_sent_to_it(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, ["ops"]) as (outbox, _):
        await owe(outbox, clock, event(1))
    change(tmp_path, CHANGES["webhook"])
    async with opened(tmp_path, clock, ["oqs"]) as (outbox, _):
        assert await outbox.mailboxes["oqs"].due(clock.now(), 1) == []
        assert await outbox.mailboxes["oqs"].probe() is None
        await settle_all(outbox, clock)
        assert outbox.counters["oqs"].dead == 1


async def test_a_damaged_letter_is_not_sent_again_either(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1), event(2))
        await deliver(outbox, clock, "ops", 2)
        await settle_all(outbox, clock)
        change(tmp_path, CHANGES["body"])
        wanted = Filter(states=("delivered",))
        assert (await moving.replay(outbox, clock.moment(), wanted, Span())).moved == 2
        sent = await outbox.mailboxes["ops"].due(clock.now(), 2) + await outbox.mailboxes["ops"].due(clock.now(), 2)
        assert [delivery.body for delivery in sent] == [b"evt_1 is 1"]


async def test_what_a_rule_remembers_is_forgotten_and_told_where_its_row_is_damaged(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        batch = batch_of(outbox, clock.moment())
        batch.memory = {("cold", "a.t"): "one", ("cold", "b.t"): "two"}
        await outbox.commit(batch)
    change(tmp_path, "UPDATE memory SET value = 'one!' WHERE sensor = 'a.t'")
    async with opened(tmp_path, clock) as (outbox, loaded):
        notices = told(outbox)
        assert loaded.memory == {("cold", "b.t"): "two"}
        await owe(outbox, clock, event(1))
        assert [(notice.type, notice.data) for notice in notices] == [
            ("outbox.damaged", {"memory": 1, "rules": ["cold of a.t"]})
        ]
    async with opened(tmp_path, clock) as (outbox, loaded):
        assert not loaded.forgotten, "it is told once"


async def test_an_event_that_is_to_be_written_anew_goes_out_as_it_was_where_that_is_damaged(tmp_path: Path) -> None:
    clock = HandClock(synced=False)
    async with opened(tmp_path, clock) as (outbox, _):
        draft = outbox.draft(clock.moment(), lambda told, *_: Content(f"at {told.wall}".encode()))
        draft.owe([replace(event(n), synced=False) for n in (1, 2)])
        await outbox.commit(draft.batch())
        change(tmp_path, "UPDATE untimed SET event = replace(event, '1000', '9000') WHERE delivery = 1")
        kept = await outbox.worker.read(lambda file: waiting.untimed(file, [1, 2]))
        assert list(kept) == [2]


async def test_rows_from_before_there_were_checksums_are_sent_as_they_are(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1))
    change(tmp_path, "UPDATE letters SET checksum = NULL")
    async with opened(tmp_path, clock) as (outbox, _):
        assert len(await deliver(outbox, clock, "ops", 1)) == 1


def test_what_is_of_another_type_than_it_can_be_is_damaged_with_or_without_a_checksum() -> None:
    damaged: list[Any] = [("evt_1", "ops", "text", None, None), ("evt_1", None, b"body", None, None)]
    for row in damaged:
        assert checksums.differs(None, checksums.of_delivery(*row))
        assert checksums.differs(1, checksums.of_delivery(*row))
    nothing: Any = None
    assert checksums.differs(None, checksums.of_texts("cold", nothing))


@pytest.mark.parametrize(
    "other",
    [
        lambda: checksums.of_delivery("evt_2", "ops", b"body", None, None),
        lambda: checksums.of_delivery("evt_1", "opt", b"body", None, None),
        lambda: checksums.of_delivery("evt_1", "ops", b"bodz", None, None),
        lambda: checksums.of_delivery("evt_1", "ops", b"body", "{}", None),
        lambda: checksums.of_delivery("evt_1", "ops", b"body", None, "{}"),
    ],
)
def test_it_is_of_all_that_is_sent_and_to_whom(other: Callable[[], Any]) -> None:
    assert checksums.of_delivery("evt_1", "ops", b"body", None, None) != other()


def test_every_flipped_bit_is_seen_and_it_fits_into_four_bytes() -> None:
    body = bytes(range(200))
    whole = checksums.of_delivery("evt_1", "ops", body, None, None)
    for bit in range(len(body) * 8):
        flipped = bytearray(body)
        flipped[bit // 8] ^= 1 << bit % 8
        other = checksums.of_delivery("evt_1", "ops", bytes(flipped), None, None)
        assert checksums.differs(whole, other)
        assert other is not None
        assert -(2**31) <= other < 2**31
