"""A week offline in minutes.

The clock is set by hand, the file is a real one, and the outbox is closed and opened anew each day. The webhook `away`
does not answer (every quarter of an hour one delivery is tried), `here` takes all at once. When `away` is back it must
be told exactly what the policy of a full outbox leaves of the week, by kind, in order, and every number that is missing
must have been named. `here` must be told all, once: no start sends again what was delivered.
"""

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from agent.model import Content, Delivery, Ending, Event, Notice, Settlement
from agent.outbox import Limits, Outbox
from agent.outbox.batch import no_content
from agent.outbox.losses import DROPPED
from tests.faults.fault import Fault, Result
from tests.faults.mutants import mutated
from tests.outbox.parts import event
from tests.support.hands import HandClock

WEEK_S = 7 * 86400.0
PROBE_EVERY_S = 900.0
SUBJECTS = 200
BATCH = 50
EVENTS = 20_000
MUTANT_EVENTS = 2_000
"""A mutant is caught by fewer, and one that never marks anything makes each commit longer."""
_LASTS = 0.1
"""Share of the alerts that are never over."""


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

    def __init__(self, folder: Path, seed: int, result: Result, *, events: int, max_events: int) -> None:
        self._folder, self._events, self._random, self._result = folder, events, Random(seed), result
        self._limits = Limits(max_bytes=256 * 10**6, max_events=max_events)
        self._clock = HandClock()
        self._policy = Policy(max_events)
        self._on: dict[str, list[str]] = {}
        """Alerts that may end, by subject."""
        self._sequence = 0
        self._named: Counter[str] = Counter()
        self._received: list[tuple[int, str]] = []
        """By `away`."""
        self._here: Counter[int] = Counter()
        """How often `here` was told each sequence."""
        self._outbox: Outbox
        self._size_max = 0

    async def run(self) -> None:
        probe_at, day = self._clock.now(), 0
        await self._open()
        for first in range(0, self._events, BATCH):
            await self._commit([self._next() for _ in range(min(BATCH, self._events - first))])
            await self._deliver_here()
            self._clock.advance(WEEK_S / (self._events / BATCH))
            if self._clock.now() >= probe_at:
                await self._probe()
                probe_at += PROBE_EVERY_S
            if first * 7 // self._events > day:
                day += 1
                await self._reopen()
        await self._back()
        self._judge(self._result)
        await self._outbox.close()

    async def _open(self) -> None:
        self._outbox = Outbox(self._folder, {"away": 2 * WEEK_S, "here": 2 * WEEK_S}, limits=self._limits)
        self._outbox.telling.tell = self._note
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
        batch.expired, batch.purge, _ = await self._outbox.sweeper.sweep(self._clock.now())
        await self._outbox.commit(batch)
        self._policy.commit([(int(told.id.removeprefix("evt_")), told) for told in events])
        self._size_max = max(self._size_max, self._outbox.store.file.size_bytes())

    async def _deliver_here(self) -> None:
        mailbox = self._outbox.mailboxes["here"]
        while sent := await mailbox.due(self._clock.now(), BATCH):
            for delivery in sent:
                self._here[delivery.sequence] += 1
                mailbox.settle(Settlement(delivery, Ending.DELIVERED))

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
        if notice.type != DROPPED:
            self._result.demand(False, f"{notice.type}: {notice.data.get('reason')}")
            return
        listed = sum(last - first + 1 for ranges in notice.data["sequences"].values() for first, last in ranges)
        self._named[str(notice.about)] += listed + notice.data["sequences_left_off"]

    def _judge(self, result: Result) -> None:
        policy, counters = self._policy, self._outbox.counters
        told, away = {sequence for sequence, _ in self._received}, counters["away"]
        missing = set(policy.kinds) - told
        ends = {policy.alerts[n] for n in policy.kinds if policy.kinds[n] == "resolved" and n in told}
        had_end = {policy.alerts[n] for n in policy.kinds if policy.kinds[n] == "resolved"}
        begun = {policy.alerts[n] for n in told if policy.kinds[n] == "firing"}
        endless, late = (begun & had_end) - ends, _out_of_order(self._received)
        lost_by_here, again = self._events - len(self._here), self._here.total() - len(self._here)
        result.lost += len(missing - policy.gone) + lost_by_here
        result.duplicates += len(self._received) - len(told) + again
        demand = result.demand
        demand(not again, f"the webhook that answers was sent {again} again, though it had taken them")
        demand(counters["here"].delivered == len(self._here), f"it took {len(self._here)}: {counters['here']}")
        demand(missing == policy.gone, f"{len(missing ^ policy.gone)} were dropped, or not, against the policy")
        demand(self._named["away"] == away.dropped, f"{self._named['away']} of {away.dropped} dropped are named")
        demand(not late, f"{late} came out of order")
        demand(not endless, f"{len(endless)} alerts were told to fire, and not that they ended")
        demand(not lost_by_here, f"the webhook that answers was not told {lost_by_here}")
        demand(all(one.balanced for one in counters.values()), f"the counters do not balance: {counters}")
        demand(away.owed == away.delivered + away.dropped, f"owed is not delivered + dropped: {away}")
        kinds = Counter(policy.kinds[n] for n in missing)
        figures = {"owed": away.owed, "dropped": away.dropped, **{f"dropped {kind}": n for kind, n in kinds.items()}}
        for name, count in figures.items():
            result.figures[name] = result.figures.get(name, 0) + count
        result.figures["MB at most"] = max(result.figures.get("MB at most", 0), round(self._size_max / 1e6, 1))


def _out_of_order(received: Sequence[tuple[int, str]]) -> int:
    """How often a subject was told of something that happened before what it was told of already."""
    newest: Counter[str] = Counter()
    wrong = 0
    for sequence, subject in received:
        wrong += sequence < newest[subject]
        newest[subject] = max(newest[subject], sequence)
    return wrong


async def week(
    folder: Path,
    *,
    seconds: float,
    seed: int,
    mutant: str | None = None,
    events: int = EVENTS,
    max_events: int = EVENTS // 2,
) -> Result:
    """Weeks of so many events, one after another, at least one."""
    result, end = Result(), time.monotonic() + seconds
    if mutant:
        events, max_events = min(events, MUTANT_EVENTS), min(max_events, MUTANT_EVENTS // 2)
    with mutated(mutant):
        while not result.strikes or time.monotonic() < end:
            place = folder / f"week-{result.strikes}"
            place.mkdir()
            await Week(place, seed * 1000 + result.strikes, result, events=events, max_events=max_events).run()
            result.strikes += 1
    return result


FAULTS = [
    Fault(
        "week",
        "a receiver is away for a week in which twice as much happens as has room",
        "weeks",
        week,
        ("counts-wrong", "marks-lost"),
        can_reload=False,
    )
]
