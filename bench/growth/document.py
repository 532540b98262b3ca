"""The page that tells how cost grows: a table and a plot for each cause."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.growth.causes import Cause, Figures
from bench.growth.judgement import EXPONENT_MAX, FLAT_MAX, Cost, Growth, Judgement, judge
from bench.plots import Panel, lines

_HEAD = f"""# How cost grows

The real agent runs at each point, and, where time itself is the cause, its pipeline and outbox on a clock that is
moved. The absolute figures are those of the machine that it ran on; how they grow is the matter. Under each title
stands the command that made what follows; `python -m bench.growth --write docs/growth.md` makes it all.

*Exponent*: the slope, log-log, between the last two points, of what a cost is above the first point: 1 grows just as
its cause does, 2 with its square, 0 not at all. *Allowed*: `as its cause` is an exponent of at most {EXPONENT_MAX};
`flat` is at most {FLAT_MAX} times the median of the others at the last point. Less than the noise of what is measured
is nothing. In the plots the dashed line is what grows just as its cause does.
"""


def write(page: Path, causes: Mapping[Cause, Sequence[Figures]], order: Sequence[str], arguments: str = "") -> None:
    """Write these causes into the page, and their plots into `images/` beside it; other sections of it are kept.

    `order`: the titles of all causes, as they stand in the page; `arguments`: further ones that these were made with.
    """
    sections = _sections(page.read_text(encoding="utf-8")) if page.exists() else {}
    for cause, figures in causes.items():
        _draw(page.parent / _image(cause), cause, figures)
        sections[cause.title] = _section(cause, figures, arguments)
    page.write_text("\n".join([_HEAD, *(sections[title] for title in order if title in sections)]), encoding="utf-8")


def _sections(text: str) -> dict[str, str]:
    """Title -> what stands in a page from there to the next one."""
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0].removeprefix("## "): part.rstrip("\n") + "\n" for part in parts}


def _section(cause: Cause, figures: Sequence[Figures], arguments: str) -> str:
    command = f"Made by `python -m bench.growth {cause.name}{arguments} --write docs/growth.md`. {cause.what}"
    plot = f"![{cause.title}]({_image(cause)})"
    told = [cause.why] if cause.why else []
    return "\n\n".join([f"## {cause.title}", command, table(cause, figures).rstrip("\n"), *told, plot]) + "\n"


def _image(cause: Cause) -> str:
    return f"images/growth-{cause.name}.svg"


def table(cause: Cause, figures: Sequence[Figures]) -> str:
    """In Markdown."""
    head = [cause.axis, *(f"{point:,}" for point in cause.points), "exponent", "allowed", ""]
    rows = [head, [":--", *["--:"] * (len(cause.points) + 1), ":--", ":--"]]
    for cost, judgement in judged(cause, figures).items():
        cells = [f"{at[cost]:,.{cost.decimals}f}" for at in figures]
        verdict = "holds" if judgement.passed else "**grows too fast**"
        rows.append([f"{cost.name}, {cost.unit}", *cells, f"{judgement.exponent:.2f}", str(cost.growth), verdict])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def judged(cause: Cause, figures: Sequence[Figures]) -> dict[Cost, Judgement]:
    """Each cost with what is to be said of its growth."""
    return {cost: judge(cost, _points(cause, figures, cost)) for cost in figures[0]}


def _points(cause: Cause, figures: Sequence[Figures], cost: Cost) -> list[tuple[float, float]]:
    return [(float(point), at[cost]) for point, at in zip(cause.points, figures, strict=True)]


def _draw(path: Path, cause: Cause, figures: Sequence[Figures]) -> None:
    """One panel for each unit and kind of growth, so that what is beside one another may be compared."""
    panels: dict[tuple[str, Growth], dict[str, list[tuple[float, float]]]] = {}
    for cost in figures[0]:
        panels.setdefault((cost.unit, cost.growth), {})[cost.name] = _points(cause, figures, cost)
    lines(path, cause.title, cause.axis, [_panel(unit, costs) for (unit, _), costs in panels.items()])


def _panel(unit: str, costs: Mapping[str, Sequence[tuple[float, float]]]) -> Panel:
    """Of one cost by its name, of several by their unit."""
    return Panel(unit if len(costs) > 1 else f"{next(iter(costs))}, {unit}", costs)
