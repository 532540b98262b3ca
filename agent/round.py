"""One round: what the feeds have brought is put through the rules, and what comes of it is gathered for one commit.

No I/O. A round that is let go of has changed nothing but what the ledgers have staged.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from agent.model import Event, Notice
from agent.notices import event_of
from agent.outbox import BatchRefused, Draft, Ledger
from agent.rules import Engine, Step
from drivers.base import Arrival, Message, NewSession, Presence, Refusal, Subscriptions

log = logging.getLogger(__name__)


class Input(NamedTuple):
    """What is handled in the order of its time."""

    at: float
    feed: str
    """Empty for a notice."""
    message: Arrival | Notice


class Round:
    """A step with its commit in the making, and what became of each message."""

    def __init__(
        self, engine: Engine, step: Step, ledgers: Mapping[str, Ledger], new_draft: Callable[[], Draft]
    ) -> None:
        """`ledgers` has one for each feed."""
        self.step = step
        self.draft: Draft | None = None
        """None: nothing is owed, as in most rounds."""
        self.repeats: list[Message] = []
        self.failed: list[Refusal] = []
        self.subscriptions: dict[str, Mapping[str, int]] = {}
        """Of each feed that told of them."""
        self._engine, self._ledgers, self._new_draft = engine, ledgers, new_draft
        self._told = 0
        """So many of the step's events are owed."""

    def evaluate(self, inputs: Iterable[Input], horizon: float) -> None:
        """Put all to the rules, and end the holds that are over before each; no timer runs beyond the horizon.

        Raises BatchRefused where a timer fails.
        """
        self._owe()
        step = self.step
        for at, feed, message in inputs:
            until = min(at, horizon)
            if step.may_be_due(until):
                self._run_timers(until)
            if isinstance(message, Message):
                self._take_message(feed, message)
            elif isinstance(message, Notice):
                self.take_notice(message, at)
            elif isinstance(message, NewSession):
                self._ledgers[feed].empty()
            elif isinstance(message, Subscriptions):
                self.subscriptions[feed] = message.ids
            elif isinstance(message, Presence):
                step.presence(message, at)
                self._owe()
        self._run_timers(horizon)

    def take_notice(self, notice: Notice, at: float) -> None:
        """Owe the event of a notice; one that cannot be written must not stop the others."""
        engine, draft = self._engine, self._drafted()
        mark = draft.mark()
        try:
            event = event_of(
                notice,
                at,
                self.step.moment,
                new_id=engine.book.teller.new_id,
                labels=engine.book.teller.labels,
                events_to=engine.book.site.events_to,
            )
            draft.owe([event])
        except Exception:
            log.exception("%s of %s could not be told", notice.type, notice.subject)
            draft.rollback(mark)

    def _take_message(self, feed: str, message: Message) -> None:
        receipt = message.receipt
        if receipt is not None:
            ledger = self._ledgers[feed]
            if ledger.knows(receipt):
                self.repeats.append(message)
                return
            ledger.add(receipt)
        savepoint = self.step.savepoint()
        try:
            for reading in message.readings:
                self.step.reading(reading, message.at)
            if len(self.step.events) > self._told:
                self._owe_whole(self.step.events[self._told :])
        except Exception as error:
            # It is split off and refused, and the others go on.
            log.exception("a message of %s could not be evaluated", ", ".join(message.sources))
            self.step.rollback(savepoint)
            self.failed.extend(Refusal(source, None, "failed", type(error).__name__) for source in message.sources)
        self._told = len(self.step.events)

    def _owe_whole(self, events: Iterable[Event]) -> None:
        """Owe all of them or none."""
        draft = self._drafted()
        mark = draft.mark()
        try:
            draft.owe(events)
        except Exception:
            draft.rollback(mark)
            raise

    def _run_timers(self, until: float) -> None:
        """End the holds that are over by then. Raises BatchRefused where one fails."""
        try:
            self.step.run_timers(until)
            self._owe()
        except Exception as error:
            raise BatchRefused(f"a timer failed: {error!r}") from error

    def _owe(self) -> None:
        """Owe what the step has told and is not owed yet."""
        if len(self.step.events) > self._told:
            self._drafted().owe(self.step.events[self._told :])
            self._told = len(self.step.events)

    def _drafted(self) -> Draft:
        if self.draft is None:
            self.draft = self._new_draft()
        return self.draft
