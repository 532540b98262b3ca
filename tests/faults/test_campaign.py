"""The campaign as a whole: what it lists, keeps and writes."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.campaign import FAULTS, Record, run
from tests.faults.fault import Fault, Result
from tests.faults.mutants import MUTANTS, mutated
from tests.faults.reloads import change
from tests.faults.table import page
from tests.support.waiting import until


async def broken(_folder: Path, *, seconds: float, seed: int, mutant: str | None = None) -> Result:
    raise ZeroDivisionError(f"{seconds} {seed} {mutant}")


async def seen(_folder: Path, *, seconds: float, seed: int, mutant: str | None = None) -> Result:
    return Result(strikes=seed, lost=int(mutant == "no-ledger"), figures={"seconds": seconds})


SEEN = Fault("seen", "something happens", "strikes", seen, ("no-ledger", "marks-lost"))


def test_each_fault_must_catch_mutants_that_there_are() -> None:
    for fault in FAULTS.values():
        assert fault.mutants, f"{fault.name} has to catch something, else it shows nothing"
        assert set(fault.mutants) <= set(MUTANTS) or fault.name.startswith("fuzz-"), "those have their own"


@pytest.mark.parametrize("mutant", MUTANTS)
def test_each_mutant_replaces_what_there_is_and_puts_it_back(mutant: str) -> None:
    before = [getattr(what, name) for what, name, _ in MUTANTS[mutant]]
    with mutated(mutant):
        assert all(getattr(what, name) is new for what, name, new in MUTANTS[mutant])
    assert [getattr(what, name) for what, name, _ in MUTANTS[mutant]] == before


def test_a_run_that_breaks_off_is_a_broken_promise_and_is_told() -> None:
    record = run(Fault("broken", "it breaks off", "times", broken), seconds=1, seed=2)
    assert not record.good
    assert "ZeroDivisionError" in record.broke_off
    assert "broke off" in page({"broken": Fault("broken", "it breaks off", "times", broken)}, [record])


def test_a_mutant_whose_run_breaks_off_is_not_judged_and_the_table_says_so() -> None:
    fault = Fault("broken", "it breaks off", "times", broken, ("no-ledger",))
    record = run(fault, seconds=1, seed=2, mutant="no-ledger")
    assert (record.good, record.verdict) == (False, "not judged")
    text = page({"broken": fault}, [record])
    assert "no-ledger: **not judged**" in text
    assert "| `broken` | no-ledger | **not judged**: the run broke off: ZeroDivisionError: 1 2 no-ledger |" in text


async def impatient(_folder: Path, *, seconds: float, seed: int, mutant: str | None = None) -> Result:
    await until(lambda: False, 0.0, what=f"progress of {mutant}, {seconds} {seed}")
    return Result()


def test_patience_that_runs_out_catches_only_mutants_that_keep_things_from_going_on() -> None:
    fault = Fault("impatient", "it waits", "times", impatient)
    records = [run(fault, seconds=1, seed=2, mutant=mutant) for mutant in ("feeds-stay-lost", "no-ledger", None)]
    assert [record.verdict for record in records] == ["caught", "not judged", "not judged"]
    assert [record.good for record in records] == [True, False, False]
    assert "not within 0 s: progress" in records[0].why


async def ended(_folder: Path, *, seconds: float, seed: int, mutant: str | None = None) -> Result:
    raise AssertionError(f"it ended by itself; {'it said much; ' * 1000} and then why")


def test_of_a_long_complaint_the_begin_is_kept_and_the_end_where_the_agent_says_why() -> None:
    why = run(Fault("ended", "it ends", "times", ended), seconds=1, seed=2).broke_off
    assert "it ended by itself" in why
    assert why.endswith("and then why")
    assert len(why) < 2000


def test_a_record_is_read_back_as_it_was_kept() -> None:
    record = run(SEEN, seconds=1, seed=2, mutant="no-ledger")
    assert Record.read(record.line()) == record


def test_the_table_shows_runs_and_which_mutants_were_caught() -> None:
    records = [run(SEEN, seconds=1, seed=seed) for seed in (2, 3)]
    records += [run(SEEN, seconds=1, seed=1, mutant=mutant) for mutant in SEEN.mutants]
    row = next(line for line in page({"seen": SEEN}, records).splitlines() if line.startswith("| `seen`"))
    assert "| 2 | 5 strikes | 0 | 0 | 0 | no-ledger: caught; marks-lost: **not caught** |" in row


def test_a_fault_that_was_not_run_has_a_row_that_says_so() -> None:
    assert "| something happens | not run | - | - |" in page({"seen": SEEN}, [])
    skipped = replace(run(SEEN, seconds=1, seed=1), skipped="no mount here")
    assert "| something happens | no mount here |" in page({"seen": SEEN}, [skipped])


def test_a_changed_configuration_is_in_the_end_what_it_was(tmp_path: Path) -> None:
    config = tmp_path / "bellcrank.yaml"
    config.write_text("sources:\n  a: {driver: mqtt, topic: 'a/{b}'}\nwebhooks:\n  ops: {url: !secret url}\n")
    before = config.read_text()
    change(config)
    assert "concurrency: 3" in config.read_text()
    assert "reloaded: once" in config.read_text()
    assert config.stat().st_mode & 0o777 == 0o600
    change(config)
    assert config.read_text().split() == before.split()
