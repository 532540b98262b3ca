"""What the file of a mosquitto on this machine says of what it may lose: a client cannot ask for it."""

import ipaddress
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

FILE = Path("/etc/mosquitto/mosquitto.conf")
QUEUED_DEFAULT = 1000
"""`max_queued_messages`, see mosquitto.conf(5)."""


class Settings(NamedTuple):
    """As mosquitto.conf(5) has them."""

    max_queued_messages: int
    """What is held for a client that is away; 0: all."""
    persistence: bool
    """Whether sessions outlive a restart."""


def on_this_machine(addresses: Sequence[str]) -> bool:
    """Whether a broker's addresses are those of loopback."""
    return bool(addresses) and all(ipaddress.ip_address(one.partition("%")[0]).is_loopback for one in addresses)


def read(path: Path = FILE) -> Settings | None:
    """The file with its `include_dir`s; None: it cannot be read."""
    try:
        return settings(_words(path, 0))
    except OSError:
        return None


def settings(words: Mapping[str, str]) -> Settings:
    """What the words mean; a value that is none counts as left out."""
    queued = words.get("max_queued_messages", "")
    return Settings(int(queued) if queued.isdecimal() else QUEUED_DEFAULT, words.get("persistence") == "true")


def _words(path: Path, depth: int) -> dict[str, str]:
    """The last of equal words counts, as mosquitto reads them. Raises OSError."""
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        word, _, value = line.strip().partition(" ")
        if word == "include_dir" and depth == 0:
            for more in sorted(Path(value.strip()).glob("*.conf")):
                found |= _words(more, depth + 1)
        elif word and not word.startswith("#"):
            found[word] = value.strip()
    return found
