"""`python -m agent.install.outbox keep|put-back CONFIG COPY`: what an update does to the outbox of a stopped agent.

It runs as the user of the agent, and as a program of the version that can read the outbox: the old one.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from agent import control_socket
from agent.outbox.schema import VERSION, version_of

_PARTS = ("", "-wal")
"""The database, and what is committed but not yet in it: there after a power cut only."""


def keep(path: Path, copy: Path) -> str:
    """Copy the outbox, whole, as nobody writes to it. Raises OSError."""
    if not path.exists():
        return f"there is no {path} yet"
    for here, there in _pairs(path, copy):
        there.unlink(missing_ok=True)
        if here.exists():
            there.touch(0o600)
            shutil.copyfile(here, there)
    return f"{path} is kept as {copy}"


def put_back(path: Path, copy: Path) -> str:
    """Put the copy in the place of an outbox that this version cannot read; what lay there stays beside it.

    Otherwise the outbox stays, with all that was told since. Raises OSError.
    """
    if not path.exists() or version_of(path) <= VERSION:
        return f"{path} stays as it is"
    if not copy.exists():
        raise FileNotFoundError(2, f"its schema is newer than {VERSION}, and there is no copy of before", str(copy))
    for there, here in _pairs(path, copy):
        if there.exists():
            there.replace(there.with_name(f"{there.name}.newer"))
        if here.exists():
            there.touch(0o600)
            shutil.copyfile(here, there)
    return f"{copy} is {path} again; what was told since is in {path}.newer"


def _pairs(path: Path, copy: Path) -> Iterator[tuple[Path, Path]]:
    return ((path.with_name(path.name + part), copy.with_name(copy.name + part)) for part in _PARTS)


def main(verb: str, config: str, copy: str) -> int:
    """Returns the exit code."""
    path = control_socket.state_dir(Path(config)) / "outbox.db"
    try:
        said = {"keep": keep, "put-back": put_back}[verb](path, Path(copy))
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return 1
    print(said)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
