"""`python3 freeze.py PID`: stops all threads of a process but its first, until it ends, as a card that hangs would.

A thread that ptrace(2) has stopped stays so, while the others run. Runs inside the machine, with its Python alone.
"""

import ctypes
import os
import sys
from pathlib import Path

_SEIZE, _INTERRUPT = 0x4206, 0x4207
_WALL = 0x40000000


def main(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    threads = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir() if int(path.name) != pid]
    for thread in threads:
        for request in (_SEIZE, _INTERRUPT):
            if libc.ptrace(request, thread, None, None) == -1:
                sys.exit(f"{thread}: {os.strerror(ctypes.get_errno())}")
    print(f"{len(threads)} threads are stopped", flush=True)
    gone: set[int] = set()
    while gone != set(threads):
        thread, status = os.waitpid(-1, _WALL)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            gone.add(thread)


main(int(sys.argv[1]))
