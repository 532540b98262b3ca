"""One target, guided by the coverage: `python -m tests.fuzz decoding --inputs 400000 --seed 1`.

Needs the extra `fuzz`. It ends with 0 behind so many inputs, or tells the first that breaks something, with the
traceback, and ends otherwise.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

with atheris.instrument_imports(include=["agent", "drivers"]):
    from tests.fuzz.mutants import MUTANTS
    from tests.fuzz.targets import TARGETS

BYTES_MAX = 512


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    options.add_argument("target", choices=TARGETS)
    options.add_argument("--inputs", type=int, default=-1, help="how many; without it, until the time is over")
    options.add_argument("--seconds", type=int, default=0, help="at most so long; 0: until all inputs are through")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--mutant", action="store_true", help="break the code first, to see it found")
    given = options.parse_args()
    if given.mutant:
        MUTANTS[given.target](setattr)
    target = TARGETS[given.target]
    with tempfile.TemporaryDirectory(prefix="bellcrank-corpus-") as folder:
        for number, seed in enumerate(target.seeds):
            Path(folder, f"seed-{number}").write_bytes(seed)
        bounds = [f"-runs={given.inputs}", f"-max_total_time={given.seconds}", f"-max_len={BYTES_MAX}"]
        atheris.Setup([sys.argv[0], folder, *bounds, f"-seed={given.seed}", f"-artifact_prefix={folder}/"], target.run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
