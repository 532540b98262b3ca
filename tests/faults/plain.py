"""The agent without the extra `fast`, installed or not: `python -m tests.faults.plain agent run ...`.

Or a mutant of it, in place of `agent`.
"""

import runpy
import sys

sys.modules["uvloop"] = sys.modules["orjson"] = None  # type: ignore[assignment]  # an import of them fails

if __name__ == "__main__":
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
