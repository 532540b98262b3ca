"""How cost grows: figures, page and plots come out. No figure is judged here."""

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.growth import __main__ as command
from bench.growth.ages import HISTORY
from bench.growth.causes import CAUSES, Cause, Figures
from bench.growth.document import judged, table, write
from bench.growth.judgement import Cost, Growth

WAITING = next(cause for cause in CAUSES if cause.name == "waiting")
STEADY = Cost("a reading", "us of CPU", Growth.FLAT, 1.0)
SQUARE = Cost("memory", "MiB", Growth.LINEAR, 1.0)
MADE_UP = Cause("things", "Things", "Made up.", "things", (1, 10, 100), lambda points, _: made_up(points))


def made_up(points: Sequence[int]) -> list[Figures]:
    return [{STEADY: 50.0, SQUARE: 20.0 + n**2} for n in points]


def test_a_real_agent_gives_figures() -> None:
    (figures,) = HISTORY.measure((1,), 40)
    assert all(figure >= 0 for figure in figures.values())
    assert all(figure > 0 for cost, figure in figures.items() if "CPU" in cost.unit or "MiB" in cost.unit)


def test_the_page_has_a_table_and_a_plot_for_each_cause_and_names_its_command(tmp_path: Path) -> None:
    other, file = replace(MADE_UP, name="others", title="Others", why="It is made up."), tmp_path / "growth.md"
    write(file, {cause: made_up(cause.points) for cause in (MADE_UP, other)}, ["Things", "Others"])
    page = file.read_text(encoding="utf-8")
    assert "## Things\n\nMade by `python -m bench.growth things --write docs/growth.md`. Made up.\n\n| things |" in page
    assert "\n\nIt is made up.\n\n![Others](images/growth-others.svg)\n" in page
    assert "| a reading, us of CPU | 50.0 | 50.0 | 50.0 | 0.00 | flat | holds |" in page
    assert {image.name for image in (tmp_path / "images").iterdir()} == {"growth-things.svg", "growth-others.svg"}


def test_a_cause_that_is_measured_again_leaves_the_others_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, file = replace(MADE_UP, name="others", title="Others"), tmp_path / "growth.md"
    order = ["Things", "Others"]
    write(file, {other: made_up(other.points)}, order)
    write(file, {MADE_UP: made_up(MADE_UP.points)}, order)
    before = file.read_text(encoding="utf-8")
    assert re.findall("^## (.*)", before, re.MULTILINE) == order
    again = replace(MADE_UP, measure=lambda points, _: [{STEADY: 51.0} for _ in points])
    monkeypatch.setattr(command, "CAUSES", (again, other))
    arguments = ["growth", "things", "--points", "1", "2", "3", "--write", str(file)]
    monkeypatch.setattr(sys, "argv", arguments)
    command.main()
    after = file.read_text(encoding="utf-8")
    assert "growth things --points 1 2 3 --write docs/growth.md`" in after
    assert "51.0" in after
    assert after.partition("## Others")[::2] == (after.partition("## Others")[0], before.partition("## Others")[2])


def test_what_grows_with_the_square_of_its_cause_is_caught(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not judged(MADE_UP, made_up(MADE_UP.points))[SQUARE].passed
    assert "**grows too fast**" in table(MADE_UP, made_up(MADE_UP.points))
    monkeypatch.setattr(command, "CAUSES", (MADE_UP,))
    monkeypatch.setattr(sys, "argv", ["growth", "things"])
    with pytest.raises(SystemExit, match="grows too fast: things: memory"):
        command.main()
    assert "| things | 1 | 10 | 100 |" in capsys.readouterr().out
