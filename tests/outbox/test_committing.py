"""What of a batch is committed first and alone, on a full disk."""

from itertools import islice
from pathlib import Path

from agent.model import Moment, Rest
from agent.outbox import committing
from agent.outbox.batch import Batch, Gone, Numbers
from tests.outbox.parts import batch_of, done, event, opened
from tests.support.hands import HandClock

NUMBERS = Numbers(1, {})


def gone(number: int) -> Gone:
    return Gone(number, "ops", "a.t")


def test_what_expires_is_committed_a_few_at_a_time_and_leaves_the_batch_once_it_is_durable() -> None:
    batch = Batch(Moment(0.0, 0.0, True), NUMBERS, expired=[gone(number) for number in range(600)], purge=True)
    batch.rests, batch.whole, batch.last = [Rest("ops", None, disabled=True)], True, True
    parts = committing.alone(batch, make_room=False)
    first, second = islice(parts, 2)
    assert (len(first.expired), len(second.expired), len(batch.expired)) == (256, 256, 344), "the second is on its way"
    assert (len(first.rests), len(second.rests), len(batch.rests)) == (1, 0, 0)
    third, last = parts
    assert (len(third.expired), third.purge, last.expired, last.purge) == (88, False, (), True)
    assert not any(part.whole or part.last for part in (first, second, third, last)), "the rest of it is still to come"
    assert (batch.expired, batch.purge, batch.whole, batch.last) == ([], False, True, True)


async def test_marks_come_before_what_expires(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await outbox.commit(batch_of(outbox, clock.moment(), event(1)))
        (delivery,) = await outbox.mailboxes["ops"].due(clock.now(), 1)
        batch = Batch(clock.moment(), NUMBERS, settled=[done(delivery)], expired=[gone(7)])
        marks, expired = committing.alone(batch, make_room=False)
        assert (len(marks.settled), marks.expired, len(expired.settled), len(expired.expired)) == (1, (), 0, 1)
