"""Where an agent that systemd runs has its things, as the units in systemd/ say; by the name of its instance.

The one agent of most machines is `bellcrank.service` with /etc/bellcrank/bellcrank.yaml; one of several is
`bellcrank@NAME.service` with /etc/bellcrank/NAME.yaml.
"""

import re
from pathlib import Path
from typing import NamedTuple, Self

CONFIG = Path("/etc/bellcrank")
USER = "bellcrank"
_MAIN = "bellcrank"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_TAKEN = {_MAIN, "secrets"}


class Service(NamedTuple):
    """One agent; without an instance the one of most machines."""

    instance: str = ""

    @classmethod
    def named(cls, instance: str) -> Self:
        """One of several. Raises ValueError where that can be no name."""
        if not _NAME.fullmatch(instance) or instance in _TAKEN:
            raise ValueError(
                f"{instance!r} cannot name an agent: use up to 32 of A-Z a-z 0-9 _ -, and neither of "
                + ", ".join(sorted(_TAKEN))
            )
        return cls(instance)

    @classmethod
    def of_config(cls, file: Path) -> Self | None:
        """The agent whose configuration this is; None: it is that of no service."""
        file = file.absolute()
        if file.parent != CONFIG or file.suffix != ".yaml":
            return None
        return cls("" if file.stem == _MAIN else file.stem)

    @classmethod
    def of_unit(cls, unit: str) -> Self | None:
        """The agent of a unit; None: it is another's."""
        found = re.fullmatch(r"bellcrank(?:@(.+))?\.service", unit)
        return cls(found[1] or "") if found else None

    @property
    def unit(self) -> str:
        """For systemctl."""
        return f"bellcrank@{self.instance}.service" if self.instance else "bellcrank.service"

    @property
    def config(self) -> Path:
        """Its configuration file."""
        return CONFIG / f"{self.instance or _MAIN}.yaml"

    @property
    def state(self) -> Path:
        """Where its outbox is, unless its configuration says otherwise."""
        return Path("/var/lib") / self._folder

    @property
    def runtime(self) -> Path:
        """Where its control socket is."""
        return Path("/run") / self._folder

    @property
    def _folder(self) -> str:
        return f"bellcrank-{self.instance}" if self.instance else "bellcrank"
