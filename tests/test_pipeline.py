"""The pipeline with the real engine and the real outbox: what is acknowledged when, and what is written."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from agent.clock import DeviceClock, SystemClock
from agent.model import Ending, Event, Settlement
from agent.outbox import Outbox
from agent.pipeline import Pipeline
from agent.rules import Engine, Memory, Rule
from drivers.base import Message, NewSession, Origin, Reading, Receipt, Refusal
from tests.support.waiting import until

FEED = "broker:house"


def envelope(event: Event, sequence: int) -> bytes:
    return f"{event.rule} {event.state or 'pulse'} {event.value} {sequence}".encode(errors="replace")


def rules(**given: dict[str, Any]) -> dict[str, Rule]:
    return {name: Rule.model_validate(rule) for name, rule in given.items()}


LEVEL = {"sensor": "a.t", "when": {"above": 5}}
PULSE = {"sensor": "a.b", "each": {"reading": True}}


class House:
    """A pipeline with what it needs, on one state folder."""

    def __init__(self, outbox: Outbox, engine: Engine, pipeline: Pipeline, path: Path, clock: DeviceClock) -> None:
        self.outbox, self.engine, self.pipeline, self.clock = outbox, engine, pipeline, clock
        self._path = path

    async def take(self, *messages: Message | NewSession) -> None:
        await self.pipeline.take(FEED, messages)

    def message(self, sensor: str, value: Any, receipt: Receipt | None = None, *, retained: bool = False) -> Message:
        origin = Origin("a", {}, {}, None, retained)
        return Message(self.clock.now(), ("a",), (Reading(sensor, value, None, origin),), (), receipt)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What is on disk."""
        db = sqlite3.connect(self._path)
        try:
            return db.execute(query).fetchall()
        finally:
            db.close()

    def commits(self) -> int:
        return int(self.rows("SELECT commit_number FROM meta")[0][0])

    def bodies(self) -> list[str]:
        return [row[0].decode() for row in self.rows("SELECT body FROM deliveries ORDER BY id")]


@asynccontextmanager
async def house(state: Path, given: dict[str, Rule], webhooks: Sequence[str] = ("ops",)) -> AsyncIterator[House]:
    clock, ids = SystemClock(), count(1)
    outbox = Outbox(state, dict.fromkeys(webhooks, 3600.0))
    loaded = await outbox.open(clock)
    meanings = {name: rule.meaning("") for name, rule in given.items()}
    engine = Engine(given, webhooks, {}, lambda prefix: f"{prefix}{clock.now()}-{next(ids)}", meanings)
    step = engine.load(loaded.memory, loaded.downtime_s, clock.moment())
    pipeline = Pipeline(engine, outbox, loaded.ledgers, clock, envelope)
    await pipeline.begin(step)
    running = asyncio.create_task(pipeline.run())
    try:
        yield House(outbox, engine, pipeline, state / "outbox.db", clock)
    finally:
        pipeline.stop()
        await running
        await outbox.close()


def receipt(packet_id: int, content: int = 0, *, dup: bool = False) -> Receipt:
    return Receipt(packet_id, dup, content.to_bytes(6, "big"))


async def test_what_a_message_caused_is_on_disk_when_it_may_be_acknowledged(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high=LEVEL)) as at:
        await at.take(at.message("a.t", 9, receipt(1)))
        assert at.bodies() == ["high firing 9 1"]
        assert at.rows("SELECT rule, sensor FROM memory") == [("high", "a.t")]
        assert at.rows("SELECT feed, length(entries) FROM ledger") == [(FEED, 8)]


async def test_a_reading_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high=LEVEL)) as at:
        await at.take(at.message("a.t", 1, receipt(1)))
        before = at.commits()
        for packet_id in range(2, 500):
            await at.take(at.message("a.t", 1, receipt(packet_id)))
        assert at.commits() == before


async def test_the_first_batch_after_a_start_is_committed_for_its_ledger(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high=LEVEL)) as at:
        before = at.commits()
        await at.take(at.message("a.t", 1, receipt(1)))
        assert at.commits() == before + 1


async def test_a_message_that_comes_again_is_not_evaluated(tmp_path: Path) -> None:
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        await at.take(at.message("a.b", "on", receipt(1)), at.message("a.b", "on", receipt(1, dup=True)))
        await at.take(at.message("a.b", "on", receipt(1, dup=True)))
        assert len(at.bodies()) == 1
        assert at.pipeline.sources["a"].repeats == 2
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        await at.take(at.message("a.b", "on", receipt(1, dup=True)))
        assert len(at.bodies()) == 1, "over a restart too"
        assert "a.b" not in at.engine.latest, "and it is no sign of life"
        await at.take(at.message("a.b", "on", receipt(1)))
        assert len(at.bodies()) == 2, "the same content under the same packet id, but not sent again: a new press"


async def test_after_a_new_session_the_ledger_is_empty_on_disk_and_in_memory(tmp_path: Path) -> None:
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        await at.take(at.message("a.b", "on", receipt(1)))
        await at.take(NewSession(at.clock.now()))
        assert at.rows("SELECT * FROM ledger") == []
        await at.take(at.message("a.b", "on", receipt(1, dup=True)))
        assert len(at.bodies()) == 2


async def test_what_was_read_before_a_new_session_is_finished_first(tmp_path: Path) -> None:
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        await at.take(
            at.message("a.b", 1, receipt(1)), NewSession(at.clock.now()), at.message("a.b", 2, receipt(1, dup=True))
        )
        assert at.bodies() == ["pressed pulse 1 1", "pressed pulse 2 2"]


async def test_a_message_that_fails_in_the_rules_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high=LEVEL)) as at:
        good = at.message("a.t", 7, receipt(1))
        broken = good._replace(readings=(*good.readings, None))  # type: ignore[arg-type]
        await at.take(broken, at.message("a.t", 8, receipt(2)))
        assert at.bodies() == ["high firing 8 1"], "what the first one began was undone"
        assert at.pipeline.sources["a"].refused_by == {"failed": 1}


async def test_a_message_that_cannot_be_stored_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    wild = {"pressed": Rule.model_construct(sensor="a.*", each=rules(p=PULSE)["p"].each, when=None)}
    async with house(tmp_path, wild) as at:
        unstorable = at.message("a.\ud800", 2, receipt(2))
        await at.take(at.message("a.b", 1, receipt(1)), unstorable, at.message("a.b", 3, receipt(3)))
        assert at.bodies() == ["pressed pulse 1 1", "pressed pulse 3 2"]
        assert at.pipeline.sources["a"].refused_by == {"not_storable": 1}
        await at.take(at.message("a.\ud800", 2, receipt(2, dup=True)))
        assert at.pipeline.sources["a"].repeats == 1, "it is in the ledger, for it was acknowledged"


async def test_refusals_are_counted_with_their_reason(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high=LEVEL)) as at:
        refusal = Refusal("a", "a.t", "not_finite", "nan")
        await at.take(Message(at.clock.now(), ("a",), (), (refusal,), receipt(1)))
        assert at.pipeline.sources["a"].refused_by == {"not_finite": 1}
        assert at.pipeline.sensors["a.t"].last == refusal


async def test_the_first_refusal_of_a_kind_is_logged_and_the_last_one_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with house(tmp_path, rules(high=LEVEL)) as at:
        for n, reason in enumerate(["not_json", "not_json", "too_large"]):
            refusal = Refusal("a", None, reason, f"<{n}>")
            await at.take(Message(at.clock.now(), ("a",), (), (refusal,), receipt(n)))
        assert at.pipeline.sources["a"].last == Refusal("a", None, "too_large", "<2>")
    assert caplog.messages == [
        "a: refused (not_json; others like it are only counted): <0>",
        "a: refused (too_large; others like it are only counted): <2>",
    ]


async def test_a_hold_ends_by_itself_without_a_new_reading(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high={**LEVEL, "for": "100ms"})) as at:
        await at.take(at.message("a.t", 9))
        assert at.bodies() == []
        await until(at.bodies, what="the timer fires")
        assert at.bodies() == ["high firing 9 1"]


async def test_a_timer_that_is_due_goes_before_a_later_reading_of_the_same_round(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high={**LEVEL, "for": "10s"})) as at:
        now = at.clock.now()
        first = at.message("a.t", 9)._replace(at=now - 20)
        last = at.message("a.t", 1)._replace(at=now - 5)
        await at.take(first, last)
        assert at.bodies() == ["high firing 9 1", "high resolved 1 2"]


async def test_batches_of_several_feeds_are_merged_by_time(tmp_path: Path) -> None:
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        now = at.clock.now()
        one = [at.message("a.b", n)._replace(at=now - 10 + n) for n in (1, 3)]
        other = [at.message("a.b", n)._replace(at=now - 10 + n) for n in (2, 4)]
        await asyncio.gather(at.pipeline.take("one", one), at.pipeline.take("other", other))
        assert [body.split()[2] for body in at.bodies()] == ["1", "2", "3", "4"]


async def test_a_mark_is_committed_within_about_a_second_with_no_other_input(tmp_path: Path) -> None:
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        await at.take(at.message("a.b", 1))
        (delivery,) = await at.outbox.mailboxes["ops"].due(at.clock.now(), 1)
        at.outbox.mailboxes["ops"].settle(Settlement(delivery, Ending.DELIVERED))
        await until(lambda: at.rows("SELECT delivered FROM webhooks") == [(1,)])


async def test_soft_memory_is_written_at_the_end(tmp_path: Path) -> None:
    throttled = rules(pressed={**PULSE, "throttle": "1h"})
    async with house(tmp_path, throttled) as at:
        for n in range(4):
            await at.take(at.message("a.b", n))
        assert len(at.bodies()) == 1
        assert Memory.load(at.rows("SELECT value FROM memory")[0][0]).throttled == 0, "not yet written"
    async with house(tmp_path, throttled) as at:
        assert at.engine.memory["pressed", "a.b"].throttled == 3
        await at.take(at.message("a.b", 5))
        assert len(at.bodies()) == 1, "throttle is remembered over the restart"


async def test_an_alert_whose_rule_is_gone_is_resolved_at_the_start(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high=LEVEL), ["ops", "old"]) as at:
        await at.take(at.message("a.t", 9))
    async with house(tmp_path, rules(), ["ops"]) as at:
        assert at.bodies()[-1] == "high resolved 9 2"
        assert at.rows("SELECT * FROM memory") == []
        assert at.outbox.counters["old"].dropped_by["webhook_removed"] == 1
        assert all(counters.balanced for counters in at.outbox.counters.values())


@pytest.mark.parametrize("messages", [1, 700])
async def test_what_arrives_together_is_one_commit(tmp_path: Path, messages: int) -> None:
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        before = at.commits()
        await at.take(*(at.message("a.b", n, receipt(n + 1)) for n in range(messages)))
        assert at.commits() == before + 1
        assert len(at.bodies()) == messages
