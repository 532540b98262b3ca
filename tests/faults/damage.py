"""A damaged outbox under the real agent: it starts, tells, and sends nothing that was not owed.

What waited in the damaged pages may be lost, and is counted where the counters themselves are whole; what was sent and
is remembered no more may come again. All that comes afterwards is told once.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

from agent.outbox.packing import unpack
from tests.faults.fault import Fault, Result
from tests.faults.house import House, house
from tests.faults.oracle import conserved
from tests.faults.stream import CONFIG

PAGE_BYTES = 1024
_VALUE = b'"value":'
_WAITING = 100
_RECENT_S = 10.0
TELLING = CONFIG.replace("events_to: []", "events_to: [oracle]")


def flip_bit(path: Path, at: int, bit: int = 0) -> None:
    """As a card does by itself."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def overwrite_page(path: Path, page: int, content: bytes = bytes(range(7, 135)) * 8) -> None:
    """Let a page, from 1, hold something else."""
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(content)


def overwrite_root(path: Path, name: str) -> None:
    """The first page of a table or an index."""
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as db:
        page = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()[0]
    overwrite_page(path, page)


def cut_off(path: Path, share: float) -> None:
    """Behind so much of it."""
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share) // PAGE_BYTES * PAGE_BYTES)


def places_of_bodies(path: Path, text: bytes) -> list[int]:
    """Where the middle of each body lies that has a text in it, as far as the file itself has them."""
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as db:
        rows = db.execute("SELECT form, body FROM letters").fetchall()
    data = path.read_bytes()
    places = [(data.find(kept), len(kept)) for form, kept in rows if text in (unpack(form, kept) or b"")]
    return [at + length // 2 for at, length in places if at >= 0]


_FLIPS = 40


def flip_value(path: Path, random: Random) -> None:
    """One bit in each of some bodies, which SQLite does not see; of packed ones few can still be read with it."""
    try:
        places = places_of_bodies(path, _VALUE)
    except sqlite3.Error:  # of a file that is not whole without its log
        places = []
    for place in random.sample(places, min(_FLIPS, len(places))) or [random.randrange(path.stat().st_size)]:
        flip_bit(path, place, random.randrange(8))


def _pages(path: Path) -> int:
    return path.stat().st_size // PAGE_BYTES


KINDS: dict[str, Callable[[Path, Random], object]] = {
    "a value": flip_value,
    "a bit": lambda path, random: flip_bit(path, random.randrange(path.stat().st_size), random.randrange(8)),
    "a page": lambda path, random: overwrite_page(path, random.randint(1, _pages(path)), random.randbytes(PAGE_BYTES)),
    "an empty page": lambda path, random: overwrite_page(path, random.randint(1, _pages(path)), bytes(PAGE_BYTES)),
    "the end": lambda path, random: cut_off(path, random.uniform(0.2, 1)),
    "the log": lambda path, random: flip_bit(_log_of(path), random.randrange(32, _log_of(path).stat().st_size)),
}


def _log_of(path: Path) -> Path:
    """The write-ahead log, of a dead agent; the file itself, where there is none worth it."""
    log = path.with_name(f"{path.name}-wal")
    return log if log.exists() and log.stat().st_size > 100 else path


async def damaged(
    folder: Path, *, seconds: float, seed: int, mutant: str | None = None, times: int = len(KINDS)
) -> Result:
    """Each kind of damage in turn, at least so many times, while much waits and after a stop or a kill."""
    loop, unsure = asyncio.get_running_loop(), set[str]()
    async with house(folder, seed, config=TELLING, mutant=mutant) as at:
        end = loop.time() + seconds
        while at.result.strikes < times or loop.time() < end:
            kind = list(KINDS)[at.result.strikes % len(KINDS)]
            unsure |= await _damage(at, kind)
            at.result.strikes += 1
        await at.settle()
        status = at.agent.status()
        at.result.demand(conserved(status), f"owed is not delivered + pending + dead + dropped: {status.get('outbox')}")
        lost = unsure - at.oracle.told()
        told = at.oracle.about_itself["outbox.damaged"]
        at.result.demand(told or not lost, f"{len(lost)} are lost, and nobody was told of a damage")
        at.oracle.judge_told(at.result, at.stream.expected, may_be_lost=unsure, may_be_twice=unsure)
        at.result.figures.update({"lost by damages": len(lost), "damages told of": told})
        at.result.figures["counted as lost"] = status["outbox"]["dropped_by"]["damaged"] + status["outbox"]["dead"]
        return at.result


async def _damage(at: House, kind: str) -> set[str]:
    """Returns what may be lost by it, or may come again."""
    at.oracle.busy = 1.0
    await at.comes(lambda: at.agent.status().get("outbox", {}).get("pending", 0) >= _WAITING, "it")
    at.running.cancel()
    at.stream.close()
    recent = at.oracle.told_since(_RECENT_S)
    if (
        kind != "a value" and at.random.random() < 0.5
    ):  # a dead one leaves its bodies in the log, where SQLite sees more
        at.agent.kill()
    else:
        at.result.demand(at.agent.stop() == 0, "it does not stop with 0")
    KINDS[kind](at.agent.state / "outbox.db", at.random)
    unsure = recent | (at.stream.expected - at.oracle.told())
    at.oracle.busy = 0.0
    at.agent.start()
    await at.ready()
    at.stream.connect(at.broker.port)
    at.run_stream()
    await at.goes_on()
    return unsure


FAULTS = [
    Fault(
        "damage",
        "bits, pages or the end of the outbox change while the agent is stopped or dead, and much waits",
        "damages",
        damaged,
        ("no-checksums",),
    )
]
