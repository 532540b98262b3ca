"""Drivers by their name in the configuration.

Entry points of the group `bellcrank.drivers`, the built-in ones too.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from drivers.base import Driver

GROUP = "bellcrank.drivers"


class BrokenDriver(Exception):
    """A driver that is installed cannot be loaded."""


@cache
def driver_classes() -> Mapping[str, type[Driver]]:
    """All drivers that are installed. Raises BrokenDriver."""
    classes: dict[str, type[Driver]] = {}
    for entry in sorted(set(entry_points(group=GROUP))):
        if entry.name in classes:
            raise BrokenDriver(f"two packages bring a driver {entry.name}; one is {entry.value}")
        try:
            found = entry.load()
        except Exception as error:
            raise BrokenDriver(f"the driver {entry.name} ({entry.value}) cannot be loaded: {error}") from error
        if not (isinstance(found, type) and issubclass(found, Driver)):
            raise BrokenDriver(f"the driver {entry.name} ({entry.value}) is no drivers.base.Driver")
        classes[entry.name] = found
    return classes
