"""Open feeds for a while, beside a running agent, and let a tap hear all that arrives; nothing comes of it.

At a broker it is a client of its own whose session ends with it. A serial port has one reader: there the agent has to
be stopped.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from random import SystemRandom

from agent.clock import SystemClock
from agent.supervise import keep_open
from drivers.base import Batch, Driver, Raw, SourceConfig, SourceState, Surroundings
from drivers.mqtt import BrokerConfig
from drivers.registry import driver_classes


async def overhear(
    sources: Mapping[str, SourceConfig],
    brokers: Mapping[str, BrokerConfig],
    tap: Callable[[Raw], None],
    stop: asyncio.Event,
    for_s: float | None,
) -> Mapping[str, SourceState]:
    """Listen until `stop` is set or the time is over; the tap gets `at` in Unix seconds.

    Returns how each source stood at the end.
    """
    clock = SystemClock()
    drivers = _drivers(sources, brokers, clock, lambda raw: tap(raw._replace(at=clock.wall())))
    tasks = [asyncio.create_task(keep_open(driver, _let_go, clock, SystemRandom())) for driver in drivers]
    try:
        async with asyncio.timeout(for_s):
            await stop.wait()
    except TimeoutError:
        pass
    finally:
        states = {name: state for driver in drivers for name, state in driver.states().items()}
        await asyncio.gather(*(driver.close() for driver in drivers))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return states


def _drivers(
    sources: Mapping[str, SourceConfig],
    brokers: Mapping[str, BrokerConfig],
    clock: SystemClock,
    tap: Callable[[Raw], None],
) -> Sequence[Driver]:
    guests = {name: _as_a_guest(broker) for name, broker in brokers.items()}
    around = Surroundings("guest", secrets.token_hex(16), clock, SystemRandom(), guests, tap=tap, guest=True)
    by_driver: dict[str, dict[str, SourceConfig]] = {}
    for name, source in sources.items():
        by_driver.setdefault(source.driver, {})[name] = source
    return [feed for name, theirs in by_driver.items() for feed in driver_classes()[name].feeds(theirs, around)]


def _as_a_guest(broker: BrokerConfig) -> BrokerConfig:
    """A broker that forgets this client as soon as it goes, and tells nobody that it came."""
    return broker.model_copy(update={"client_id": None, "session_expiry": 1.0, "availability_topic": False})


async def _let_go(_feed: str, _batch: Batch) -> None:
    """What the tap has heard is all that was wanted of it."""
