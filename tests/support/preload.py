"""Small C libraries that are preloaded into an agent (ld.so(8)): made with the system's compiler, told by a file."""

import mmap
import shutil
import subprocess
from pathlib import Path

import pytest


def compiled(source: Path, folder: Path) -> Path:
    """The library of a C file, made in a folder. Without a compiler the test is skipped."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip(f"{source.name} has to be compiled, and there is no gcc")
    library = folder / f"{source.stem}.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def shared(path: Path, size_bytes: int) -> mmap.mmap:
    """A new file of noughts, mapped: what is written to it the library sees at once."""
    path.write_bytes(bytes(size_bytes))
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), size_bytes)
