"""The agent, as `python -m tests.support.modules FILE run ...`: on SIGUSR1 it writes into FILE what it has imported."""

import signal
import sys
from pathlib import Path

from agent.cli import main

if __name__ == "__main__":
    file = Path(sys.argv.pop(1))

    def write(*_: object) -> None:
        part = file.with_suffix(".part")
        part.write_text("\n".join(sys.modules), encoding="utf-8")
        part.replace(file)

    signal.signal(signal.SIGUSR1, write)
    main(prog_name="bellcrank")
