"""Where an agent has its things, by its name; and when it is ready."""

from pathlib import Path

import pytest

from agent.install.ready import Seen, Waiting, why_late
from agent.service import Service

GOOD = Seen("active", "success", "7", 0, "0", "ready")


def test_the_units_and_files_of_an_agent_lead_to_it_and_back() -> None:
    for service in (Service(), Service("garage")):
        assert Service.of_unit(service.unit) == service
        assert Service.of_config(service.config) == service
    assert Service.of_unit("bellcrank@.service") is None
    assert Service.of_unit("mosquitto.service") is None
    assert Service.of_config(Path("/home/pi/bellcrank.yaml")) is None


@pytest.mark.parametrize("name", ["", "bellcrank", "secrets", "a/b", "..", "-x", "x" * 33, "a b", "a%b"])
def test_what_can_be_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name an agent"):
        Service.named(name)


def test_an_agent_is_ready_when_it_stays_so() -> None:
    waiting = Waiting(3)
    assert [waiting.look(GOOD) for _ in range(3)] == [None, None, ""]


def test_a_process_that_comes_in_between_begins_the_waiting_anew() -> None:
    waiting = Waiting(2)
    assert waiting.look(GOOD) is None
    assert waiting.look(GOOD._replace(pid="8")) is None
    assert waiting.look(GOOD._replace(pid="8")) == ""


@pytest.mark.parametrize(
    "bad", [GOOD._replace(active="activating"), GOOD._replace(answer="not ready"), GOOD._replace(answer="")]
)
def test_it_is_not_ready_before_systemd_and_the_agent_both_say_so(bad: Seen) -> None:
    waiting = Waiting(1)
    assert waiting.look(bad) is None
    assert waiting.look(GOOD) == ""


def test_one_that_is_not_started_again_need_not_be_waited_for() -> None:
    ended = Seen("failed", "exit-code", "0", 0, "78", "")
    assert Waiting(1).look(ended) == "it ended with the exit code 78 (exit-code) and is not started again"


def test_one_that_ends_again_and_again_need_not_be_waited_for() -> None:
    waiting = Waiting(1)
    assert waiting.look(Seen("activating", "exit-code", "0", 1, "1", "")) is None
    starting = Seen("activating", "success", "9", 2, "0", "")
    assert waiting.look(starting) == "it ends again and again, the last time with the exit code 1 (exit-code)"


def test_who_has_waited_long_enough_is_told_what_was_seen() -> None:
    assert why_late(GOOD._replace(answer="not ready")) == "systemd says active, it says 'not ready'"
    assert why_late(GOOD._replace(answer="")) == "systemd says active, nobody answers at its control socket"
