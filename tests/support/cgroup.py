"""A bound for the memory of a process: a control group of its own (cgroups(7)), of version 1 or 2."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

_VERSION_1 = Path("/sys/fs/cgroup/memory")
_VERSION_2 = Path("/sys/fs/cgroup")


class Bounded(NamedTuple):
    """A group."""

    folder: Path
    is_1: bool

    @property
    def within(self) -> tuple[str, ...]:
        """What runs a command in it."""
        return ("sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "sh")

    def killed(self) -> int:
        """How many processes the kernel has killed for want of memory."""
        name = "memory.oom_control" if self.is_1 else "memory.events"
        words = (self.folder / name).read_text(encoding="ascii").split()
        return int(words[words.index("oom_kill") + 1])


@contextmanager
def bounded_memory(limit_bytes: int) -> Iterator[Bounded]:
    """Make one; the test is skipped where that is not permitted."""
    is_1 = (_VERSION_1 / "memory.limit_in_bytes").exists()
    folder = (_VERSION_1 if is_1 else _VERSION_2) / f"bellcrank-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        try:
            limits = ["memory.limit_in_bytes"] if is_1 else ["memory.max", "memory.swap.max"]
            for name, value in zip(limits, (limit_bytes, 0), strict=False):
                (folder / name).write_text(str(value))
        except OSError as error:
            pytest.skip(f"the memory of a control group cannot be bounded here: {error}")
        yield Bounded(folder, is_1)
    finally:
        for _ in range(100):  # until what ran in it has ended
            with suppress(OSError):
                folder.rmdir()
                break
            time.sleep(0.05)
