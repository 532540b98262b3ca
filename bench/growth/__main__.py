"""How cost grows with its cause: `python -m bench.growth [NAME ... | all] [--write docs/growth.md]`.

The page keeps the sections of other causes, and each is written as soon as it is measured.

Needs mosquitto, and the extra `bench`. Prints a table for each cause, and ends with 1 where something grows faster
than its cause, or what has to be flat is not.
"""

import argparse
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from bench.growth.ages import HISTORY
from bench.growth.causes import CAUSES, READINGS
from bench.growth.document import judged, table, write


def main() -> None:
    causes = {cause.name: cause for cause in (*CAUSES, HISTORY)}
    options = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    options.add_argument("names", nargs="*", metavar="NAME", default=["all"], help=f"of {', '.join(causes)}, or all")
    options.add_argument("--points", type=int, nargs="+", help="in place of its own; at least three")
    options.add_argument("--readings", type=int, default=READINGS, help="heard at a time, where they are measured")
    options.add_argument("--write", type=Path, metavar="FILE", help="the page; its plots come into images/ beside it")
    given = options.parse_args()
    if unknown := set(given.names) - {*causes, "all"}:
        options.error(f"there is no {', '.join(sorted(unknown))}")
    if given.points and len(given.points) < 3:
        options.error("growth is seen in three points at least")
    wanted = [cause for cause in causes.values() if "all" in given.names or cause.name in given.names]
    grows = []
    for cause in wanted:
        it = replace(cause, points=tuple(given.points)) if given.points else cause
        begin = time.monotonic()
        figures = it.measure(it.points, given.readings)
        print(f"{it.title}, in {time.monotonic() - begin:.0f} s\n\n{table(it, figures)}", flush=True)
        if given.write:
            write(given.write, {it: figures}, [one.title for one in causes.values()], _further(given))
        grows += [f"{it.name}: {cost.name}" for cost, of in judged(it, figures).items() if not of.passed]
    if grows:
        sys.exit("grows too fast: " + "; ".join(grows))


def _further(given: argparse.Namespace) -> str:
    """The arguments beside names and page, as they were given."""
    points = f" --points {' '.join(map(str, given.points))}" if given.points else ""
    return points + (f" --readings {given.readings}" if given.readings != READINGS else "")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended
    main()
