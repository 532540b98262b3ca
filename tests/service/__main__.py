"""`python -m tests.service --root DIR --wheels DIR`: each check a line, `ok` or `FAILED`, with what was seen."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.service import releases
from tests.service.checks import CHECKS
from tests.service.machine import Machine, Unmet

_WHICH = '. /etc/os-release; echo "$PRETTY_NAME, $(systemctl --version | head -1)"'
_BREAK = 'raise RuntimeError("broken on purpose")'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="a Debian with systemd and python3-venv; it is copied")
    parser.add_argument("--wheels", type=Path, required=True, help="all of requirements/run.txt, for its Python")
    parser.add_argument("--keep-going", action="store_true", help="after a check that failed too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bellcrank-service-") as name:
        return prove(asked.root, asked.wheels.absolute(), Path(name), keep_going=asked.keep_going)


def prove(root: Path, wheels: Path, folder: Path, *, keep_going: bool) -> int:
    """Boot, and go through all checks. Returns the exit code."""
    source = releases.unpack(folder / "release")
    built = folder / "releases"
    built.mkdir()
    make_others(source, built)
    failed = 0
    with Machine(root, folder, {source: "/src", wheels: "/wheels", built: "/releases"}) as machine:
        print(f"booted: {machine.says('sh', '-c', _WHICH)}", flush=True)
        for check in CHECKS:
            name = check.__name__.replace("_", " ")
            try:
                print(f"ok      {name}: {check(machine)}", flush=True)
            except Unmet as unmet:
                failed += 1
                print(f"FAILED  {name}: {unmet}", flush=True)
                if not keep_going:
                    break
    print(f"{failed} failed" if failed else f"all {len(CHECKS)} are as they have to be")
    return 1 if failed else 0


def make_others(source: Path, built: Path) -> None:
    """A good newer release, one that cannot start, and one that changes the tables first."""
    releases.wheel(source, built, "0.1.1")
    opens, prepares = r"loaded = await self\._outbox\.open\(self\._clock\)", r"await self\._prepare\(loaded\)"
    releases.wheel(source, built, "0.2.0", agent__app=(opens, _BREAK))
    one_more = (
        'def _future(db: "Database") -> None:\n    db.execute("CREATE TABLE future (id INTEGER)")\n\n\n'
        "_MIGRATIONS = (*_MIGRATIONS, _future)\nVERSION = len(_MIGRATIONS)"
    )
    tables = (r"VERSION = len\(_MIGRATIONS\)", one_more)
    releases.wheel(source, built, "0.3.0", agent__app=(prepares, _BREAK), agent__outbox__schema=tables)


if __name__ == "__main__":
    sys.exit(main())
