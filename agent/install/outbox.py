"""`python -m agent.install.outbox keep|put-back CONFIG COPY`: what an update does to the outbox of a stopped agent.

It runs as the user of the agent, and is a program of the version that can read the outbox: the old one.
"""

import os
import sys
from pathlib import Path

from agent import control_socket
from agent.clock import SystemClock
from agent.outbox import Locked, NewerSchema
from agent.outbox.backup import back_up, put_back
from agent.outbox.inspection import version_of
from agent.outbox.schema import VERSION


def keep(state_dir: Path, copy: Path) -> str:
    """Copy the outbox, checked. Returns a sentence. Raises NewerSchema, OSError."""
    if not (state_dir / "outbox.db").exists():
        return f"there is no outbox in {state_dir} yet"
    size_bytes = back_up(state_dir, copy, replace=True)
    return f"{copy} holds the outbox: {size_bytes} bytes"


def put_back_if_newer(state_dir: Path, copy: Path, wall: float) -> str:
    """Put the copy in the place of an outbox that this version cannot read; any other stays, with all that came since.

    `wall` is Unix seconds. Returns a sentence. Raises Locked, NewerSchema, OSError.
    """
    path = state_dir / "outbox.db"
    if not path.exists() or version_of(path) <= VERSION:
        return f"{path} stays as it is"
    done = put_back(state_dir, copy, wall)
    return f"{copy} is the outbox again; what it replaces lies in {done.replaced}"


def main(verb: str, config: str, copy: str) -> int:
    """Returns the exit code."""
    state_dir = control_socket.likely_state_dir(Path(config))
    try:
        if verb == "keep":
            said = keep(state_dir, Path(copy))
        else:
            said = put_back_if_newer(state_dir, Path(copy), SystemClock().wall())
    except (Locked, NewerSchema) as error:
        said = str(error)
    except OSError as error:
        said = f"{error.filename}: {error.strerror or os.strerror(error.errno or 0)}"
    else:
        print(said)  # noqa: T201
        return 0
    print(said, file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
