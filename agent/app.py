"""Puts the parts together and runs them.

Opens the outbox, builds rules, feeds and couriers, and ends them in order.

The order of the end is the promise backwards: feeds close first (what they read and was not handled, the
broker keeps), then the couriers finish what is in flight, then the pipeline commits the last marks, then
the file is closed.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

from agent.clock import SystemClock, monotonic_us
from agent.config import Config
from agent.control_socket import to_listen
from agent.observe import Observer
from agent.outbox import Outbox
from agent.pipeline import Pipeline
from agent.rules import Engine
from agent.status.control import ControlServer
from agent.status.server import StatusServer
from agent.supervise import keep_open
from agent.systemd import Systemd
from agent.version import __version__
from agent.webhooks.courier import Courier
from agent.webhooks.envelope import envelope
from agent.webhooks.transport import Transport
from drivers.base import Driver, Surroundings
from drivers.registry import driver_classes

log = logging.getLogger(__name__)

_COURIER_GRACE_S = 3.0
_PIPELINE_GRACE_S = 3.0


def run(config: Config, state_dir: Path) -> int:
    """Run the agent until SIGTERM or SIGINT. Returns the exit code.

    Raises `agent.outbox.Locked`, NewerSchema, OSError.
    """
    loop = _new_loop()
    asyncio.set_event_loop(loop)
    code = loop.run_until_complete(Agent(config, state_dir).run())
    # All is committed. Name lookups that hang in threads must not keep the process beyond systemd's patience.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


class Agent:
    """One running agent."""

    def __init__(self, config: Config, state_dir: Path) -> None:
        self._config = config
        self._state_dir = state_dir
        self._clock = SystemClock()
        self._random: Random = SystemRandom()
        self._systemd = Systemd(os.environ, monotonic_us)
        self._outbox = Outbox(state_dir, {name: webhook.expires for name, webhook in config.webhooks.items()})
        self._pipeline: Pipeline
        self._drivers: Sequence[Driver] = ()
        self._couriers: Mapping[str, Courier] = {}
        self._tasks: dict[asyncio.Task[None], str] = {}

    async def run(self) -> int:
        """Start, wait for a signal or a part that ends by itself, stop. Returns the exit code."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            log.info("bellcrank %s runs as %s", __version__, self._config.agent.name)
            self._systemd.ready(self._config.summary())
            failed = await self._until(stop)
            log.info("stopping")
            self._systemd.stopping()
        return 1 if failed else 0

    async def forget(self, sensor: str) -> bool:
        """Forget all of a sensor. Returns whether anything was known of it."""
        return await self._pipeline.forget(sensor)

    async def enable(self, webhook: str) -> bool:
        """Let a webhook be tried again. Returns whether there is one of this name."""
        return await self._switch(webhook, Courier.enable)

    async def disable(self, webhook: str) -> bool:
        """Send nothing to a webhook. Returns whether there is one of this name."""
        return await self._switch(webhook, Courier.disable)

    async def _switch(self, webhook: str, how: Callable[[Courier], None]) -> bool:
        if webhook not in self._couriers:
            return False
        how(self._couriers[webhook])
        await self._pipeline.flush()
        return True

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        config, clock = self._config, self._clock
        stack.push_async_callback(self._outbox.close)
        loaded = await self._outbox.open(clock)
        engine = Engine(config.rules, list(config.webhooks), config.agent.labels, _new_id, config.meanings())
        step = engine.load(loaded.memory, loaded.downtime_s, clock.moment())
        write = partial(envelope, agent_name=config.agent.name, agent_id=loaded.agent_id)
        self._pipeline = Pipeline(
            engine, self._outbox, loaded.ledgers, clock, lambda event, n: write(event, sequence=n)
        )
        await self._pipeline.begin(step)
        self._drivers = self._feeds(loaded.agent_id)
        self._couriers = {
            name: Courier(
                name,
                webhook,
                self._outbox.mailboxes[name],
                clock,
                self._random,
                Transport(webhook, clock.wall),
                loaded.rests.get(name),
            )
            for name, webhook in config.webhooks.items()
        }
        observer = Observer(
            config,
            loaded.agent_id,
            clock,
            engine,
            self._pipeline,
            self._outbox,
            self._drivers,
            self._couriers,
        )
        if config.status.listen:
            token = config.status.token.get_secret_value() if config.status.token else None
            server = StatusServer(
                config.status.address,
                token,
                config.status.hosts,
                observer.snapshot,
                observer.ready,
                observer.alive,
            )
            await server.start()
            stack.push_async_callback(server.stop)
        self._spawn("pipeline", self._pipeline.run())
        stack.push_async_callback(self._stop)
        for name, courier in self._couriers.items():
            self._spawn(f"courier {name}", courier.run())
        for driver in self._drivers:
            self._spawn(driver.name, keep_open(driver, self._pipeline.take, clock, self._random))
        if self._systemd.watchdog_s is not None:
            self._spawn("watchdog", self._systemd.feed_watchdog(observer.alive))
        place = to_listen(self._state_dir)
        control = ControlServer(place.path, observer.snapshot, self, for_group=place.for_group)
        await control.start()
        stack.push_async_callback(control.stop)

    def _feeds(self, agent_id: str) -> Sequence[Driver]:
        around = Surroundings(self._config.agent.name, agent_id, self._clock, self._random, self._config.brokers)
        by_driver = self._config.sources_by_driver()
        classes = driver_classes()
        return list(chain.from_iterable(classes[name].feeds(sources, around) for name, sources in by_driver.items()))

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[asyncio.create_task(work, name=name)] = name

    async def _until(self, stop: asyncio.Event) -> bool:
        """Wait for the signal. Returns whether a part failed instead, which none should."""
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({*self._tasks, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        for task in done - {stopped}:
            name = self._tasks[task]  # type: ignore[index]
            log.critical("%s ended by itself", name, exc_info=task.exception())
        return bool(done - {stopped})

    async def _stop(self) -> None:
        await asyncio.gather(*(driver.close() for driver in self._drivers))
        await asyncio.gather(*(courier.stop(_COURIER_GRACE_S) for courier in self._couriers.values()))
        self._pipeline.stop()
        pipeline = [task for task, name in self._tasks.items() if name == "pipeline"]
        await asyncio.wait(pipeline, timeout=_PIPELINE_GRACE_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _new_id(prefix: str) -> str:
    return prefix + secrets.token_hex(13)


def _new_loop() -> asyncio.AbstractEventLoop:
    """Make the loop: uvloop's where the extra `fast` is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return loop()
