"""Which delivery goes next: order within a subject, fairness across, few in memory."""

from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model import Delivery, Ending, Settlement
from agent.outbox.batch import Gone
from agent.outbox.lanes import LOADED_BYTES_MAX, LOADED_MAX, LOADED_MIN, Head, Lane, Lanes


def delivery(number: int, subject: str = "a", due_at: float = 0.0) -> Delivery:
    return Delivery(number, "ops", number, f"evt_{number}", subject, b"", due_at, 1e9, due_at)


def gone(*deliveries: Delivery) -> list[Gone]:
    return [Gone(one.id, one.webhook, one.subject) for one in deliveries]


class File:
    """What the store does for lanes, as a list."""

    def __init__(self) -> None:
        self.rows: list[Delivery] = []
        self.gone: set[int] = set()

    def fill(self, lanes: Lanes, lane: Lane, limit: int = 4) -> None:
        if not lane.loaded:
            rows = [d for d in self.rows if d.subject == lane.subject and d.id > lane.last_id and d.id not in self.gone]
            lanes.loaded(lane, rows[:limit], more=len(rows) >= limit)


def test_a_subject_gives_one_delivery_at_a_time_in_order() -> None:
    lanes = Lanes()
    for number in (1, 2):
        lanes.push(delivery(number))
    (lane,) = lanes.take_due(10, 8)
    assert lane.loaded[0].id == 1
    assert lanes.take_due(10, 8) == []
    lanes.settle(Settlement(lane.loaded[0], Ending.DELIVERED))
    (lane,) = lanes.take_due(10, 8)
    assert lane.loaded[0].id == 2


def test_a_failed_delivery_blocks_its_subject_alone_until_it_is_due() -> None:
    lanes = Lanes()
    lanes.push(delivery(1, "a"))
    lanes.push(delivery(2, "a"))
    lanes.push(delivery(3, "b"))
    first, _ = lanes.take_due(10, 8)
    lanes.settle(Settlement(first.loaded[0], Ending.AGAIN, due_at=50, attempts=1))
    assert lanes.next_due() == 50
    assert lanes.take_due(49, 8) == []
    (lane,) = lanes.take_due(50, 8)
    assert (lane.loaded[0].id, lane.loaded[0].attempts) == (1, 1)


def test_what_was_dropped_is_lent_no_more_and_its_lane_goes_on_with_what_is_left() -> None:
    lanes, file = Lanes(), File()
    file.rows = [delivery(number, subject) for number, subject in enumerate("aaabbc", 1)]
    for row in file.rows[:3]:
        lanes.push(row)
    lanes.restore(Head("b", 4, 0.0, 0.0, held=True))
    lanes.restore(Head("c", 6, 50.0, 0.0, held=True))
    file.gone = {1, 3, 4, 6}
    b, c = lanes.forget(gone(*(row for row in file.rows if row.id in file.gone), delivery(8, "d")))
    lanes.refresh(b, Head("b", 5, 9.0, 4.0, held=False))
    lanes.refresh(c, None)
    assert (len(lanes), lanes.next_due(), lanes.oldest()) == (2, 0.0, 0.0)
    taken = lanes.take_due(10, 8)
    for lane in taken:
        file.fill(lanes, lane)
    assert sorted(lane.loaded[0].id for lane in taken) == [2, 5]
    assert sorted(lanes.lent()) == [2, 5]


def test_a_dead_letter_frees_its_subject() -> None:
    lanes = Lanes()
    lanes.push(delivery(1))
    lanes.push(delivery(2))
    (lane,) = lanes.take_due(10, 8)
    lanes.settle(Settlement(lane.loaded[0], Ending.DEAD))
    assert lanes.take_due(10, 8)[0].loaded[0].id == 2


def test_a_busy_subject_does_not_starve_the_others() -> None:
    lanes = Lanes()
    for number in range(1, 100):
        lanes.push(delivery(number, "busy", due_at=1.0))
    for number in range(100, 110):
        lanes.push(delivery(number, f"quiet{number}", due_at=2.0))
    seen = set()
    for turn in range(30):
        for lane in lanes.take_due(10.0 + turn, 1):
            seen.add(lane.subject)
            lanes.settle(Settlement(lane.loaded[0], Ending.DELIVERED))
    assert len(seen) == 11


def test_what_was_held_is_due_when_the_webhook_answers() -> None:
    lanes = Lanes()
    lanes.push(delivery(1, "a"))
    lanes.push(delivery(2, "b"))
    a, b = lanes.take_due(10, 2)
    lanes.settle(Settlement(a.loaded[0], Ending.AGAIN, due_at=900, held=True))
    lanes.settle(Settlement(b.loaded[0], Ending.AGAIN, due_at=900))
    lanes.release(11)
    assert [lane.subject for lane in lanes.take_due(11, 8)] == ["a"]


def test_all_that_waits_is_due_when_the_webhook_begins_anew() -> None:
    lanes = Lanes()
    for number, subject in enumerate("abc", 1):
        lanes.push(delivery(number, subject))
    for lane in lanes.take_due(10, 2):
        lanes.settle(Settlement(lane.loaded[0], Ending.AGAIN, due_at=900, held=lane.subject == "a"))
    lanes.release(11, every=True)
    assert sorted(lane.subject for lane in lanes.take_due(11, 8)) == ["a", "b", "c"]


def test_what_was_lent_to_a_courier_that_is_no_more_is_lent_again_as_it_was() -> None:
    lanes = Lanes()
    lanes.push(delivery(1, "a", due_at=5.0))
    lanes.push(delivery(2, "b", due_at=6.0))
    lanes.take_due(10, 1)
    lanes.take_turn()
    assert lanes.take_due(10, 8) == []
    lanes.take_back()
    assert [(lane.subject, lane.due_at) for lane in lanes.take_due(10, 8)] == [("a", 5.0), ("b", 6.0)]


def test_the_subjects_take_turns_to_probe_due_or_not() -> None:
    lanes = Lanes()
    for number, subject in enumerate("abc", 1):
        lanes.push(delivery(number, subject))
    turns = []
    for _ in range(6):
        lane = lanes.take_turn()
        assert lane is not None
        turns.append(lane.subject)
        lanes.settle(Settlement(lane.loaded[0], Ending.AGAIN, due_at=9e9))
    assert turns == list("abcabc")


def test_few_deliveries_are_held_in_memory_however_many_wait() -> None:
    lanes, file = Lanes(), File()
    for number in range(1, LOADED_MAX * 4):
        row = delivery(number, f"s{number % 3}")
        file.rows.append(row)
        lanes.push(row)
    assert sum(len(lane.loaded) for lane in lanes._lanes.values()) <= LOADED_MAX


def test_large_bodies_are_held_in_memory_up_to_so_many_bytes() -> None:
    lanes, large = Lanes(), LOADED_BYTES_MAX // 8
    for number in range(1, 21):
        lanes.push(replace(delivery(number, f"s{number}"), body=b"x" * large))
    held = [one for lane in lanes._lanes.values() for one in lane.loaded]
    assert len(held) == 8
    for lane in lanes.take_due(10, 4):
        lanes.settle(Settlement(lane.loaded[0], Ending.DELIVERED))
    assert lanes.room > 1


def test_the_webhooks_share_the_memory_and_none_has_less_than_some() -> None:
    for webhooks, held in ((2, LOADED_MAX // 2), (1000, LOADED_MIN)):
        lanes = Lanes()
        lanes.share(webhooks)
        for number in range(1, LOADED_MAX * 2):
            lanes.push(replace(delivery(number, f"s{number % 3}"), body=b""))
        assert sum(len(lane.loaded) for lane in lanes._lanes.values()) == held


@given(st.data())
def test_every_delivery_goes_once_and_in_order_within_its_subject(  # noqa: C901
    data: st.DataObject,
) -> None:
    lanes, file, number, now = Lanes(), File(), 0, 0.0
    went: defaultdict[str, list[int]] = defaultdict(list)
    lent: list[Lane] = []
    for _ in range(data.draw(st.integers(1, 60))):
        now += 1
        match data.draw(st.sampled_from(["push", "take", "turn", "settle", "again", "release"])):
            case "push":
                number += 1
                row = delivery(number, data.draw(st.sampled_from("abc")), now)
                file.rows.append(row)
                lanes.push(row)
            case "take":
                taken = lanes.take_due(now, 2)
                for lane in taken:
                    file.fill(lanes, lane)
                lent += taken
            case "turn":
                if turn := lanes.take_turn():
                    file.fill(lanes, turn)
                    lent.append(turn)
            case "settle" if lent:
                lane = lent.pop(0)
                first = lane.loaded[0]
                went[first.subject].append(first.id)
                file.gone.add(first.id)
                lanes.settle(Settlement(first, Ending.DELIVERED))
            case "again" if lent:
                lane = lent.pop()
                lanes.settle(Settlement(lane.loaded[0], Ending.AGAIN, due_at=now + 3, held=True))
            case "release":
                lanes.release(now)
    for lane in lent:
        file.gone.add(lane.loaded[0].id)
        went[lane.subject].append(lane.loaded[0].id)
        lanes.settle(Settlement(lane.loaded[0], Ending.DELIVERED))
    while taken := lanes.take_due(9e9, 1):
        file.fill(lanes, taken[0])
        if not taken[0].loaded:
            lanes.drop(taken[0])
            continue
        file.gone.add(taken[0].loaded[0].id)
        went[taken[0].subject].append(taken[0].loaded[0].id)
        lanes.settle(Settlement(taken[0].loaded[0], Ending.DELIVERED))
    assert len(lanes) == 0
    for subject in "abc":
        assert went[subject] == [row.id for row in file.rows if row.subject == subject]


def test_what_was_given_up_is_not_lent_and_no_longer_the_oldest() -> None:
    lanes = Lanes()
    rows = [delivery(1, "a", 1.0), delivery(2, "a", 2.0), delivery(3, "b", 3.0), delivery(4, "a", 4.0)]
    for row in rows:
        lanes.push(row)
    assert lanes.forget(gone(rows[0], rows[1])) == []
    assert lanes.oldest() == 3.0
    assert [lane.loaded[0].id for lane in lanes.take_due(10, 8)] == [3, 4]
    assert lanes.forget(gone(rows[2])) == [], "what is lent is not asked back"
    assert len(lanes) == 2


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("given_back", ["settled", "taken back"])
def test_what_was_given_up_while_it_was_lent_is_not_lent_again(given_back: str, *, ordered: bool) -> None:
    lanes = Lanes(ordered=ordered)
    first, second = delivery(1, "a"), delivery(2, "a")
    lanes.push(first)
    lanes.take_due(10, 1)
    lanes.push(second)
    lanes.forget(gone(first))
    if given_back == "settled":
        lanes.settle(Settlement(first, Ending.AGAIN, due_at=10, attempts=1))
    else:
        lanes.take_back()
    assert [lane.loaded[0].id for lane in lanes.take_due(20, 8)] == [2]


def test_a_lane_of_which_nothing_is_left_is_dropped() -> None:
    lanes = Lanes()
    lanes.push(delivery(1, "a", 1.0))
    lanes.forget(gone(delivery(1, "a")))
    assert (len(lanes), lanes.next_due(), lanes.oldest()) == (0, None, None)


@pytest.mark.parametrize(
    ("head", "oldest", "due"),
    [
        (Head("a", 9, 40.0, 9.0, held=False), 9.0, 40.0),
        (Head("a", 5, 40.0, 5.0, held=True), 5.0, 7.0),
        (None, None, None),
    ],
)
def test_of_a_lane_that_only_the_file_knows_the_file_tells_what_is_first(
    head: Head | None, oldest: float | None, due: float | None
) -> None:
    """The head that memory has is better known there, as the file does not have its last mark yet."""
    lanes = Lanes()
    lanes.restore(Head("a", 5, 7.0, 5.0, held=False))
    (lane,) = lanes.forget(gone(delivery(5, "a")))
    lanes.refresh(lane, head)
    assert (lanes.oldest(), lanes.next_due()) == (oldest, due)


def test_what_is_read_from_the_file_late_is_clamped_and_released_as_the_rest_was() -> None:
    lanes = Lanes()
    lanes.clamp(500.0)
    lanes.release(10.0)
    lanes.restore(Head("a", 1, 900.0, 1.0, held=False))
    lanes.restore(Head("b", 2, 900.0, 1.0, held=True))
    assert [lane.due_at for lane in lanes._lanes.values()] == [500.0, 0.0]
    lanes.release(10.0, every=True)
    lanes.restore(Head("c", 3, 900.0, 1.0, held=False))
    assert lanes._lanes["c"].due_at == 0.0


def test_what_is_owed_of_a_subject_that_is_yet_to_be_read_waits_for_that() -> None:
    lanes = Lanes()
    lanes.behind = "m"
    lanes.push(delivery(7, "z"))
    lanes.push(delivery(8, "b"))
    assert [lane.loaded[0].id for lane in lanes.take_due(10, 8)] == [8]
    lanes.restore(Head("z", 3, 0.0, 0.0, held=False))
    (lane,) = lanes.take_due(10, 8)
    assert (lane.subject, lane.last_id, lane.more) == ("z", 2, True)


def test_however_many_have_failed_few_are_held_in_memory_and_keep_their_count() -> None:
    lanes, file = Lanes(), File()
    lanes.share(LOADED_MAX)  # so that each has the least
    for number in range(1, LOADED_MIN * 2):
        row = delivery(number, f"s{number}")
        file.rows.append(delivery(number, f"s{number}"))
        lanes.push(row)
    while taken := lanes.take_due(10, 8):
        for lane in taken:
            file.fill(lanes, lane, lanes.room)
            lanes.settle(Settlement(lane.loaded[0], Ending.AGAIN, due_at=50, attempts=3, refusals=1, held=True))
    assert sum(len(lane.loaded) for lane in lanes._lanes.values()) <= LOADED_MIN
    again = []
    while taken := lanes.take_due(60, 8):
        for lane in taken:
            file.fill(lanes, lane, lanes.room)
            first = lane.loaded[0]
            again.append((first.attempts, first.refusals, first.held))
            lanes.settle(Settlement(first, Ending.DELIVERED))
    assert again == [(3, 1, True)] * (LOADED_MIN * 2 - 1)


def test_places_in_the_order_that_are_void_do_not_pile_up() -> None:
    lanes = Lanes()
    for number in range(1, 100):
        lanes.push(delivery(number, f"s{number}", 1e6))
    for now in range(100):
        lanes.release(float(now), every=True)
    assert len(lanes._order) <= 2 * 99 + LOADED_MAX


def test_without_order_the_deliveries_of_one_subject_go_at_once_and_each_for_itself() -> None:
    lanes = Lanes(ordered=False)
    for number in range(1, 5):
        lanes.push(delivery(number, "a", float(number)))
    first, second, third = lanes.take_due(10, 3)
    lanes.settle(Settlement(first.loaded[0], Ending.AGAIN, due_at=20))
    lanes.settle(Settlement(second.loaded[0], Ending.DELIVERED))
    assert [lane.loaded[0].id for lane in lanes.take_due(10, 3)] == [4]
    assert (lanes.next_due(), third.lent, len(lanes)) == (20, True, 3)


def test_without_order_one_that_is_to_wait_hides_none_that_the_file_has_before_it() -> None:
    lanes = Lanes(ordered=False)
    for number in range(1, LOADED_MAX + 10):
        lanes.push(delivery(number, "a", 1.0))
    late = delivery(LOADED_MAX + 10, "a", 50.0)
    late.created_at = 1.0
    lanes.push(late)
    assert (lanes.more, lanes.last_id, len(lanes)) == (True, LOADED_MAX, LOADED_MAX + 1)


@given(st.data(), st.booleans())
def test_the_oldest_is_known_whatever_came_and_left_since_it_was_asked_for(data: st.DataObject, ordered: bool) -> None:
    lanes = Lanes(ordered=ordered)
    steps = data.draw(st.lists(st.sampled_from(["push", "settle", "fail", "restore", "refill"]), max_size=30))
    for number, what in enumerate(steps):
        if what == "push":
            lanes.push(delivery(number, f"s{data.draw(st.integers(0, 3))}", float(number)))
        elif what == "restore":
            lanes.restore(
                Head(f"from file {number}", 1000 + number, 0.0, float(data.draw(st.integers(-99, -1))), False)
            )
        elif what == "refill" and not ordered:
            lanes.refill([delivery(2000 + number, "a", float(data.draw(st.integers(-99, -1))))], 2000 + number, False)
        elif lent := [lane for lane in lanes.take_due(1e6, 1) if lane.loaded]:
            ending = Ending.DELIVERED if what == "settle" else Ending.AGAIN
            lanes.settle(Settlement(lent[0].loaded[0], ending, due_at=1e5))
        assert lanes.oldest() == min((lane.created_at for lane in lanes._lanes.values()), default=None)
