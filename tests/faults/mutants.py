"""Agents with one promise broken, which the faults must catch: `python -m tests.faults.mutants NAME run ...`."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from agent.cli import main
from agent.outbox import Ledger
from agent.pipeline import Pipeline
from drivers.base import Batch, Receipt

Patch = tuple[object, str, Any]
"""What is replaced: of which class or module, its name, and by what."""

_true_take = Pipeline.take
_running: set[asyncio.Task[None]] = set()


async def acknowledge_early(pipeline: Pipeline, feed: str, batch: Batch) -> None:
    """The driver may go on before anything is on disk."""
    task = asyncio.create_task(_true_take(pipeline, feed, batch))
    _running.add(task)
    task.add_done_callback(_running.discard)


def know_nothing(_ledger: Ledger, receipt: Receipt) -> bool:
    """Nothing was ever seen before."""
    return not receipt


MUTANTS: dict[str, Callable[[], list[Patch]]] = {
    "acknowledge-early": lambda: [(Pipeline, "take", acknowledge_early)],
    "no-ledger": lambda: [(Ledger, "knows", know_nothing)],
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
