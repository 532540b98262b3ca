"""What a goal makes of the figures."""

from pathlib import Path

from bench import figures, report, table
from bench.__main__ import command
from bench.contenders.bellcrank import BELLCRANK
from bench.contenders.node_red import NODE_RED
from bench.contenders.noop import NOOP
from bench.figures import Figure
from bench.goals import GOALS, Goal, Results, Spread, by_cpu, measured, reached

RATIO = Goal(BELLCRANK, figures.WEBHOOKS, at_least=1.5, times=NODE_RED)
LOSS = Goal(BELLCRANK, figures.LOST_LIMITS, at_most=0, more_than=NOOP)
BYTES = Goal(BELLCRANK, figures.WRITTEN_FLOOD, at_most=3000)


def results(figure: Figure, **rounds: list[float]) -> Results:
    names = {"ours": BELLCRANK.name, "node_red": NODE_RED.name, "noop": NOOP.name}
    return {names[who]: {figure: dict(enumerate(values, 1))} for who, values in rounds.items()}


def test_a_ratio_is_that_of_the_same_round() -> None:
    found = measured(RATIO, results(figures.WEBHOOKS, ours=[300, 100, 200], node_red=[100, 50, 200]))
    assert found == Spread(1, 2, 3)
    assert reached(RATIO, found)


def test_a_round_in_which_one_of_them_failed_makes_no_ratio() -> None:
    ours, theirs = {1: 300.0, 3: 100.0}, {2: 1.0, 3: 50.0}
    found = {BELLCRANK.name: {figures.WEBHOOKS: ours}, NODE_RED.name: {figures.WEBHOOKS: theirs}}
    assert measured(RATIO, found) == Spread(2, 2, 2)


def test_no_more_than_a_peer_may_well_be_nothing() -> None:
    found = measured(LOSS, results(figures.LOST_LIMITS, ours=[0, 0, 2], noop=[0, 1, 0]))
    assert found == Spread(-1, 0, 2)
    assert reached(LOSS, found)


def test_the_median_has_to_reach_the_bound() -> None:
    found = measured(BYTES, results(figures.WRITTEN_FLOOD, ours=[2000, 3001, 4000]))
    assert found == Spread(2000, 3001, 4000)
    assert not reached(BYTES, found)


def test_what_was_not_measured_reaches_nothing_and_is_said() -> None:
    only_ours = results(figures.WEBHOOKS, ours=[300])
    assert measured(RATIO, only_ours) is None
    assert "| bellcrank | webhooks in a flood | at least 1.5 x Node-RED | not measured |" in table.goals(only_ours)


def test_the_page_tells_its_command_the_peers_and_those_that_are_missing(tmp_path: Path) -> None:
    page = tmp_path / "bench.md"
    found = results(figures.WEBHOOKS, ours=[300, 400, 500])
    missing, made = {NODE_RED: "there is no npm"}, "python -m bench --rounds 3"
    report.write(page, report.Report(found, {BELLCRANK: ""}, missing, ["kill of x"], made, 3, 0.25))
    text = page.read_text()
    assert "python -m bench --rounds 3" in text
    assert "400 (300 to 500)" in text
    assert "**Node-RED** could not be installed: there is no npm" in text
    assert "Not measured: kill of x" in text
    assert str(tmp_path) not in text
    assert (tmp_path / "images" / "bench.svg").exists()


def test_the_command_of_the_page_names_no_folder_of_this_machine() -> None:
    assert command(["--rounds", "3", "--peers", "/somewhere", "--write", "docs/bench.md"]) == (
        "python -m bench --rounds 3 --write docs/bench.md"
    )


def test_a_rate_is_told_by_cpu_time_too() -> None:
    ours, theirs = {figures.CPU: {1: 0.5, 2: 0.25}}, {figures.CPU: {1: 1.0, 2: 1.0}}
    assert by_cpu(RATIO, {BELLCRANK.name: ours, NODE_RED.name: theirs}) == Spread(2, 3, 4)
    assert by_cpu(BYTES, {BELLCRANK.name: ours}) is None


def test_every_goal_has_one_bound() -> None:
    assert all((goal.at_least is None) != (goal.at_most is None) for goal in GOALS)
