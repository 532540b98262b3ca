"""Somebody changes the configuration and hangs up, again and again, whatever else goes on.

It finds the agent among the processes by the file that it was started with, so that a fault need not know of it.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from ruamel.yaml import YAML

PAUSE_S = (0.3, 1.5)
_SECRET_MODE = 0o600


class _Agent(NamedTuple):
    pid: int
    config: Path


@asynccontextmanager
async def reloading(folder: Path, random: Random) -> AsyncIterator[None]:
    """Do so meanwhile to every agent whose configuration is in a folder."""
    again = asyncio.create_task(_again_and_again(folder, random))
    try:
        yield
    finally:
        again.cancel()
        with suppress(asyncio.CancelledError):
            await again


def reloads_told(folder: Path) -> int:
    """How often agents there said that another configuration runs."""
    return sum(log.read_text(errors="replace").count("reloaded:") for log in folder.rglob("agent.log"))


async def _again_and_again(folder: Path, random: Random) -> None:
    while True:
        for agent in _agents(folder):
            with suppress(OSError):  # it has just ended
                change(agent.config)
                os.kill(agent.pid, signal.SIGHUP)
        await asyncio.sleep(random.uniform(*PAUSE_S))


def _agents(folder: Path) -> list[_Agent]:
    """Those that listen to the signal, which would end an agent that is still starting."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            words = (place / "cmdline").read_bytes().decode().split("\0")
            config = Path(words[words.index("--config") + 1])
            if config.is_relative_to(folder) and _catches_hangup(place / "status"):
                found.append(_Agent(int(place.name), config))
    return found


def _catches_hangup(status: Path) -> bool:
    line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("SigCgt:"))
    return bool(int(line.split()[1], 16) & 1 << signal.SIGHUP - 1)


def change(config: Path) -> None:
    """Other settings of sources, so that their feeds are opened anew, and of webhooks; or as they were before.

    Serial ports stay open: what a device says while its port is closed is heard by nobody.
    """
    yaml = YAML()
    given: dict[str, Any] = yaml.load(config.read_text(encoding="utf-8"))
    for source in (given.get("sources") or {}).values():
        if source["driver"] != "serial":
            _toggle(source, "labels", {"reloaded": "once"})
    for webhook in (given.get("webhooks") or {}).values():
        _toggle(webhook, "concurrency", 3)
    text, new = StringIO(), config.with_suffix(".new")
    yaml.dump(given, text)
    new.touch(_SECRET_MODE)
    new.write_text(text.getvalue(), encoding="utf-8")
    new.replace(config)


def _toggle(given: dict[str, Any], key: str, value: object) -> None:
    if given.pop(key, None) is None:
        given[key] = value
