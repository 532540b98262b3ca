"""The agent without the extra `fast`, whether it is installed or not: `python -m tests.faults.plain run ...`."""

import sys

sys.modules["uvloop"] = sys.modules["orjson"] = None  # type: ignore[assignment]  # an import of them fails

from agent.cli import main  # noqa: E402

if __name__ == "__main__":
    main(prog_name="bellcrank")
