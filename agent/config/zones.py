"""Time zones: by name, or the one of this machine."""

import contextlib
import os
from collections.abc import Mapping
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from agent.config.suggestions import unknown

_SYSTEM_ZONE = Path("/etc/localtime")


def zone(name: str) -> tzinfo:
    """By its name, such as Europe/Berlin. Raises ValueError that names the nearest one."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(unknown("time zone", name, available_timezones(), "such as Europe/Berlin")) from None


def system_zone(env: Mapping[str, str] = os.environ) -> tzinfo:
    """The time zone of this machine, with its summer time; UTC where none is set."""
    with contextlib.suppress(ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo(env["TZ"].removeprefix(":")) if env.get("TZ") else _zone_of(_SYSTEM_ZONE)
    return UTC


def _zone_of(path: Path) -> tzinfo:
    with path.open("rb") as file:
        return ZoneInfo.from_file(file)
