"""The intake ledger: DESIGN's promise 3, sentence by sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.outbox.ledger import KEPT, UNSAVED_MAX, Ledger, split
from drivers.base import Receipt


def receipt(packet_id: int, content: int = 0, *, dup: bool = False) -> Receipt:
    return Receipt(packet_id, dup, content.to_bytes(6, "big"))


def read(ledger: Ledger, *receipts: Receipt, committed: bool = False) -> None:
    for one in receipts:
        ledger.add(one)
    ledger.install(committed=committed)


def restart(log: bytes) -> Ledger:
    return Ledger(split(log))


def test_a_message_with_the_dup_flag_that_was_read_before_is_known() -> None:
    ledger = Ledger()
    read(ledger, receipt(7, 1))
    assert ledger.knows(receipt(7, 1, dup=True))


def test_a_message_without_the_flag_is_never_known() -> None:
    ledger = Ledger()
    read(ledger, receipt(7, 1))
    assert not ledger.knows(receipt(7, 1))


def test_a_message_with_the_flag_but_other_content_is_not_known() -> None:
    ledger = Ledger()
    read(ledger, receipt(7, 1))
    assert not ledger.knows(receipt(7, 2, dup=True))


def test_a_message_earlier_in_the_same_step_is_known() -> None:
    ledger = Ledger()
    ledger.add(receipt(7, 1))
    assert ledger.knows(receipt(7, 1, dup=True))


def test_a_message_without_the_flag_replaces_the_entry_of_its_packet_id() -> None:
    ledger = Ledger()
    read(ledger, receipt(7, 1))
    read(ledger, receipt(7, 2))
    assert not ledger.knows(receipt(7, 1, dup=True))
    assert ledger.knows(receipt(7, 2, dup=True))


def test_what_a_step_staged_is_gone_when_it_is_discarded() -> None:
    ledger = Ledger()
    ledger.add(receipt(7, 1))
    ledger.discard()
    assert not ledger.knows(receipt(7, 1, dup=True))


def test_an_emptied_ledger_knows_only_what_was_read_since() -> None:
    ledger = Ledger()
    read(ledger, receipt(7, 1))
    ledger.empty()
    assert ledger.due
    assert not ledger.knows(receipt(7, 1, dup=True))
    ledger.add(receipt(8, 1))
    assert ledger.addition() == (True, b"\x00\x08" + receipt(8, 1).digest)
    ledger.install(committed=True)
    assert ledger.knows(receipt(8, 1, dup=True))


def test_a_commit_writes_what_was_read_since_the_last_one_and_no_more() -> None:
    ledger = Ledger()
    read(ledger, receipt(1), committed=True)
    read(ledger, receipt(2))
    read(ledger, receipt(3))
    ledger.add(receipt(4))
    anew, log = ledger.addition()
    assert not anew
    assert [int.from_bytes(entry[:2], "big") for entry in split(log)] == [2, 3, 4]
    ledger.install(committed=True)
    assert ledger.addition() == (False, b"")


def test_the_first_batch_after_a_start_is_committed() -> None:
    ledger = restart(b"")
    assert not ledger.due
    ledger.add(receipt(1))
    assert ledger.due
    ledger.install(committed=True)
    ledger.add(receipt(2))
    assert not ledger.due


def test_a_commit_is_due_before_packet_ids_come_round() -> None:
    ledger = Ledger()
    read(ledger, receipt(1), committed=True)
    for packet_id in range(2, UNSAVED_MAX + 1):
        read(ledger, receipt(packet_id))
    assert not ledger.due
    ledger.add(receipt(1))
    assert ledger.due
    assert len(split(ledger.addition()[1])) == KEPT


def own(content: int, *, dup: bool = False) -> Receipt:
    """The receipt of a message whose sender chose its id."""
    return Receipt(None, dup, content.to_bytes(6, "big"))


@pytest.mark.parametrize("dup", [False, True])
def test_a_message_with_an_id_of_its_own_is_known_with_or_without_the_flag(dup: bool) -> None:
    ledger = Ledger()
    ledger.add(own(1))
    assert ledger.knows(own(1, dup=dup)), "earlier in the same step"
    ledger.install(committed=True)
    assert ledger.knows(own(1, dup=dup))
    assert not ledger.knows(own(2, dup=dup))


def test_ids_do_not_replace_one_another() -> None:
    ledger = Ledger()
    read(ledger, own(1), own(2))
    assert ledger.knows(own(1))
    assert ledger.knows(own(2))


def test_an_id_is_never_taken_for_a_packet_of_the_same_content() -> None:
    ledger = Ledger()
    read(ledger, own(1), receipt(7, 2))
    assert not ledger.knows(receipt(7, 1, dup=True))
    assert not ledger.knows(own(2))


def test_the_last_ids_are_kept_in_memory_and_over_a_restart() -> None:
    ledger = Ledger()
    for content in range(KEPT + 1):
        read(ledger, own(content))
    again = restart(ledger.addition()[1])
    for one in (ledger, again):
        assert not one.knows(own(0))
        assert all(one.knows(own(content)) for content in range(1, KEPT + 1))


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)), max_size=200))
def test_the_log_on_disk_reads_back_as_the_ledger_in_memory(messages: list[tuple[int, int]]) -> None:
    ledger, log = Ledger(), b""
    for packet_id, content in messages:
        ledger.add(receipt(packet_id, content))
        log += ledger.addition()[1]
        ledger.install(committed=True)
    again = restart(log)
    for packet_id in range(1, 51):
        for content in range(10):
            probe = receipt(packet_id, content, dup=True)
            assert again.knows(probe) == ledger.knows(probe)
