"""Where the version to install is."""

import re
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from agent.install.wish import Source
from agent.version import __version__

_WHEEL = re.compile(r"bellcrank-(?P<version>[^-]+)-py3-none-any\.whl")
SHARE = Path("share/bellcrank")
"""Below a release: the lock file and the units, as pyproject.toml puts them into the wheel."""


class NoSource(Exception):
    """The message says what is missing."""


def find(wheel: Path | None, wheels: Path | None) -> Source:
    """The wheel that was named, else one among `wheels`, else what runs this. Raises NoSource."""
    if wheel is None and wheels is not None:
        wheel = _only(sorted(wheels.glob("bellcrank-*.whl")))
    if wheel is not None:
        return of_wheel(wheel.absolute())
    root = Path(__file__).parents[2]
    if (root / "pyproject.toml").is_file():
        return Source(__version__, root, root / "requirements/run.txt")
    if not (Path(sys.prefix) / SHARE).is_dir():
        raise NoSource(
            f"{sys.prefix} lacks {SHARE}: name a wheel, `bellcrank install bellcrank-VERSION-py3-none-any.whl`"
        )
    return Source(metadata.version("bellcrank"), None, None)


def of_wheel(path: Path) -> Source:
    """A wheel by its name. Raises NoSource."""
    named = _WHEEL.fullmatch(path.name)
    if not named or not path.is_file():
        raise NoSource(f"{path} is no wheel of bellcrank: its name has to be bellcrank-VERSION-py3-none-any.whl")
    return Source(named["version"], path, None)


def _only(found: Iterable[Path]) -> Path | None:
    one, *others = *found, None
    if others[:-1]:
        names = ", ".join(path.name for path in found)
        raise NoSource(f"there are several versions: {names}; name the one to install")
    return one
