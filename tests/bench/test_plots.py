"""What the benches draw."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.plots import COLOURS, INK, Bar, Panel, bars, lines

BARS = [Bar("ours", 90, 100, 120, ours=True), Bar("theirs", 40, 50, 60)]
PANELS = [
    Panel("CPU, us a reading", {"steady": [(0, 50), (10, 51), (1000, 49)]}),
    Panel("bytes written", {"none": [(0, 0), (10, 0), (1000, 0)]}),
]


def texts(path: Path) -> set[str]:
    return {element.text for element in ET.parse(path).iter() if element.tag.endswith("}text") and element.text}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of each kind."""
    folder = tmp_path_factory.mktemp("plots")
    bars(folder / "bars.svg", "In a flood", "webhooks/s", BARS)
    lines(folder / "lines.svg", "Waiting", "waiting", PANELS)
    return folder


def test_the_same_figures_give_the_same_bytes(drawn: Path, tmp_path: Path) -> None:
    lines(tmp_path / "again.svg", "Waiting", "waiting", PANELS)
    assert (tmp_path / "again.svg").read_bytes() == (drawn / "lines.svg").read_bytes()


def test_bars_name_their_contenders_and_set_ours_apart(drawn: Path) -> None:
    assert {"In a flood", "webhooks/s", "ours", "theirs", "100", "50"} <= texts(drawn / "bars.svg")
    assert (drawn / "bars.svg").read_text(encoding="utf-8").count(f"fill: {COLOURS[0]}") == 1


def test_a_cause_of_zero_has_its_place_and_a_cost_of_zero_stays_out(drawn: Path) -> None:
    assert {"CPU, us a reading", "bytes written", "0", "10", "1k"} <= texts(drawn / "lines.svg")


def test_a_plot_has_colours_for_dark_pages_too(drawn: Path) -> None:
    text = (drawn / "lines.svg").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert f"fill: {INK}" in text.partition("</style>")[2]
