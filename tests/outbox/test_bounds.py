"""What goes when the outbox is full, as a decision, in tables and against a plain model of the policy."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.outbox.bounds import Decision, Incoming, Part, Queue, Room, decide

PLENTY = 10**9


def pulses(*ids: int, size_bytes: int = 10) -> Iterator[Part]:
    """Of events that nobody else is owed."""
    return iter([Part(number, number, 1, size_bytes) for number in ids])


def pairs(*of: tuple[int, ...]) -> Iterator[Sequence[Part]]:
    return iter([[Part(number, number, 1, 10) for number in ids] for ids in of])


def queue(
    waiting: int, of_pulses: Iterator[Part] | None = None, of_pairs: Iterator[Sequence[Part]] | None = None
) -> Queue:
    return Queue(waiting, of_pulses or pulses(), of_pairs or pairs())


def pulse(number: int, *webhooks: str, size_bytes: int = 10) -> Incoming:
    names = webhooks or ("ops",)
    parts = {name: Part(number + i, number, len(names), size_bytes) for i, name in enumerate(names)}
    return Incoming(pulse=True, parts=parts)


def alert(number: int) -> Incoming:
    return Incoming(pulse=False, parts={"ops": Part(number, number, 1, 10)})


@dataclass
class Case:
    """A table's row: what there is, what comes, what goes."""

    says: str
    queues: Mapping[str, Queue]
    incoming: Sequence[Incoming]
    events: int = PLENTY
    size_bytes: int = PLENTY
    delivered: Sequence[int] = ()
    dead: Sequence[int] = ()
    rows_max: int = 100
    goes: Decision = field(default_factory=Decision)


CASES = [
    Case("with room nothing goes", {"ops": queue(1, pulses(1))}, [pulse(9)], events=1),
    Case("the oldest pulse goes", {"ops": queue(2, pulses(1, 2))}, [pulse(9)], events=0, goes=Decision(pending=[1])),
    Case(
        "what was delivered goes before anything that waits, and before dead letters, where bytes are short",
        {"ops": queue(2, pulses(4, 5))},
        [pulse(9, size_bytes=35)],
        size_bytes=0,
        delivered=[1, 2],
        dead=[3],
        goes=Decision(delivered=[1, 2], dead=[3], pending=[4]),
    ),
    Case(
        "history makes no room where there are too many events",
        {"ops": queue(1, pulses(4))},
        [pulse(9)],
        events=0,
        delivered=[1],
        dead=[2],
        goes=Decision(pending=[4]),
    ),
    Case(
        "of the webhook with most waiting",
        {"ops": queue(2, pulses(1, 2)), "phone": queue(3, pulses(3, 4, 5))},
        [pulse(9, "ops"), pulse(10, "ops"), pulse(11, "ops")],
        events=0,
        goes=Decision(pending=[3, 1, 2]),
    ),
    Case(
        "of its pulses before its alerts that are over, which go whole",
        {"ops": queue(5, pulses(3), pairs((2, 1), (5, 4)))},
        [alert(8), alert(9), alert(10), alert(11)],
        events=0,
        goes=Decision(pending=[3, 2, 1, 5, 4]),
    ),
    Case(
        "where that webhook has nothing to give, of the next",
        {"ops": queue(9), "phone": queue(1, pulses(3))},
        [pulse(9)],
        events=0,
        goes=Decision(pending=[3]),
    ),
    Case("else a pulse is refused", {"ops": queue(9)}, [pulse(9)], events=0, goes=Decision(refused={9})),
    Case(
        "a pulse is refused for all its webhooks",
        {"ops": queue(9), "phone": queue(0)},
        [pulse(9, "ops", "phone")],
        events=0,
        goes=Decision(refused={9, 10}),
    ),
    Case("what an alert has to tell is taken in all the same", {"ops": queue(9)}, [alert(9)], events=0),
    Case(
        "of many pulses at once the newest stay",
        {"ops": queue(0)},
        [pulse(7), pulse(8), pulse(9)],
        events=2,
        goes=Decision(refused={7}),
    ),
    Case(
        "a pulse that another webhook is still owed makes no room for an event",
        {"ops": queue(3, iter([Part(1, 1, 2, 10), Part(3, 3, 1, 10)])), "phone": queue(1)},
        [pulse(9)],
        events=0,
        goes=Decision(pending=[1, 3]),
    ),
    Case(
        "a pulse that all webhooks let go of does",
        {"ops": queue(1, iter([Part(1, 1, 2, 10)])), "phone": queue(1, iter([Part(2, 1, 2, 10)]))},
        [alert(9)],
        events=0,
        goes=Decision(pending=[1, 2]),
    ),
    Case(
        "one commit takes no more than it may, and nothing is refused for that",
        {"ops": queue(9, pulses(1, 2, 3))},
        [pulse(9)],
        events=-2,
        rows_max=2,
        goes=Decision(pending=[1, 2], capped=True),
    ),
    Case(
        "with nothing that comes, what is too much goes",
        {"ops": queue(3, pulses(1, 2, 3))},
        [],
        events=-2,
        goes=Decision(pending=[1, 2]),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_the_policy(case: Case) -> None:
    room = Room(case.events, case.size_bytes, pulses(*case.delivered), pulses(*case.dead), case.queues)
    assert decide(room, case.incoming, case.rows_max) == case.goes


@dataclass
class Model:
    """The policy as its sentences say it, over plain lists."""

    max_events: int
    webhooks: Sequence[str]
    pending: list[tuple[int, int, str, int | None]] = field(default_factory=list)
    """Delivery, event, webhook, number of its alert; in the order in which they became owed."""
    over: frozenset[int] = frozenset()
    """Alerts that are over and whose firing was never tried, as the file has it before the batch."""
    gone: set[int] = field(default_factory=set)

    def take_in(self, event: int, parts: Mapping[str, int]) -> None:
        while len({one[1] for one in self.pending}) >= self.max_events:
            going = self._next()
            if not going:
                self.gone.update(parts.values())
                return
            self.gone.update(going)
            self.pending = [one for one in self.pending if one[0] not in going]
        self.pending += [(number, event, webhook, None) for webhook, number in parts.items()]

    def _next(self) -> set[int]:
        waiting = Counter(one[2] for one in self.pending)
        for webhook in sorted(self.webhooks, key=lambda name: (-waiting[name], name)):
            mine = [one for one in self.pending if one[2] == webhook]
            for number, _, _, of_alert in mine:
                if of_alert is None:
                    return {number}
            for *_, of_alert in mine:
                if of_alert in self.over:
                    return {one[0] for one in mine if one[3] == of_alert}
        return set()


@given(
    st.lists(st.tuples(st.sets(st.sampled_from("abc"), min_size=1), st.sampled_from(["pulse", "on", "over"]))),
    st.lists(st.sets(st.sampled_from("abc"), min_size=1), max_size=12),
    st.integers(1, 12),
)
def test_what_goes_is_what_the_sentences_of_the_policy_say(
    before: list[tuple[set[str], str]], coming: list[set[str]], max_events: int
) -> None:
    model = Model(max_events, "abc")
    number = 1
    over = set()
    for to, what in before:
        of_alert = None if what == "pulse" else number
        if what == "over":
            over.add(number)
        for _ in range(2 if what == "over" else 1):
            first = number
            for webhook in sorted(to):
                model.pending.append((number, first, webhook, of_alert))
                number += 1
    model.over = frozenset(over)
    stored = list(model.pending)
    events = len({event for _, event, *_ in stored})
    queues = {name: _queue(stored, over, name) for name in "abc"}
    room = Room(max_events - events, PLENTY, iter(()), iter(()), queues)
    incoming = []
    for to in coming:
        parts = {webhook: Part(number + i, number, len(to), 10) for i, webhook in enumerate(sorted(to))}
        incoming.append(Incoming(pulse=True, parts=parts))
        number += len(to)
    decision = decide(room, incoming, 10_000)
    while len({one[1] for one in model.pending}) > max_events and (going := model._next()):
        model.gone |= going
        model.pending = [one for one in model.pending if one[0] not in going]
    for event in incoming:
        first = next(iter(event.parts.values())).event
        model.take_in(first, {webhook: part.id for webhook, part in event.parts.items()})
    assert {*decision.pending, *decision.refused} == model.gone


def _queue(stored: Sequence[tuple[int, int, str, int | None]], over: set[int], name: str) -> Queue:
    shared = Counter(event for _, event, *_ in stored)
    mine = [one for one in stored if one[2] == name]
    parts = {one[0]: Part(one[0], one[1], shared[one[1]], 10) for one in mine}
    alerts = dict.fromkeys(one[3] for one in mine if one[3] in over)
    return Queue(
        len(mine),
        iter([parts[one[0]] for one in mine if one[3] is None]),
        iter([[parts[one[0]] for one in mine if one[3] == of_alert] for of_alert in alerts]),
    )
