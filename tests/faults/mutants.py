"""Agents with one promise broken, which the faults must catch: `python -m tests.faults.mutants NAME run ...`."""

import asyncio
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from agent import supervise
from agent.cli import main
from agent.clock import SystemClock
from agent.model import Ending, Settlement
from agent.outbox import Ledger, checksums, counting
from agent.outbox import file as outbox_file
from agent.outbox.file import File
from agent.outbox.gathering import Gathering
from agent.pipeline import Pipeline
from agent.rules import Engine
from agent.webhooks import retry
from agent.webhooks.answers import Answer, AnswerReader
from agent.webhooks.connections import Connection
from agent.webhooks.retry import Fate, Health, Outcome
from agent.webhooks.transport import Transport
from drivers import mqtt, serial
from drivers.base import Batch, Receipt

Patch = tuple[object, str, Any]
"""What is replaced: of which class or module, its name, and by what."""

_true_take, _true_settle, _true_judge, _true_load = Pipeline.take, Gathering.settle, retry.judge, Engine.load
_true_count, _true_post = counting.count, Transport.post
_true_acknowledge, _true_open = mqtt.MqttDriver._acknowledge, serial.SerialDriver._open
_true_feed, _true_ask, _true_data_received = AnswerReader.feed, Connection.ask, Connection.data_received
_running: set[asyncio.Task[None]] = set()
_one_at_a_time = asyncio.Lock()


async def acknowledge_early(pipeline: Pipeline, feed: str, batch: Batch) -> None:
    """The driver may go on before anything is on disk."""
    task = asyncio.create_task(_true_take(pipeline, feed, batch))
    _running.add(task)
    task.add_done_callback(_running.discard)


def know_nothing(_ledger: Ledger, receipt: Receipt) -> bool:
    """Nothing was ever seen before."""
    return not receipt


def lose_marks(gathering: Gathering, settlement: Settlement) -> None:
    """That something is delivered is never stored, so that a start sends it again."""
    if settlement.ending is not Ending.DELIVERED:
        _true_settle(gathering, settlement)


def count_wrong(file: File, deltas: Mapping[str, Counter[str]]) -> None:
    """What is dropped is counted nowhere."""
    kept = {
        webhook: Counter({column: n for column, n in delta.items() if not column.startswith("dropped")})
        for webhook, delta in deltas.items()
    }
    _true_count(file, kept)


def forget_memory(engine: Engine, _rows: object, *more: Any) -> Any:
    """What rules remember does not outlive a start."""
    return _true_load(engine, {}, *more)


def take_any_answer(outcome: Outcome) -> tuple[Fate, Health]:
    """Whatever a receiver answers is a success."""
    return _true_judge(outcome) if outcome.status is None else (Fate.DELIVERED, Health.ANSWERS)


def give_up(outcome: Outcome) -> tuple[Fate, Health]:
    """What fails once is a dead letter; with REFUSALS_MAX = 1."""
    fate, health = _true_judge(outcome)
    return (fate if fate is Fate.DELIVERED else Fate.NEXT_FEW), health


async def post_one_at_a_time(sender: Transport, *what: Any) -> Outcome:
    """All webhooks together send one request at a time."""
    async with _one_at_a_time:
        return await _true_post(sender, *what)


def believe_the_head(reader: AnswerReader, data: bytes) -> Answer | None:
    """Whether its body ever comes is not looked at."""
    answer = _true_feed(reader, data)
    return reader._answer(reader._head, reader._buffer) if answer is None and reader._head is not None else answer


def keep_surplus(connection: Connection, data: bytes) -> None:
    """What nobody has asked for is the answer to the next request."""
    if connection._answer is None and connection.is_free:
        connection._reader._buffer += data
    else:
        _true_data_received(connection, data)


async def ask_with_surplus(connection: Connection, request: bytes, *, to_connect: bool = False) -> Answer:
    """With what came before."""
    if surplus := bytes(connection._reader._buffer):
        asyncio.get_running_loop().call_soon(connection.data_received, surplus)
    return await _true_ask(connection, request, to_connect=to_connect)


def leave_poison(driver: mqtt.MqttDriver, taken: Iterable[Any]) -> None:
    """What is refused is not acknowledged."""
    arrived = [it for it in taken if isinstance(it, mqtt._Arrived)]
    _true_acknowledge(driver, [it for it in arrived if not driver._message(it).refusals])


async def open_and_glue(driver: serial.SerialDriver) -> None:
    """What came before the port was lost is the beginning of what comes behind."""
    half = bytes(driver._framer._partial)
    await _true_open(driver)
    driver._framer._partial[:] = half


class _Lax(sqlite3.Connection):
    """The log of SQLite is made durable at checkpoints only, so that a power cut takes commits back."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        return super().execute(sql.replace("synchronous = FULL", "synchronous = NORMAL"), *parameters)


MUTANTS: dict[str, list[Patch]] = {
    "acknowledge-early": [(Pipeline, "take", acknowledge_early)],
    "no-ledger": [(Ledger, "knows", know_nothing)],
    "marks-lost": [(Gathering, "settle", lose_marks)],
    "memory-lost": [(Engine, "load", forget_memory)],
    "counts-wrong": [(counting, "count", count_wrong)],
    "any-answer": [(retry, "judge", take_any_answer)],
    "first-line-counts": [(AnswerReader, "feed", believe_the_head)],
    "surplus-answer-counts": [
        (Connection, "data_received", keep_surplus),
        (Connection, "ask", ask_with_surplus),
    ],
    "poison-stays": [(mqtt.MqttDriver, "_acknowledge", leave_poison)],
    "lines-glued": [(serial.SerialDriver, "_open", open_and_glue)],
    "gives-up": [(retry, "judge", give_up), (retry, "REFUSALS_MAX", 1)],
    "webhooks-wait": [(Transport, "post", post_one_at_a_time)],
    "feeds-stay-lost": [(supervise, "pause_s", lambda *_: 1e9)],
    "no-pauses": [(supervise, "pause_s", lambda *_: 0.0)],
    "wall-clock": [(SystemClock, "now", lambda clock: time.time() + clock.offset_s)],
    "no-bounds": [(mqtt, "_INTAKE_BYTES", 2**40), (mqtt, "_INTAKE_MESSAGES", 2**40)],
    "no-checksums": [(checksums, "zlib", SimpleNamespace(crc32=lambda *_: 0))],
    "log-believed": [(outbox_file, "write_again", lambda _log: None)],
    "synchronous-normal": [(sqlite3, "connect", partial(sqlite3.connect, factory=_Lax))],
}


STALLING = frozenset({"feeds-stay-lost", "poison-stays", "webhooks-wait", "wall-clock"})
"""What they break is that things go on: a wait in vain catches them, and tells nothing of any other."""


@contextmanager
def mutated(name: str | None) -> Iterator[None]:
    """Be that mutant meanwhile: for faults that run the agent's parts in this process. None: be the agent."""
    with ExitStack() as stack:
        for what, part, replacement in MUTANTS[name] if name else ():
            stack.enter_context(patch.object(what, part, replacement))
        yield


def module(mutant: str | None) -> tuple[str, ...]:
    """What runs in place of `python -m agent`, see `AgentProcess`."""
    return ("tests.faults.mutants", mutant) if mutant else ("agent",)


if __name__ == "__main__":
    with mutated(sys.argv.pop(1)):
        main(prog_name="bellcrank")
