"""Puts the parts together and runs them.

Opens the outbox, builds rules, feeds and couriers, brings them to what a changed configuration says, and ends them in
order.

The order of the end is the promise backwards: feeds close first (what they read and was not handled, the
broker keeps), then the couriers finish what is in flight, then the pipeline commits the last marks, then
the file is closed.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from agent import network, notices
from agent.clock import SystemClock, monotonic_us
from agent.config import Config, ConfigErrors, load
from agent.control_socket import to_listen
from agent.observe import Observer
from agent.outbox import Filter, Loaded, Moved, Outbox, Span
from agent.parts import NOTHING, Parts
from agent.pipeline import Pipeline
from agent.reload import applied
from agent.rules import Book, Engine
from agent.status.commands import ReloadRefused, Tried, WebhookDisabled
from agent.status.listener import Listener
from agent.systemd import Systemd
from agent.tasks import Tasks
from agent.version import __version__
from agent.webhooks import trial
from agent.webhooks.courier import Courier
from agent.webhooks.retry import why_failed
from agent.webhooks.writer import Writer
from drivers.base import Surroundings

if TYPE_CHECKING:
    from agent.status.front import Front

log = logging.getLogger(__name__)

_PIPELINE_GRACE_S = 3.0
_M_ARENA_MAX = -8
"""Of malloc.h."""
_ID_BYTES, _IDS_AT_ONCE = 13, 64
_GARBAGE_AFTER_OBJECTS = 10_000
"""When so many more were made than let go of, the youngest are looked at for cycles."""


def run(file: Path, config: Config, state_dir: Path) -> int:
    """Run the agent until SIGTERM or SIGINT; SIGHUP reads the configuration file again. Returns the exit code.

    Raises `agent.outbox.Locked`, NewerSchema, OSError.
    """
    _share_one_heap()
    loop = _new_loop()
    asyncio.set_event_loop(loop)
    code = loop.run_until_complete(Agent(file, config, state_dir).run())
    # All is committed. Name lookups that hang in threads must not keep the process beyond systemd's patience.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


class Agent:
    """One running agent."""

    def __init__(self, file: Path, config: Config, state_dir: Path) -> None:
        self._file = file
        self._config = config
        """What runs; the file may say something else until a reload."""
        self._state_dir = state_dir
        self._clock = SystemClock()
        self._systemd = Systemd(os.environ, monotonic_us)
        self._outbox = Outbox(state_dir, config.expires_s(), config.unordered(), config.outbox.limits())
        self._stop = asyncio.Event()
        self._hung_up = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._failed = False
        self._agent_id = ""
        self._tasks = Tasks(self._fail)
        self._pipeline: Pipeline
        self._parts: Parts
        self._observer: Observer
        self._front: Front | None = None

    async def run(self) -> int:
        """Start, wait for a signal or a part that ends by itself, stop. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up.set)
        async with contextlib.AsyncExitStack() as stack:
            if await self._has_started(stack):
                log.info("bellcrank %s runs as %s", __version__, self._config.agent.name)
                self._systemd.ready(self._config.summary())
                _spare_the_collector()
                await self._stop.wait()
            log.info("stopping")
            self._systemd.stopping()
        return 1 if self._failed else 0

    # -- commands

    async def reload(self) -> tuple[str, ...]:
        """Apply the configuration file. Returns the keys that wait for a restart.

        Raises ReloadRefused where it is bad; then nothing has changed.
        """
        async with self._reloading:
            self._systemd.reloading()
            try:
                wanted = await asyncio.to_thread(load, self._file)
                change = applied(self._config, wanted)
                await self._bring_to(change.config)
            except Exception as error:
                raise self._refused(error) from error
            finally:
                self._systemd.ready(self._config.summary())
            self._observer.reload_error, self._observer.needs_restart = None, change.needs_restart
            log.info("reloaded: %s", self._config.summary())
            for key in change.needs_restart:
                log.warning("%s has changed and waits for a restart; all else applies", key)
            return change.needs_restart

    async def forget(self, sensor: str) -> bool:
        """Forget all of a sensor. Returns whether anything was known of it."""
        return await self._pipeline.forget(sensor)

    async def enable(self, webhook: str) -> bool:
        """Let a webhook be tried again. Returns whether there is one of this name."""
        return await self._switch(webhook, Courier.enable)

    async def disable(self, webhook: str) -> bool:
        """Send nothing to a webhook. Returns whether there is one of this name."""
        return await self._switch(webhook, Courier.disable)

    async def retry(self, webhook: str) -> bool:
        """End a rest, and try now all that waits. Raises WebhookDisabled."""
        courier = self._parts.couriers.get(webhook)
        if courier is not None and courier.disabled:
            raise WebhookDisabled
        return await self._switch(webhook, Courier.retry)

    async def test(self, webhook: str) -> Tried | None:
        """Send a test event now, outside the queue."""
        known = self._config.webhooks.get(webhook)
        if known is None:
            return None
        outcome = await trial.send(webhook, known, self._writer(self._config), self._clock, _new_id("evt_"))
        return Tried(outcome.status, why_failed(outcome), outcome.duration_s)

    async def replay(self, wanted: Filter, span: Span) -> Moved:
        """Send again what was delivered or is dead, a step of the span."""
        return await self._pipeline.replay(wanted, span)

    async def discard(self, wanted: Filter, span: Span) -> Moved:
        """Give up what is pending or dead, a step of the span."""
        return await self._pipeline.discard(wanted, span)

    async def _switch(self, webhook: str, how: Callable[[Courier], None]) -> bool:
        if webhook not in self._parts.couriers:
            return False
        how(self._parts.couriers[webhook])
        await self._pipeline.flush()
        return True

    # -- start and reload

    async def _has_started(self, stack: contextlib.AsyncExitStack) -> bool:
        """Start, but not beyond a signal: on a full disk the first commit takes as long as that is full."""
        starting = asyncio.create_task(self._start(stack))
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        starting.cancel()
        try:
            await starting
        except asyncio.CancelledError:
            return False
        return True

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        stack.push_async_callback(self._outbox.close)
        loaded = await self._outbox.open(self._clock)
        await self._prepare(loaded)
        listener = await self._take_address(stack)
        stack.push_async_callback(self._close_page)
        self._tasks.begin("pipeline", self._pipeline.run())
        stack.push_async_callback(self._end)
        self._parts.begin(self._parts.plan(self._config))
        await self._open_front(stack, listener)
        self._tasks.begin("reload", self._reload_when_hung_up())
        self._tasks.begin("network", network.watch(self._parts.hurry))
        if self._systemd.watchdog_s is not None:
            self._tasks.begin("watchdog", self._systemd.feed_watchdog(self._observer.alive))

    async def _prepare(self, loaded: Loaded) -> None:
        """Make what lasts as long as the process, and commit what a changed configuration has to tell."""
        config, clock, outbox = self._config, self._clock, self._outbox
        self._agent_id = loaded.agent_id
        engine = _engine(config)
        step = engine.load(loaded.memory, loaded.downtime_s, clock.moment())
        self._pipeline = Pipeline(engine, outbox, loaded.ledgers, clock, self._writer(config), loaded.subscriptions)
        around = Surroundings(
            config.agent.name,
            loaded.agent_id,
            clock,
            Random(),  # noqa: S311  # for jitter alone
            config.brokers,
            self._pipeline.subscriptions,
        )
        self._parts = Parts(clock, around, outbox, self._pipeline, loaded.rests, self._tasks)
        self._pipeline.behind_since = self._parts.behind_since
        self._observer = Observer(config, loaded.agent_id, clock, self._pipeline, outbox, self._parts)
        self._parts.lives = lambda: self._observer.alive() and self._observer.ready()
        await self._pipeline.begin(step)
        self._pipeline.tell(notices.started(__version__, loaded.downtime_s, ended_well=loaded.ended_well))

    async def _take_address(self, stack: contextlib.AsyncExitStack) -> Listener | None:
        """Before anything is read: an agent whose page has no place has not begun. None: there is no page."""
        if not self._config.status.listen:
            return None
        listener = Listener(self._config.status)
        await listener.take()
        stack.callback(listener.close)
        return listener

    async def _open_front(self, stack: contextlib.AsyncExitStack, listener: Listener | None) -> None:
        """Open what people ask by. It is imported beside the feeds, which connect and read meanwhile."""
        made = await asyncio.to_thread(_front)
        self._front = front = made(self._observer, self, self._outbox.archive, lambda: self._config, self._clock)
        if listener is not None:
            await front.open_page(listener)
        stack.push_async_callback(front.close_control)
        place = to_listen(self._state_dir)
        await front.open_control(place.path, for_group=place.for_group)

    async def _close_page(self) -> None:
        if self._front is not None:
            await self._front.close_page()

    async def _bring_to(self, config: Config) -> None:
        """Bring what runs to what a configuration says. Where that fails, all runs as before."""
        await self._parts.end(self._parts.plan(config))
        try:
            envelope, unordered = self._writer(config), config.unordered()
            await self._pipeline.follow(_engine(config), config.expires_s(), envelope, unordered)
            self._outbox.bound(config.outbox.limits())
            self._config = config
            self._observer.adopt(config)
            if self._front is not None:
                self._front.adopt(config)
        finally:
            self._parts.begin(self._parts.plan(self._config))

    async def _reload_when_hung_up(self) -> None:
        while True:
            await self._hung_up.wait()
            self._hung_up.clear()
            with contextlib.suppress(ReloadRefused):
                await self.reload()

    def _writer(self, config: Config) -> Writer:
        return Writer(config.agent.name, self._agent_id, config.webhooks)

    def _refused(self, error: Exception) -> ReloadRefused:
        """Tell everybody why a reload changed nothing."""
        expected = isinstance(error, ConfigErrors)
        why = str(error) if expected else f"{type(error).__name__}: {error}"
        log.error("the reload changes nothing: %s", why, exc_info=None if expected else error)
        self._observer.reload_error = why
        return ReloadRefused(why)

    # -- the end

    def _fail(self) -> None:
        self._failed = True
        self._stop.set()

    async def _end(self) -> None:
        await self._tasks.end("reload")
        await self._tasks.end("network")
        await self._parts.end(NOTHING)
        self._pipeline.stop()
        await self._tasks.end("pipeline", patience_s=_PIPELINE_GRACE_S)
        await self._tasks.end("watchdog")


def _engine(config: Config) -> Engine:
    webhooks, labels = list(config.webhooks), config.agent.labels
    return Engine(Book(config.rules, webhooks, labels, _new_id, config.meanings(), config.site()))


def _front() -> "type[Front]":
    from agent.status.front import Front

    return Front


class Ids:
    """New ids of events and alerts. The kernel is asked for many at once, as each time another thread may go first."""

    def __init__(self) -> None:
        self._left: list[str] = []

    def __call__(self, prefix: str) -> str:
        """A prefix and 104 random bits."""
        if not self._left:
            digits = secrets.token_hex(_ID_BYTES * _IDS_AT_ONCE)
            self._left = [digits[at : at + 2 * _ID_BYTES] for at in range(0, len(digits), 2 * _ID_BYTES)]
        return prefix + self._left.pop()


_new_id = Ids()


def _spare_the_collector() -> None:
    """Let it look at what the start has left behind no more, and less often at what comes.

    What flows through is in no cycles: a tenth of a flood's CPU went into looking for some.
    """
    gc.freeze()
    gc.set_threshold(_GARBAGE_AFTER_OBJECTS)


def _share_one_heap() -> None:
    """Give threads no heaps of their own (mallopt(3)): they take turns in Python anyway."""
    with contextlib.suppress(AttributeError):  # of a C library that has no such thing
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _new_loop() -> asyncio.AbstractEventLoop:
    """Make the loop: uvloop's where the extra `fast` is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return loop()
