"""Agents with one promise broken, which the storm must catch: `python -m tests.faults.mutants NAME run ...`."""

import asyncio
import sys

from agent.cli import main
from agent.outbox import Ledger
from agent.pipeline import Pipeline
from drivers.base import Batch, Receipt

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


def mutate(name: str) -> None:
    if name == "acknowledge-early":
        Pipeline.take = acknowledge_early  # type: ignore[method-assign, assignment]
    elif name == "no-ledger":
        Ledger.knows = know_nothing  # type: ignore[method-assign, assignment]
    else:
        raise SystemExit(f"no mutant {name}")


if __name__ == "__main__":
    mutate(sys.argv.pop(1))
    main(prog_name="bellcrank")
