"""Looking at deliveries, sending them again, giving them up: found by a filter, moved once, counted exactly."""

import math
from pathlib import Path
from typing import Any

import pytest

from agent.model import Attempt, Content, Ending, Event, Settlement
from agent.outbox import Archive, Filter, Outbox, Span, moving, opened_idle
from tests.outbox.parts import body, deliver, done, event, opened, owe
from tests.support.hands import HandClock
from tests.support.waiting import until

ALL = Span()


async def settle_first(outbox: Outbox, clock: HandClock, ending: Ending, webhook: str = "ops") -> None:
    (delivery,) = await outbox.mailboxes[webhook].due(clock.now(), 1)
    log = Attempt(clock.now(), clock.wall(), 0.25, 400, "HTTP 400", b"no")
    attempt = None if ending is Ending.DELIVERED else log
    outbox.mailboxes[webhook].settle(Settlement(delivery, ending, due_at=clock.now() + 5, attempts=1, attempt=attempt))
    await owe(outbox, clock)


async def replay(outbox: Outbox, clock: HandClock, span: Span = ALL, **words: Any) -> int:
    return (await moving.replay(outbox, clock.moment(), Filter.parse(words).to_replay(), span)).moved


async def discard(outbox: Outbox, clock: HandClock, **words: Any) -> int:
    return (await moving.discard(outbox, clock.moment(), Filter.parse(words).to_discard(), ALL)).moved


def counts(outbox: Outbox, webhook: str = "ops") -> dict[str, int]:
    counters = outbox.counters[webhook]
    assert counters.balanced
    return {name: getattr(counters, name) for name in ("owed", "delivered", "pending", "dead", "dropped")}


async def test_a_dead_letter_goes_again_with_its_id_its_bytes_and_its_sequence(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, expires_s=60) as (outbox, _):
        await owe(outbox, clock, event(1), event(2))
        await settle_first(outbox, clock, Ending.DEAD)
        clock.advance(50)
        assert await replay(outbox, clock, ids="evt_1") == 1
        assert counts(outbox) == {"owed": 2, "delivered": 0, "pending": 2, "dead": 0, "dropped": 0}
    async with opened(tmp_path, clock, expires_s=60) as (outbox, loaded):
        assert loaded.numbers.sequences["ops"] == 2, "a replay has no number of its own"
        sent = await outbox.mailboxes["ops"].due(clock.now(), 8)
        assert {(d.event_id, d.sequence, d.body, d.attempts, d.expires_at - clock.now()) for d in sent} == {
            ("evt_1", 1, b"evt_1 is 1", 0, 60.0),
            ("evt_2", 2, b"evt_2 is 2", 0, 10.0),
        }


@pytest.mark.parametrize("restart", [False, True])
async def test_a_replay_keeps_its_headers_and_where_it_goes(tmp_path: Path, restart: bool) -> None:
    def with_headers(told: Event, webhook: str, sequence: int) -> Content:
        return body(told, webhook, sequence)._replace(headers={"x-rule": "cold"}, suffix="/fail")

    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        draft = outbox.draft(clock.moment(), with_headers)
        draft.owe([event(1)])
        await outbox.commit(draft.batch())
        await settle_first(outbox, clock, Ending.DEAD)
        assert await replay(outbox, clock, ids="evt_1") == 1
        if not restart:
            (sent,) = await outbox.mailboxes["ops"].due(clock.now(), 8)
    if restart:
        async with opened(tmp_path, clock) as (outbox, _):
            (sent,) = await outbox.mailboxes["ops"].due(clock.now(), 8)
    assert (sent.body, dict(sent.headers), sent.suffix) == (b"evt_1 is 1", {"x-rule": "cold"}, "/fail")


async def test_what_was_delivered_and_goes_again_is_owed_once_more(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1))
        await deliver(outbox, clock, "ops", 1)
        assert await replay(outbox, clock, ids="evt_1") == 1, "though its mark was not committed"
        assert counts(outbox) == {"owed": 2, "delivered": 1, "pending": 1, "dead": 0, "dropped": 0}
        assert await replay(outbox, clock, ids="evt_1") == 0, "it is pending"
        await deliver(outbox, clock, "ops", 1)
        await owe(outbox, clock)
        assert counts(outbox) == {"owed": 2, "delivered": 2, "pending": 0, "dead": 0, "dropped": 0}
        await owe(outbox, clock, event(2))
        (delivery,) = await deliver(outbox, clock, "ops", 1)
        assert delivery.sequence == 2


@pytest.mark.parametrize("restart", [True, False])
async def test_a_replay_neither_waits_for_its_subject_nor_holds_it_up(tmp_path: Path, restart: bool) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, *(event(n) for n in range(4)))
        await settle_first(outbox, clock, Ending.DEAD)
        await settle_first(outbox, clock, Ending.DEAD)
        await replay(outbox, clock, states="dead")
        if not restart:
            assert [d.event_id for d in await outbox.mailboxes["ops"].due(clock.now(), 8)] == ["evt_2", "evt_0"]
    async with opened(tmp_path, clock) as (outbox, _):
        lent = await outbox.mailboxes["ops"].due(clock.now(), 8)
        assert [d.event_id for d in lent] == ["evt_2", "evt_0"]
        outbox.mailboxes["ops"].settle(done(lent[1]))
        assert [d.event_id for d in await outbox.mailboxes["ops"].due(clock.now(), 8)] == ["evt_1"], "in their order"


async def test_a_replay_takes_its_log_along_and_leaves_the_other_deliveries_of_its_event(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, ["ops", "phone"]) as (outbox, _):
        await owe(outbox, clock, event(1, to=["ops", "phone"]))
        await settle_first(outbox, clock, Ending.DEAD)
        await settle_first(outbox, clock, Ending.DELIVERED, "phone")
        await replay(outbox, clock, states="dead")
        whole = {letter.webhook: letter for letter in outbox.archive.whole("evt_1")}
        assert (whole["ops"].state, whole["phone"].state) == ("pending", "delivered")
        assert [(one.status, one.error, one.answer) for one in whole["ops"].log] == [(400, "HTTP 400", b"no")]
        assert whole["ops"].content == Content(b"evt_1 is 1")
        clock.advance(8 * 86400)
        batch = outbox.draft(clock.moment(), body).batch()
        batch.purge = True
        await outbox.commit(batch)
        assert [letter.webhook for letter in outbox.archive.whole("evt_1")] == ["ops"]


async def test_nothing_goes_again_to_a_webhook_that_is_no_more_but_it_can_be_given_up(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, ["ops", "old"]) as (outbox, _):
        await owe(outbox, clock, event(1, to=["ops", "old"]), event(2, to=["old"]))
        await settle_first(outbox, clock, Ending.DEAD, "old")
    async with opened(tmp_path, clock, ["ops"]) as (outbox, _):
        assert await replay(outbox, clock, states="dead") == 0
        assert await discard(outbox, clock, webhook="old") == 2
        assert counts(outbox, "old") == {"owed": 2, "delivered": 0, "pending": 0, "dead": 0, "dropped": 2}
        assert outbox.counters["old"].dropped_by["discarded"] == 2
        assert counts(outbox)["pending"] == 1


async def test_what_is_given_up_is_no_more_legible_in_the_file(tmp_path: Path) -> None:
    clock, path = HandClock(), tmp_path / "outbox.db"
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, *(event(n) for n in range(10, 40)))
    assert b"evt_15 is" in path.read_bytes(), "short bodies are kept plain"
    async with opened(tmp_path, clock) as (outbox, _):
        await discard(outbox, clock, ids="evt_15")
        await discard(outbox, clock, ids=",".join(f"evt_{n}" for n in range(20, 40)))
    kept = path.read_bytes()
    assert [n for n in range(10, 40) if b"evt_%d is" % n in kept] == [n for n in range(10, 20) if n != 15]


@pytest.mark.parametrize("restart", [True, False])
async def test_what_is_given_up_is_never_lent_and_the_next_of_its_subject_is_due(tmp_path: Path, restart: bool) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, *(event(n) for n in range(4)))
        await settle_first(outbox, clock, Ending.AGAIN)
        assert await outbox.mailboxes["ops"].due(clock.now(), 8) == []
        if not restart:
            assert await discard(outbox, clock, ids="evt_0,evt_2") == 2
            assert [d.event_id for d in await deliver(outbox, clock, "ops", 2)] == ["evt_1", "evt_3"]
            assert outbox.mailboxes["ops"].next_due() is None
    if restart:
        async with opened(tmp_path, clock) as (outbox, _):
            assert await discard(outbox, clock, ids="evt_2") == 1
            assert await outbox.mailboxes["ops"].due(clock.now(), 8) == [], "the first one's time has not come"
            assert await discard(outbox, clock, ids="evt_0") == 1
            await until(lambda: (outbox.mailboxes["ops"].next_due() or math.inf) <= clock.now())
            assert [d.event_id for d in await deliver(outbox, clock, "ops", 2)] == ["evt_1", "evt_3"]
            await owe(outbox, clock, event(4))
            assert [d.event_id for d in await deliver(outbox, clock, "ops", 1)] == ["evt_4"]


async def test_a_subject_of_which_all_is_given_up_begins_anew(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1), event(2))
        assert await discard(outbox, clock, webhook="ops") == 2
        assert (await outbox.mailboxes["ops"].due(clock.now(), 8), outbox.mailboxes["ops"].next_due()) == ([], None)
        await owe(outbox, clock, event(3))
        assert [d.event_id for d in await deliver(outbox, clock, "ops", 1)] == ["evt_3"]


@pytest.mark.parametrize("ending", Ending)
async def test_what_is_in_flight_when_it_is_given_up_counts_once_and_frees_its_subject(
    tmp_path: Path, ending: Ending
) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1), event(2))
        (lent,) = await outbox.mailboxes["ops"].due(clock.now(), 8)
        assert await discard(outbox, clock, ids="evt_1") == 1
        outbox.mailboxes["ops"].settle(Settlement(lent, ending, due_at=clock.now(), attempts=1))
        await owe(outbox, clock)
        assert counts(outbox) == {"owed": 2, "delivered": 0, "pending": 1, "dead": 0, "dropped": 1}
        assert [d.event_id for d in await outbox.mailboxes["ops"].due(clock.now(), 8)] == ["evt_2"]


async def test_much_is_moved_in_steps_and_what_comes_to_match_meanwhile_is_not_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.outbox.letters.MOVED_ROWS", 2)
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, *(event(n) for n in range(5)))
        await deliver(outbox, clock, "ops", 5)
        await owe(outbox, clock)
        wanted = Filter.parse({"states": "delivered"}).to_replay()
        last, steps = outbox.archive.matching(wanted).last, list[int]()
        after: int | None = 0
        while after is not None:
            moved, after = await moving.replay(outbox, clock.moment(), wanted, Span(after, last))
            steps.append(moved)
            await deliver(outbox, clock, "ops", moved)
        assert steps == [2, 2, 1]
        await owe(outbox, clock)
        assert counts(outbox) == {"owed": 10, "delivered": 10, "pending": 0, "dead": 0, "dropped": 0}


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["evt_3 phone", "evt_2 ops", "evt_1 phone", "evt_1 ops"]),
    ({"webhook": "phone"}, ["evt_3 phone", "evt_1 phone"]),
    ({"rule": "warm"}, ["evt_1 phone", "evt_1 ops"]),
    ({"sensor": "rooms.*.t"}, ["evt_3 phone", "evt_2 ops"]),
    ({"sensor": "rooms.?.t"}, ["evt_3 phone"]),
    ({"sensor": "rooms.[a].t"}, ["evt_2 ops"]),
    ({"sensor": "rooms"}, []),
    ({"type": "sensor.event", "states": "dead"}, ["evt_1 ops"]),
    ({"states": "delivered,dead"}, ["evt_2 ops", "evt_1 ops"]),
    ({"since": 20}, ["evt_3 phone", "evt_2 ops"]),
    ({"since": 20, "until": 30}, ["evt_2 ops"]),
    ({"ids": "evt_1,evt_3"}, ["evt_3 phone", "evt_1 phone", "evt_1 ops"]),
    ({"webhook": "nobody"}, []),
]


@pytest.mark.parametrize(("words", "found"), FILTERS, ids=str)
async def test_a_filter_finds_what_it_says_the_newest_first(
    tmp_path: Path, words: dict[str, Any], found: list[str]
) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, ["ops", "phone"]) as (outbox, _):
        await owe(
            outbox,
            clock,
            event(1, to=["ops", "phone"], at=10, rule="warm"),
            event(2, subject="rooms.[a].t", at=20),
            event(3, to=["phone"], subject="rooms.?.t", at=30),
        )
        await settle_first(outbox, clock, Ending.DEAD)
        await settle_first(outbox, clock, Ending.DELIVERED)
        wanted = Filter.parse(words)
        seen = outbox.archive.find(wanted, ALL, 9, newest=True)
        assert [f"{letter.id} {letter.webhook}" for letter in seen] == found
        assert outbox.archive.matching(wanted).found == len(found)
        assert [one.number for one in outbox.archive.find(wanted, ALL, 9, newest=False)] == sorted(
            one.number for one in seen
        )


async def test_pages_go_on_where_the_last_one_ended(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, *(event(n) for n in range(5)))
        first = outbox.archive.find(Filter(), ALL, 2, newest=False, bodies=True)
        second = outbox.archive.find(Filter(), Span(first[-1].number), 9, newest=False)
        assert [one.id for one in first + second] == [f"evt_{n}" for n in range(5)]
        assert (first[0].content, second[0].content) == (Content(b"evt_0 is 1"), None)


CASES = [
    (["firing"], "on", False),
    (["firing", "resolved"], None, True),
    (["firing"], None, True),
    (["firing", "repeated"], "on", False),
]


@pytest.mark.parametrize(("told", "memory", "over"), CASES)
async def test_a_firing_is_known_to_be_over_by_what_was_told_since_or_by_the_memory(
    tmp_path: Path, told: list[str], memory: str | None, over: bool
) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        for n, word in enumerate(told):
            await owe(outbox, clock, event(n, at=1000.0 + n, rule="cold", type=f"sensor.alert.{word}"))
        batch = outbox.draft(clock.moment(), body).batch()
        batch.memory = {("cold", "a.t"): memory}
        await outbox.commit(batch)
        assert outbox.archive.whole("evt_0")[0].resolved is over
        assert outbox.archive.matching(Filter(ids=("evt_0",))).resolved == over


async def test_what_is_sent_again_is_still_known_to_be_over(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1, at=900, rule="cold", type="freezer.cold"))
        await owe(outbox, clock, event(2, at=950, rule="cold", type="freezer.cold.resolved"))
        await settle_first(outbox, clock, Ending.DEAD)
        assert outbox.archive.whole("evt_1")[0].resolved
        await replay(outbox, clock, states="dead")
        assert outbox.archive.whole("evt_1")[0].resolved
        assert not outbox.archive.whole("evt_2")[0].resolved


async def test_while_no_agent_runs_all_the_same_is_done_in_the_file(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, *(event(n) for n in range(3)))
        await settle_first(outbox, clock, Ending.DEAD)
        await settle_first(outbox, clock, Ending.DEAD)
    clock.advance(500)
    with opened_idle(tmp_path, clock) as idle:
        assert [one.id for one in idle.find(Filter(), ALL, 9, newest=True)] == ["evt_2", "evt_1", "evt_0"]
        assert idle.whole("evt_0")[0].log[0].status == 400
        (standing, counters) = idle.standings()["ops"]
        assert (standing.last_error, counters.dead) == ("HTTP 400", 2)
        assert idle.replay(Filter(ids=("evt_0",)).to_replay(), ALL, {"ops": 60.0}).moved == 1
        assert idle.replay(Filter(ids=("evt_1",)).to_replay(), ALL, {}).moved == 0
        assert idle.replay(Filter(ids=("evt_1",)).to_replay(), ALL, {"ops": 60.0}).moved == 1
        assert idle.discard(Filter(ids=("evt_1", "evt_2")).to_discard(), ALL).moved == 2
        assert idle.moment.at == pytest.approx(1500)
    clock.advance(10)
    async with opened(tmp_path, clock) as (outbox, loaded):
        assert loaded.downtime_s == pytest.approx(510), "the agent did not live meanwhile"
        assert counts(outbox) == {"owed": 3, "delivered": 0, "pending": 1, "dead": 0, "dropped": 2}
        await owe(outbox, clock, event(4, at=1600.0))
        (delivery,) = await deliver(outbox, clock, "ops", 1)
        assert delivery.event_id == "evt_0"
        assert delivery.expires_at == pytest.approx(1560)


def test_an_outbox_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), opened_idle(tmp_path, HandClock()):
        pass
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "outbox.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(OSError, match="not a database") as failed, opened_idle(tmp_path, HandClock()):
        pass
    assert failed.value.filename == str(tmp_path / "outbox.db")


async def test_a_look_does_not_wait_for_a_commit(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1))
        await outbox.worker.call(outbox.store.file.db.execute, "BEGIN IMMEDIATE")
        assert len(Archive(tmp_path / "outbox.db").find(Filter(), ALL, 9, newest=True)) == 1
        await outbox.worker.call(outbox.store.file.db.execute, "ROLLBACK")
