"""Steps that are really run: what is done, and what is taken back."""

import signal
import sys
from pathlib import Path

import pytest

from agent.install import runner
from agent.install.plan import Plan
from agent.install.steps import step

FAILS = step("Do what cannot be done", "sh", "-c", "echo for a reason >&2; exit 3")


def test_all_is_done_in_order(tmp_path: Path) -> None:
    append = [step(name, "sh", "-c", f"echo {name} >>{tmp_path}/done") for name in ("make", "switch", "tidy", "back")]
    make, switch, tidy, back = append
    assert runner.carry_out(Plan("it", (make,), (switch,), (tidy,), abandon=(back,), back=(back,)))
    assert (tmp_path / "done").read_text().split() == ["make", "switch", "tidy"]


def test_what_fails_before_anything_is_switched_is_cleared_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clear, never = step("Clear away", "touch", tmp_path / "clear"), step("Switch", "touch", tmp_path / "switch")
    assert not runner.carry_out(Plan("it", (FAILS,), (never,), abandon=(clear,), back=(never,)))
    assert [path.name for path in tmp_path.iterdir()] == ["clear"]
    said = capsys.readouterr().out
    assert "FAILED: Do what cannot be done" in said
    assert "    for a reason\nNothing that runs has changed." in said


def test_what_fails_later_is_taken_back_whatever_else_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    undo = step("Undo", "touch", tmp_path / "undone")
    assert not runner.carry_out(Plan("it", (), (FAILS, undo), back=(FAILS, undo), back_says="it is as before"))
    assert (tmp_path / "undone").exists()
    assert "Going back failed too" in capsys.readouterr().out
    assert not runner.carry_out(Plan("it", (), (FAILS,), back=(undo,), back_says="it is as before"))
    assert "it is as before." in capsys.readouterr().out


def test_a_command_that_is_not_there_is_a_step_that_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert not runner.carry_out(Plan("it", (step("Do it", "/nowhere/tool"),), ()))
    assert "FAILED: Do it: /nowhere/tool: No such file or directory" in capsys.readouterr().out


def test_a_connection_that_is_lost_does_not_stop_it_half_way(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    hang_up = step("Lose the connection", "sh", "-c", "kill -HUP $PPID; kill -INT $PPID; kill -TERM $PPID")
    assert runner.carry_out(Plan("it", (), (hang_up, step("Go on", "touch", tmp_path / "done"))))
    assert (tmp_path / "done").exists()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_step_sees_nothing_of_the_checkout_that_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/src")
    seen = "import os, sys; sys.exit('PYTHONPATH' in os.environ or os.getcwd() != '/')"
    runner.run([step("Look", sys.executable, "-c", seen)])
