"""The parts that come and go with the configuration: its feeds and its couriers.

`plan` says what a configuration asks for, `end` ends what runs and is not in the plan, `begin` begins what is in the
plan and does not run. Start, reload and the end of the process are made of these; a part whose settings stay equal
never notices a reload.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from agent import notices
from agent.clock import DeviceClock
from agent.config import Config, FeedSettings
from agent.model import Content, Event, Rest
from agent.outbox import Outbox
from agent.pipeline import Pipeline
from agent.supervise import keep_open
from agent.tasks import Tasks
from agent.webhooks.config import Webhook
from agent.webhooks.courier import Courier
from agent.webhooks.heartbeat import Heartbeat
from agent.webhooks.transport import Transport
from agent.webhooks.writer import Writer
from drivers.base import Driver, Surroundings
from drivers.registry import driver_classes

_GRACE_S = 3.0
"""For attempts that are in flight when their courier ends."""


class Feed(NamedTuple):
    """A driver with all that the configuration says of its feed."""

    driver: Driver
    settings: FeedSettings


class Pulse(NamedTuple):
    """A heartbeat with all that the configuration says of it."""

    webhook: Webhook
    every_s: float
    labels: Mapping[str, str]


class Plan(NamedTuple):
    """What is to run, by its name."""

    feeds: Mapping[str, Feed]
    webhooks: Mapping[str, Webhook]
    heartbeats: Mapping[str, Pulse]


NOTHING = Plan({}, {}, {})


class Parts:
    """What runs."""

    def __init__(
        self,
        clock: DeviceClock,
        around: Surroundings,
        outbox: Outbox,
        pipeline: Pipeline,
        rests: Mapping[str, Rest],
        tasks: Tasks,
    ) -> None:
        """`around` is for the drivers; `rests` is what the outbox has kept of the couriers' breakers."""
        self._clock, self._around, self._outbox, self._pipeline = clock, around, outbox, pipeline
        self._rests = dict(rests)
        self._tasks = tasks
        self._feeds: dict[str, Feed] = {}
        self._webhooks: dict[str, Webhook] = {}
        self.couriers: dict[str, Courier] = {}
        self._pulses: dict[str, Pulse] = {}
        self.heartbeats: dict[str, Heartbeat] = {}
        self.lives: Callable[[], bool] = lambda: True
        """Whether the pipeline moves and the outbox can be written: else no heartbeat is sent."""

    @property
    def drivers(self) -> list[Driver]:
        """The drivers of the feeds that run."""
        return [feed.driver for feed in self._feeds.values()]

    def behind_since(self) -> float | None:
        """When the oldest message arrived that some feed has read and not handed over; None: there is none."""
        oldest: float | None = None
        for feed in self._feeds.values():
            since = feed.driver.behind_since()
            if since is not None and (oldest is None or since < oldest):
                oldest = since
        return oldest

    def plan(self, config: Config) -> Plan:
        """What a configuration asks for; nothing of it begins here."""
        around, classes = replace(self._around, brokers=config.brokers), driver_classes()
        by_driver = config.sources_by_driver()
        drivers = chain.from_iterable(classes[name].feeds(sources, around) for name, sources in by_driver.items())
        feeds = {driver.name: Feed(driver, config.feed_settings(driver.states())) for driver in drivers}
        return Plan(feeds, config.webhooks, _pulses(config))

    def hurry(self) -> None:
        """The network is there again: who rests for lack of it tries again."""
        for courier in self.couriers.values():
            courier.hurry()

    async def end(self, plan: Plan) -> None:
        """End what is not in the plan, or otherwise than it runs: feeds before couriers, so that nothing new comes."""
        heartbeats = [name for name, pulse in self._pulses.items() if plan.heartbeats.get(name) != pulse]
        await asyncio.gather(*map(self._end_heartbeat, heartbeats))
        feeds = [name for name, feed in self._feeds.items() if _settings(plan, name) != feed.settings]
        await asyncio.gather(*map(self._end_feed, feeds))
        webhooks = [name for name, webhook in self._webhooks.items() if plan.webhooks.get(name) != webhook]
        await asyncio.gather(*(self._end_courier(name, plan.webhooks.get(name)) for name in webhooks))

    def begin(self, plan: Plan) -> None:
        """Begin what is in the plan and does not run; couriers first, though nothing is owed before a feed is open."""
        for name, webhook in plan.webhooks.items():
            if name not in self._webhooks:
                self._begin_courier(name, webhook)
        for name, feed in plan.feeds.items():
            if name not in self._feeds:
                self._begin_feed(name, feed)
        for name, pulse in plan.heartbeats.items():
            if name not in self._pulses:
                self._begin_heartbeat(name, pulse)

    def _begin_feed(self, name: str, feed: Feed) -> None:
        self._feeds[name] = feed
        self._tasks.begin(name, keep_open(feed.driver, self._pipeline.take, self._clock, self._around.random))

    async def _end_feed(self, name: str) -> None:
        """Close it: what it has read and not handed over stays at the broker, what it has handed over is handled."""
        driver = self._feeds.pop(name).driver
        await self._tasks.end(name, driver.close())

    def _begin_courier(self, name: str, webhook: Webhook) -> None:
        clock, mailbox = self._clock, self._outbox.mailboxes[name]
        mailbox.take_back()
        transport, rest, tell = Transport(webhook, clock.wall), self._rests.get(name), self._pipeline.tell
        courier = Courier(name, webhook, mailbox, clock, self._around.random, transport, rest, tell)
        self._webhooks[name], self.couriers[name] = webhook, courier
        self._tasks.begin(f"courier {name}", courier.run())

    async def _end_courier(self, name: str, following: Webhook | None) -> None:
        """Let it finish what is in flight. Where it is reached in another way, it begins anew."""
        courier, webhook = self.couriers.pop(name), self._webhooks.pop(name)
        await self._tasks.end(f"courier {name}", courier.stop(_GRACE_S))
        self._rests[name] = courier.kept()
        if following is not None and _reaches(following) != _reaches(webhook):
            self._rests[name] = self._rests[name]._replace(resting_until=None)
            self._outbox.mailboxes[name].release(every=True)

    def _begin_heartbeat(self, name: str, pulse: Pulse) -> None:
        clock, around = self._clock, self._around
        notice = notices.heartbeat(pulse.every_s)

        def event() -> Event:
            moment = clock.moment()
            new_id = self._pipeline.engine.book.teller.new_id
            return notices.event_of(notice, moment.at, moment, new_id=new_id, labels=pulse.labels, events_to=(name,))

        def lives() -> bool:
            return self.lives() and not self.couriers[name].disabled

        writer = Writer(around.agent_name, around.agent_id, {name: pulse.webhook})

        def write(event: Event) -> Content:
            return writer(event, name, None)

        heartbeat = Heartbeat(name, pulse.webhook, pulse.every_s, event, write, lives, clock)
        self._pulses[name], self.heartbeats[name] = pulse, heartbeat
        self._tasks.begin(f"heartbeat {name}", heartbeat.run())

    async def _end_heartbeat(self, name: str) -> None:
        del self._pulses[name], self.heartbeats[name]
        await self._tasks.end(f"heartbeat {name}")


def _pulses(config: Config) -> dict[str, Pulse]:
    wanted, labels = config.agent.heartbeat, config.agent.labels
    if wanted is None:
        return {}
    return {name: Pulse(config.webhooks[name], wanted.every, labels) for name in wanted.send_to}


def _reaches(webhook: Webhook) -> tuple[object, ...]:
    """What decides whether a receiver takes a request, whatever it tells."""
    return webhook.url, webhook.secrets, webhook.signature, webhook.method, webhook.headers, webhook.tls


def _settings(plan: Plan, feed: str) -> FeedSettings | None:
    return plan.feeds[feed].settings if feed in plan.feeds else None
