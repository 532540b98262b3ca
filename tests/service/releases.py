"""Releases to update to: this version, and others made of it, of which some do not run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def unpack(target: Path) -> Path:
    """The files of a release, as a tarball of it would have them."""
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def wheel(release: Path, folder: Path, version: str, **changes: tuple[str, str]) -> Path:
    """Build one with another version number and `changes`: of a file (`agent__app`) a text by another."""
    source = folder / f"source-{version}"
    shutil.copytree(release, source)
    _change(source / "agent/version.py", r'__version__ = ".*"', f'__version__ = "{version}"')
    for name, (pattern, text) in changes.items():
        _change(source / f"{name.replace('__', '/')}.py", pattern, text)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=source, capture_output=True, check=True)
    return folder / f"bellcrank-{version}-py3-none-any.whl"


def _change(path: Path, pattern: str, text: str) -> None:
    changed, count = re.subn(pattern, lambda _: text, path.read_text(encoding="utf-8"), count=1)
    if count != 1:
        raise ValueError(f"{path} has no {pattern}")
    path.write_text(changed, encoding="utf-8")
