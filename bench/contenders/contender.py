"""What a contender is: it takes readings of `bench/+` at QoS 1 and posts those above 0 to a hook."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


class Missing(Exception):
    """It cannot be had on this machine; the text tells why."""


@dataclass(frozen=True)
class Place:
    """Where a contender finds things."""

    folder: Path
    """Its own, where its configuration and its state are; kept over a restart."""
    peers: Path
    """Where `install` has put what it installed."""
    mqtt: int
    """The broker's port on loopback."""
    hook: str
    """The URL to post to."""
    concurrency: int
    """POSTs at once, where a contender bounds them."""


@dataclass(frozen=True)
class Contender:
    """Somebody to measure."""

    name: str
    """As the tables tell it."""
    what: str
    """What it is, in a few words."""
    command: Callable[[Place], Sequence[str]]
    """Writes its configuration, and returns what starts it."""
    install: Callable[[Path], str] = lambda _: ""
    """Brings it into a folder unless it is there, and returns its version ("": of this project). Raises Missing."""

    tells: bool = True
    """Whether it posts readings at any rate; the no-op client only shows by it that it has heard."""

    @property
    def key(self) -> str:
        """Its name as part of a path."""
        return "".join(letter for letter in self.name.lower() if letter.isalnum())
