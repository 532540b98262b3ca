"""Agents with one promise broken, which the faults must catch: `python -m tests.faults.mutants NAME run ...`."""

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import aiohttp

from agent.cli import main
from agent.outbox import Ledger
from agent.pipeline import Pipeline
from agent.webhooks import transport
from agent.webhooks.retry import Outcome
from agent.webhooks.transport import Transport
from drivers import mqtt, serial
from drivers.base import Batch, Receipt

Patch = tuple[object, str, Any]
"""What is replaced: of which class or module, its name, and by what."""

_true_take, _true_post, _true_acknowledge = Pipeline.take, Transport.post, mqtt.MqttDriver._acknowledge
_true_open = serial.SerialDriver._open
_running: set[asyncio.Task[None]] = set()


async def acknowledge_early(pipeline: Pipeline, feed: str, batch: Batch) -> None:
    """The driver may go on before anything is on disk."""
    task = asyncio.create_task(_true_take(pipeline, feed, batch))
    _running.add(task)
    task.add_done_callback(_running.discard)


def know_nothing(_ledger: Ledger, receipt: Receipt) -> bool:
    """Nothing was ever seen before."""
    return not receipt


async def believe_any_answer(*request: Any) -> Outcome:
    """Whoever answers has taken it."""
    outcome = await _true_post(*request)
    return outcome if outcome.status is None else replace(outcome, status=200, disable=False)


async def believe_the_head(answer: aiohttp.ClientResponse) -> bytes:
    """Whether its body ever comes is not looked at."""
    answer.close()
    return b""


def leave_poison(driver: mqtt.MqttDriver, taken: Iterable[Any]) -> None:
    """What is refused is not acknowledged."""
    arrived = [it for it in taken if isinstance(it, mqtt._Arrived)]
    _true_acknowledge(driver, [it for it in arrived if not driver._message(it).refusals])


async def open_and_glue(driver: serial.SerialDriver) -> None:
    """What came before the port was lost is the beginning of what comes behind."""
    half = bytes(driver._framer._partial)
    await _true_open(driver)
    driver._framer._partial[:] = half


MUTANTS: dict[str, Callable[[], list[Patch]]] = {
    "acknowledge-early": lambda: [(Pipeline, "take", acknowledge_early)],
    "lines-glued": lambda: [(serial.SerialDriver, "_open", open_and_glue)],
    "no-ledger": lambda: [(Ledger, "knows", know_nothing)],
    "any-answer-counts": lambda: [(Transport, "post", believe_any_answer)],
    "first-line-counts": lambda: [(transport, "_read", believe_the_head)],
    "poison-stays": lambda: [(mqtt.MqttDriver, "_acknowledge", leave_poison)],
    "surplus-answer-counts": lambda: [(transport, "Request", aiohttp.ClientRequest)],
}


@contextmanager
def mutated(name: str | None) -> Iterator[None]:
    """Be that mutant meanwhile: for faults that run the agent's parts in this process. None: be the agent."""
    with ExitStack() as stack:
        for what, part, replacement in MUTANTS[name]() if name else ():
            stack.enter_context(patch.object(what, part, replacement))
        yield


def module(mutant: str | None) -> tuple[str, ...]:
    """What runs in place of `python -m agent`, see `AgentProcess`."""
    return ("tests.faults.mutants", mutant) if mutant else ("agent",)


if __name__ == "__main__":
    with mutated(sys.argv.pop(1)):
        main(prog_name="bellcrank")
