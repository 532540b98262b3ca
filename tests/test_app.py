"""How the agent ends: a part that ends by itself ends it with 1, and everything is closed in order."""

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agent import parts
from agent.app import Agent
from agent.clock import DeviceClock
from agent.config import Config, load
from agent.outbox import Loaded
from agent.outbox.disk import Disk
from agent.webhooks.courier import Courier
from tests.faults.oracle import SECRET
from tests.outbox.parts import batch_of, opened
from tests.support.agent import free_port
from tests.support.hands import HandClock
from tests.support.port import Port
from tests.support.small_disk import Filler, small_disk
from tests.support.waiting import until

CONFIG = """
version: 1
agent: {{events_to: []}}
sources:
  meter: {{driver: serial, port: {port}, sensors: {{t: {{path: t}}}}}}
rules:
  warm: {{sensor: meter.t, when: {{above: 5}}}}
webhooks:
  ops: {{url: "http://127.0.0.1:1/hook", secrets: [{secret}]}}
status: {{listen: "127.0.0.1:{status}"}}
"""


def config(folder: Path, status: int) -> Config:
    path = folder / "bellcrank.yaml"
    path.touch(0o600)
    path.write_text(CONFIG.format(port=folder / "port", secret=SECRET, status=status), encoding="utf-8")
    return load(path)


async def ends(*_: Any) -> None:
    """Ends by itself, which no part of the agent may."""


async def fails(*_: Any) -> None:
    raise RuntimeError("a defect")


async def answers(port: int) -> bool:
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/healthz") as answer,
        ):
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def agent(folder: Path, status: int) -> Agent:
    return Agent(folder / "bellcrank.yaml", config(folder, status), folder / "state")


@pytest.mark.parametrize("broken", [ends, fails])
@pytest.mark.parametrize(
    ("part", "said"),
    [((parts, "keep_open"), "serial:meter"), ((Courier, "run"), "courier ops")],
    ids=["feed", "courier"],
)
async def test_a_part_that_ends_by_itself_ends_the_agent_with_1(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    part: tuple[Any, str],
    said: str,
    broken: Any,
) -> None:
    monkeypatch.setattr(*part, broken)
    status = free_port()
    with Port(tmp_path / "port"):
        assert await asyncio.wait_for(agent(tmp_path, status).run(), 30) == 1
    [record] = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert record.getMessage() == f"{said} ended by itself"
    assert bool(record.exc_info and record.exc_info[0]) is (broken is fails)
    assert not await answers(status), "the status page is still there"
    monkeypatch.undo()
    await runs_until_a_signal(tmp_path, status)  # the outbox was closed: another agent can have it


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_0(tmp_path: Path, number: signal.Signals) -> None:
    await runs_until_a_signal(tmp_path, free_port(), number)


async def runs_until_a_signal(folder: Path, status: int, number: signal.Signals = signal.SIGTERM) -> None:
    task = asyncio.create_task(agent(folder, status).run())
    while not await answers(status):
        assert not task.done(), task
    os.kill(os.getpid(), number)
    assert await asyncio.wait_for(task, 30) == 0
    assert not await answers(status)


async def test_a_signal_ends_a_start_that_waits_for_room_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Disk, "give_up_ballast", lambda _: None)
    with small_disk(tmp_path, "tmpfs") as disk:
        at = Agent(tmp_path / "bellcrank.yaml", config(tmp_path, free_port()), disk)
        filler, open_outbox = Filler(disk), at._outbox.open

        async def fill_once_opened(clock: DeviceClock) -> Loaded:
            loaded = await open_outbox(clock)
            filler.fill()
            return loaded

        monkeypatch.setattr(at._outbox, "open", fill_once_opened)
        async with opened(disk, HandClock()) as (outbox, _):
            batch = batch_of(outbox, HandClock().moment())
            batch.memory = {(f"gone{n}", "meter.t"): "of a rule that is no more" for n in range(50)}
            await outbox.commit(batch)
        task = asyncio.create_task(at.run())
        await until(lambda: at._outbox.degraded is not None, 30)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(task, 30) == 0
        assert "full" in (at._outbox.degraded or ""), "it was so to the end"


async def test_a_port_in_use_ends_the_start_and_lets_go_of_the_outbox(tmp_path: Path) -> None:
    taken = free_port()
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", taken)
    with pytest.raises(OSError, match=f"status.listen 127.0.0.1:{taken}"):
        await agent(tmp_path, taken).run()
    server.close()
    await runs_until_a_signal(tmp_path, free_port())
