"""The kill storm, short; the long one is `python -m tests.faults kill-storm`."""

import time
from pathlib import Path
from random import Random

import pytest

from tests.faults import oracle
from tests.faults.oracle import Oracle
from tests.faults.storm import kill_storm


def test_what_was_answered_just_before_a_kill_may_come_again_until_it_is_answered_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge = Oracle(Random(1))

    def comes(message_id: str) -> None:
        told = {"id": message_id, "type": "agent.started", "subject": "agent", "sequence": "1", "data": {}}
        judge._note(message_id, told, b"")

    judge._answered_at["long ago"] = time.monotonic() - 2 * oracle._MARKED_WITHIN_S
    judge._answered_at["just now"] = time.monotonic()
    judge.agent_dies()
    monkeypatch.setattr(oracle, "_MARKED_WITHIN_S", -1.0)  # by now all that was answered was so long ago
    judge.agent_dies()
    comes("just now")
    assert judge.late_repeats == 0, "the second agent was never answered"
    comes("long ago")
    assert judge.late_repeats == 1


@pytest.mark.timeout(180)
async def test_nothing_is_lost_or_evaluated_twice_over_kills_cut_links_and_reloads(tmp_path: Path) -> None:
    a_round = {"kill": 3, "cut": 3, "reload": 2, "kill the broker": 1}
    result = await kill_storm(tmp_path, seconds=0, seed=7, a_round=a_round)
    assert result.good, result
    assert result.figures["repeats that were known"] > 0, "the broker has to send again, else it shows nothing"
    assert result.figures["requests"] > result.figures["told"], "and answers have to get lost"


@pytest.mark.timeout(180)
async def test_the_storm_catches_an_agent_without_a_ledger(tmp_path: Path) -> None:
    """One that acknowledges early is caught in test_device.py, and by the whole campaign."""
    result = await kill_storm(tmp_path, seconds=0, seed=7, mutant="no-ledger", a_round={"kill": 1, "cut": 3})
    assert result.duplicates, result
