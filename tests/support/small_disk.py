"""A small file system of its own, to be filled: ext4 in a file (loop-mounted), or tmpfs."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

SIZE_BYTES = 8 * 1024 * 1024
_BLOCK_BYTES = 4096


@contextmanager
def small_disk(folder: Path, kind: str, size_bytes: int = SIZE_BYTES, options: str = "") -> Iterator[Path]:
    """Mount one, with these mount options; the test is skipped where that is not permitted."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    place = folder / "disk"
    place.mkdir()
    try:
        _mount(folder, place, kind, size_bytes, options)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"{kind} cannot be mounted here: {error}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    """Mount an image of one; its journal is replayed, as behind a cut of power."""
    place.mkdir(exist_ok=True)
    _run("mount", "-o", "loop", str(image), str(place))
    try:
        yield place
    finally:
        _run("umount", str(place))


def image_of(folder: Path) -> Path:
    """Where a file system that is no tmpfs has its blocks."""
    return folder / "disk.img"


def _mount(folder: Path, place: Path, kind: str, size_bytes: int, options: str) -> None:
    if kind == "tmpfs":
        _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(place))
        return
    image = image_of(folder)
    with image.open("wb") as file:
        file.truncate(size_bytes)
    _run("mkfs.ext4", "-q", "-m", "0", str(image))
    _run("mount", "-o", f"loop,{options}" if options else "loop", str(image), str(place))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Filler:
    """Somebody else's file, which takes all that is free."""

    def __init__(self, place: Path) -> None:
        self._path = place / "filler"

    def fill(self) -> None:
        """Take what is left, to the last block."""
        with self._path.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(_BLOCK_BYTES))

    def free(self) -> None:
        """Give it all back."""
        self._path.unlink()
