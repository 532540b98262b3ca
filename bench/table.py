"""The figures as Markdown: goals first, then all that was measured, each as its median and its extremes."""

from collections.abc import Sequence

from bench import figures
from bench.figures import Figure
from bench.goals import GOALS, Goal, Results, Spread, by_cpu, measured, reached, spread

_GROUPS: Sequence[tuple[str, Sequence[Figure]]] = (
    (
        "At work",
        (figures.WEBHOOKS, figures.CPU, figures.P50, figures.P99, figures.RSS_FLOOD, figures.WRITTEN_FLOOD),
    ),
    (
        "Readings that change nothing",
        (figures.READINGS, figures.CPU_READINGS, figures.WRITTEN_READINGS, figures.LOST_LIMITS),
    ),
    ("At rest", (figures.READY, figures.RSS_IDLE, figures.CPU_IDLE, figures.WRITTEN_LONE, figures.RSS_WAITING)),
    ("What is lost", (figures.LOST_AWAY, figures.LOST_KILL)),
)


def goals(results: Results) -> str:
    """Each goal: who, what, what is asked, what was measured, whether it is reached."""
    return table(("who", "what", "asked", "measured", "by CPU", "reached"), [_row(goal, results) for goal in GOALS])


def _row(goal: Goal, results: Results) -> Sequence[str]:
    asked = (goal.contender.name, goal.figure.name, goal.asked)
    found, cpu = measured(goal, results), by_cpu(goal, results)
    if found is None:
        return (*asked, "not measured", "", "")
    return (*asked, told(found), told(cpu) if cpu else "", "yes" if reached(goal, found) else "**no**")


def everything(results: Results) -> str:
    """A table for each group of figures, a row for each contender."""
    parts = []
    for title, group in _GROUPS:
        rows = [
            (name, *(told(spread(found[figure].values())) if found.get(figure) else "" for figure in group))
            for name, found in results.items()
            if any(found.get(figure) for figure in group)
        ]
        if rows:
            heads = ("", *(f"{figure.name}, {figure.unit}" for figure in group))
            parts.append(f"### {title}\n\n{table(heads, rows)}")
    return "\n\n".join(parts)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def told(found: Spread) -> str:
    """The median, and the extremes where they differ."""
    low, median, high = (number(value) for value in found)
    return median if low == high else f"{median} ({low} to {high})"


def number(value: float) -> str:
    """Three digits that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
