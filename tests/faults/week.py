"""A week offline in minutes: `python -m tests.faults.week --events 200000 --max-events 100000`.

The clock is set by hand, the file is a real one, and the outbox is closed and opened anew each day. The webhook `away`
does not answer (every quarter of an hour one delivery is tried), `here` takes all at once. When `away` is back it must
be told exactly what the policy of a full outbox leaves of the week, by kind, in order, and every number that is missing
must have been named.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random

from agent.model import Content, Delivery, Ending, Event, Notice, Settlement
from agent.outbox import Limits, Outbox
from agent.outbox.batch import no_content
from tests.outbox.parts import deliver, event
from tests.support.hands import HandClock

WEEK_S = 7 * 86400.0
PROBE_EVERY_S = 900.0
SUBJECTS = 200
BATCH = 50
_LASTS = 0.1
"""Share of the alerts that are never over."""


@dataclass(frozen=True)
class Result:
    """What it came to; the counts are those of `away`."""

    owed: int
    delivered: int
    dropped: int
    dropped_by_kind: dict[str, int]
    expected_by_kind: dict[str, int]
    named: int
    """Sequences that notices have named, or counted beyond their ranges."""
    unexpected: int
    """Numbers that were told and should not have been, or the other way round."""
    out_of_order: int
    firing_that_lost_their_end: int
    lost_by_here: int
    size_mb_max: float
    balanced: bool

    @property
    def good(self) -> bool:
        wrong = self.unexpected or self.out_of_order or self.firing_that_lost_their_end or self.lost_by_here
        exact = self.dropped_by_kind == self.expected_by_kind and self.named == self.dropped
        return self.balanced and exact and not wrong and self.owed == self.delivered + self.dropped


@dataclass
class Policy:
    """What should be left of `away`'s queue, kept beside it by the sentences of `agent.outbox.bounds`."""

    max_events: int
    kinds: dict[int, str] = field(default_factory=dict)
    """Of each sequence."""
    alerts: dict[int, str | None] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    lent: set[int] = field(default_factory=set)
    """Tried, and the mark is not durable yet."""
    sent: set[str | None] = field(default_factory=set)
    """Alerts of which something was tried."""
    _pulses: deque[int] = field(default_factory=deque)
    _parts: dict[str | None, list[int]] = field(default_factory=dict)
    _over: dict[str | None, None] = field(default_factory=dict)
    _waiting: int = 0
    _still_owed: set[int] = field(default_factory=set)
    """To `here`: what came with this batch, until the next one brings the marks."""

    def commit(self, batch: Sequence[tuple[int, Event]]) -> None:
        over: list[str | None] = []
        for sequence, told in batch:
            kind = "pulse" if told.state is None else told.state
            self.kinds[sequence], self.alerts[sequence] = kind, told.alert_id
            fits = self._make_room()
            if kind == "pulse" and not fits:
                self.gone.add(sequence)
                continue
            self._waiting += 1
            self._still_owed.add(sequence)
            if kind == "pulse":
                self._pulses.append(sequence)
            else:
                self._parts.setdefault(told.alert_id, []).append(sequence)
                over += [told.alert_id] if kind == "resolved" else []
        self._over |= dict.fromkeys(over)
        self._waiting -= len(self._still_owed & self.gone)
        self._still_owed.clear()
        self.lent.clear()

    def probed(self, sequence: int) -> None:
        self.lent.add(sequence)
        self.sent.add(self.alerts[sequence])

    def _make_room(self) -> bool:
        while self._waiting >= self.max_events:
            pulse = next((sequence for sequence in self._pulses if sequence not in self.lent), None)
            if pulse is not None:
                self._pulses.remove(pulse)
                going = [pulse]
            else:
                alert = next((alert for alert in self._over if alert not in self.sent), "none")
                if alert == "none":
                    return False
                del self._over[alert]
                going = self._parts.pop(alert)
            self.gone.update(going)
            self._waiting -= len(set(going) - self._still_owed)
        return True


class Week:
    """One run in a folder."""

    def __init__(self, folder: Path, *, events: int, max_events: int) -> None:
        self._folder, self._events, self._random = folder, events, Random(1)
        self._limits = Limits(max_bytes=256 * 10**6, max_events=max_events)
        self._clock = HandClock()
        self._policy = Policy(max_events)
        self._on: dict[str, list[str]] = {}
        """Alerts that may end, by subject."""
        self._sequence = 0
        self._named: Counter[str] = Counter()
        self._received: list[tuple[int, str]] = []
        self._outbox: Outbox
        self._size_max = 0

    async def run(self) -> Result:
        probe_at, day = self._clock.now(), 0
        await self._open()
        for first in range(0, self._events, BATCH):
            await self._commit([self._next() for _ in range(min(BATCH, self._events - first))])
            await deliver(self._outbox, self._clock, "here", min(BATCH, self._events - first))
            self._clock.advance(WEEK_S / (self._events / BATCH))
            if self._clock.now() >= probe_at:
                await self._probe()
                probe_at += PROBE_EVERY_S
            if first * 7 // self._events > day:
                day += 1
                await self._reopen()
        await self._back()
        result = self._result()
        await self._outbox.close()
        return result

    async def _open(self) -> None:
        self._outbox = Outbox(self._folder, {"away": 2 * WEEK_S, "here": 2 * WEEK_S}, limits=self._limits)
        self._outbox.tell = self._note
        await self._outbox.open(self._clock)

    async def _reopen(self) -> None:
        self._clock.advance(61)
        await self._commit([])
        await self._outbox.close()
        await self._open()

    def _next(self) -> Event:
        self._sequence += 1
        number, subject = self._sequence, f"s{self._random.randrange(SUBJECTS)}"
        told = event(number, to=["away", "here"], subject=subject, at=self._clock.now())
        if self._random.random() < 0.3:
            return told
        on = self._on.get(subject)
        if on and self._random.random() < 0.5:
            return replace(told, state="resolved", type="sensor.alert.resolved", alert_id=on.pop(0))
        if self._random.random() >= _LASTS:
            self._on.setdefault(subject, []).append(f"alt_{number}")
        return replace(told, state="firing", type="sensor.alert.firing", alert_id=f"alt_{number}")

    async def _commit(self, events: Sequence[Event]) -> None:
        draft = self._outbox.draft(self._clock.moment(), lambda told, *_: Content(f'{{"id": "{told.id}"}}'.encode()))
        draft.owe(events)
        batch = draft.batch()
        batch.expired, batch.purge, _ = await self._outbox.sweep(self._clock.now())
        await self._outbox.commit(batch)
        self._policy.commit([(int(told.id.removeprefix("evt_")), told) for told in events])
        self._size_max = max(self._size_max, self._outbox.size_bytes())

    async def _probe(self) -> None:
        mailbox = self._outbox.mailboxes["away"]
        if delivery := await mailbox.probe():
            self._policy.probed(delivery.sequence)
            due_at = self._clock.now() + PROBE_EVERY_S
            mailbox.settle(Settlement(delivery, Ending.AGAIN, due_at=due_at, held=True))

    async def _back(self) -> None:
        """`away` answers: it takes all that waits."""
        self._clock.advance(61)
        await self._commit([])
        mailbox = self._outbox.mailboxes["away"]
        mailbox.release(every=True)
        while sent := await mailbox.due(self._clock.now() + PROBE_EVERY_S, SUBJECTS):
            for delivery in sent:
                self._receive(delivery)
                mailbox.settle(Settlement(delivery, Ending.DELIVERED))
            await self._outbox.commit(self._outbox.draft(self._clock.moment(), no_content).batch())

    def _receive(self, delivery: Delivery) -> None:
        self._received.append((delivery.sequence, delivery.subject))

    def _note(self, notice: Notice) -> None:
        listed = sum(last - first + 1 for ranges in notice.data["sequences"].values() for first, last in ranges)
        self._named[str(notice.about)] += listed + notice.data["sequences_left_off"]

    def _result(self) -> Result:
        policy, counters = self._policy, self._outbox.counters
        told = {sequence for sequence, _ in self._received}
        missing = set(policy.kinds) - told
        ends = {policy.alerts[n] for n in policy.kinds if policy.kinds[n] == "resolved" and n in told}
        had_end = {policy.alerts[n] for n in policy.kinds if policy.kinds[n] == "resolved"}
        begun = {policy.alerts[n] for n in told if policy.kinds[n] == "firing"}
        return Result(
            owed=counters["away"].owed,
            delivered=counters["away"].delivered,
            dropped=counters["away"].dropped,
            dropped_by_kind=dict(sorted(Counter(policy.kinds[n] for n in missing).items())),
            expected_by_kind=dict(sorted(Counter(policy.kinds[n] for n in policy.gone).items())),
            named=self._named["away"],
            unexpected=len(missing ^ policy.gone) + (len(self._received) - len(told)),
            out_of_order=_out_of_order(self._received),
            firing_that_lost_their_end=len((begun & had_end) - ends),
            lost_by_here=self._events - counters["here"].delivered,
            size_mb_max=round(self._size_max / 1e6, 1),
            balanced=all(one.balanced for one in counters.values()),
        )


def _out_of_order(received: Sequence[tuple[int, str]]) -> int:
    """How often a subject was told of something that happened before what it was told of already."""
    newest: Counter[str] = Counter()
    wrong = 0
    for sequence, subject in received:
        wrong += sequence < newest[subject]
        newest[subject] = max(newest[subject], sequence)
    return wrong


async def week(folder: Path, *, events: int, max_events: int) -> Result:
    """Run it in a folder."""
    return await Week(folder, events=events, max_events=max_events).run()


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.faults.week", description=__doc__)
    options.add_argument("--events", type=int, default=200_000)
    options.add_argument("--max-events", type=int, default=100_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(week(Path(folder), events=given.events, max_events=given.max_events))
    for name, value in asdict(result).items():
        print(f"{name.replace('_', ' ')}: {value}")
    sys.exit(0 if result.good else 1)


if __name__ == "__main__":
    main()
