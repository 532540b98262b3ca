"""Blocking calls in daemon threads."""

import asyncio
import threading

import pytest

from drivers.threads import in_daemon_thread
from tests.support.waiting import until


async def test_what_a_blocking_call_returns_or_raises_comes_back() -> None:
    disposed: list[int] = []
    assert await in_daemon_thread(lambda: 5, disposed.append) == 5
    with pytest.raises(ZeroDivisionError):
        await in_daemon_thread(lambda: 1 // 0, disposed.append)
    assert disposed == []


async def test_what_comes_after_the_waiting_was_cancelled_is_disposed_of() -> None:
    disposed: list[int] = []
    may_go_on = threading.Event()
    waiting = asyncio.create_task(in_daemon_thread(lambda: may_go_on.wait(60) and 5, disposed.append))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    may_go_on.set()
    await until(lambda: disposed == [5])


async def test_what_comes_in_the_very_moment_of_the_cancelling_is_disposed_of_too() -> None:
    disposed: list[int] = []
    before = threading.active_count()
    waiting = asyncio.create_task(in_daemon_thread(lambda: 5, disposed.append))
    await asyncio.sleep(0)
    while threading.active_count() > before:  # the loop stands still: the result waits in it
        pass
    asyncio.get_running_loop().call_soon(waiting.cancel)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await until(lambda: disposed == [5])


async def test_an_error_after_the_cancelling_is_nobodys_concern() -> None:
    may_go_on = threading.Event()

    def fail() -> int:
        may_go_on.wait(60)
        raise OSError

    waiting = asyncio.create_task(in_daemon_thread(fail, print))
    await asyncio.sleep(0)
    threads = threading.active_count()
    waiting.cancel()
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await until(lambda: threading.active_count() < threads)


def test_what_comes_after_the_end_of_the_loop_is_disposed_of() -> None:
    disposed: list[int] = []
    may_go_on, done = threading.Event(), threading.Event()

    def dispose(value: int) -> None:
        disposed.append(value)
        done.set()

    async def leave() -> None:
        task = asyncio.ensure_future(in_daemon_thread(lambda: may_go_on.wait(60) and 5, dispose))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    may_go_on.set()
    assert done.wait(10)
    assert disposed == [5]


async def test_the_thread_is_a_daemon_so_that_it_never_holds_up_the_end() -> None:
    assert await in_daemon_thread(lambda: threading.current_thread().daemon, print)
