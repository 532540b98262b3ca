"""Tasks that may not end by themselves."""

import asyncio
import logging

import pytest

from agent.tasks import Tasks
from tests.support.waiting import until


async def forever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise RuntimeError("broken")


async def test_a_task_that_ends_by_itself_has_failed_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    failed: list[bool] = []
    tasks = Tasks(lambda: failed.append(True))
    tasks.begin("whole", asyncio.sleep(0))
    tasks.begin("broken", fail())
    await until(lambda: len(failed) == 2)
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL] * 2
    assert "whole ended by itself" in caplog.text
    assert "RuntimeError: broken" in caplog.text
    await tasks.end("broken")


async def test_a_task_that_is_ended_has_not_failed() -> None:
    failed: list[bool] = []
    tasks, goodbye = Tasks(lambda: failed.append(True)), asyncio.Event()

    async def polite() -> None:
        await goodbye.wait()

    async def say_goodbye() -> None:
        goodbye.set()

    tasks.begin("polite", polite())
    tasks.begin("deaf", forever())
    await tasks.end("polite", say_goodbye(), patience_s=5)
    await tasks.end("deaf")
    assert not failed
    assert not asyncio.all_tasks() - {asyncio.current_task()}


async def test_a_goodbye_that_fails_does_not_keep_the_task_from_ending(caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks(lambda: None)
    tasks.begin("deaf", forever())
    await tasks.end("deaf", fail())
    assert "deaf does not end as it should" in caplog.text
    assert not asyncio.all_tasks() - {asyncio.current_task()}


async def test_a_name_may_be_used_again_while_nobody_ends_the_other() -> None:
    failed: list[bool] = []
    tasks = Tasks(lambda: failed.append(True))
    tasks.begin("feed", forever())
    await tasks.end("feed")
    tasks.begin("feed", forever())
    assert not failed
    await tasks.end("feed")
