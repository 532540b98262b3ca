"""The one place that draws: SVG files for the pages in docs/.

The same figures give the same bytes, so that a file changes only where a figure did. Texts stay texts. A file brings
its own background and has both sets of colours: it is readable on a light page and on a dark one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

INK, FAINT, PAPER = "#1f2328", "#d1d9e0", "#ffffff"
COLOURS = ("#2f81c7", "#d97706", "#2a9d6f", "#b45fb8", "#c94f4f")
"""Of bars and lines: told apart by the colour-blind too, and seen on both backgrounds."""
_DARK = {INK: "#e6edf3", FAINT: "#3d444d", PAPER: "#151b23"}
_STYLE = {
    "svg.hashsalt": "bellcrank",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.facecolor": PAPER,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.facecolor": PAPER,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


@dataclass(frozen=True, slots=True)
class Bar:
    """What one contender reached over some rounds."""

    name: str
    low: float
    median: float
    high: float
    ours: bool = False
    """Drawn in the colour that stands out."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One cost over its cause."""

    title: str
    """The cost with its unit."""
    lines: Mapping[str, Sequence[tuple[float, float]]]
    """Name to (cause, cost) points, by rising cause. What is not above 0 has no place on a log scale and is left out,
    but for the cause: 0 stands at the left end."""


def bars(path: Path, title: str, unit: str, contenders: Sequence[Bar]) -> None:
    """Write a lying bar for each contender as long as its median, with a mark from its lowest to its highest."""
    with style.context(_STYLE):
        figure = Figure(figsize=(7.6, 0.9 + 0.42 * len(contenders)), layout="constrained")
        axes = figure.subplots()
        names = [bar.name for bar in contenders]
        medians = [bar.median for bar in contenders]
        marks = [[bar.median - bar.low for bar in contenders], [bar.high - bar.median for bar in contenders]]
        colours = [COLOURS[0] if bar.ours else "#8b949e" for bar in contenders]
        axes.barh(names, medians, color=colours, height=0.62)
        axes.errorbar(medians, range(len(names)), xerr=marks, fmt="none", ecolor=INK, elinewidth=1, capsize=3)
        for place, bar in enumerate(contenders):
            axes.annotate(f"{bar.median:,.4g}", (bar.high, place), (6, 0), textcoords="offset points", va="center")
        axes.margins(x=0.12)
        axes.set_xlim(left=0)
        axes.invert_yaxis()
        axes.set_xlabel(unit)
        axes.xaxis.set_major_formatter(FuncFormatter(_number))
        axes.set_title(title)
        axes.grid(axis="x")
        axes.tick_params(length=0)
        _write(figure, path)


def lines(path: Path, title: str, cause: str, panels: Sequence[Panel]) -> None:
    """Write growth plots side by side, log-log, each with a dashed line of what grows just as its cause does."""
    with style.context(_STYLE):
        columns = min(3, len(panels))
        rows = -(-len(panels) // columns)
        figure = Figure(figsize=(3.4 * columns + 0.6, 2.7 * rows + 0.5), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            _panel(axes, panel, cause)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        _write(figure, path)


def _panel(axes: Axes, panel: Panel, cause: str) -> None:
    drawn = {name: [(x, y) for x, y in points if y > 0] for name, points in panel.lines.items()}
    axes.set_yscale("log")
    _scale_cause(axes, [x for points in panel.lines.values() for x, _ in points])
    for (name, points), colour in zip(drawn.items(), COLOURS * len(drawn), strict=False):
        axes.plot([x for x, _ in points], [y for _, y in points], "o-", color=colour, markersize=4, label=name)
    _room(axes, [y for points in drawn.values() for _, y in points])
    _reference(axes, next(iter(drawn.values()), []))
    axes.set_title(panel.title)
    axes.set_xlabel(cause)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(_number))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(which="major")
    axes.tick_params(which="both", length=0)
    if len(drawn) > 1:
        axes.legend()


def _number(value: float, _: object = None) -> str:
    """As short as an axis wants it: 0.5, 250, 10k, 1M."""
    for unit, sign in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{sign}"
    return f"{value:g}"


def _scale_cause(axes: Axes, causes: Sequence[float]) -> None:
    if 0 in causes:
        axes.set_xscale("symlog", linthresh=min((x for x in causes if x), default=1))
    else:
        axes.set_xscale("log")


def _room(axes: Axes, costs: Sequence[float]) -> None:
    """Room of a decade each way at least: what is flat shall look flat, and not like mountains of noise."""
    if costs:
        axes.set_ylim(min(costs) / 3, max(max(costs), min(costs) * 10) * 3)


def _reference(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """The line of slope 1 through the first point that has a cause; the limits stay as the figures made them."""
    begun = [(x, y) for x, y in points if x > 0]
    if begun:
        (x, y), (last, _) = begun[0], begun[-1]
        axes.plot([x, last], [y, y * last / x], "--", color="#8b949e", linewidth=1, scaley=False)


def _write(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    text = path.read_text(encoding="utf-8").replace("<defs>", f"{_dark_style()}<defs>", 1)
    path.write_text("".join(f"{line.rstrip()}\n" for line in text.splitlines()), encoding="utf-8")


def _dark_style() -> str:
    """What a viewer that prefers dark pages makes of the colours."""
    rules = "".join(
        f'[style*="{what}: {light}"] {{{what}: {dark} !important}} '
        for light, dark in _DARK.items()
        for what in ("fill", "stroke")
    )
    return f'<style type="text/css">@media (prefers-color-scheme: dark) {{ {rules}}}</style>\n '
