"""A good configuration file to be made worse, and what is told of it."""

from pathlib import Path

import pytest

from agent.config import Config, ConfigErrors, load

GOOD = """\
version: 1
brokers:
  house: {url: "mqtt://127.0.0.1"}
sources:
  room:
    driver: mqtt
    topic: home/room
    sensors:
      t: {path: t}
  rooms:
    driver: mqtt
    topic: "home/{room}/climate"
    sensors:
      t: {path: t}
  meter:
    driver: serial
    port: /dev/ttyUSB0
    sensors:
      power: {path: p}
rules:
  warm:
    sensor: room.t
    when: {above: 5}
webhooks:
  ops:
    url: http://127.0.0.1/hook
    unsigned: true
"""


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "bellcrank.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    path.chmod(mode)
    return path


def read(folder: Path, text: str, mode: int = 0o600, **env: str) -> Config:
    return load(write(folder, text, mode), env)


def told(folder: Path, text: str, mode: int = 0o600, **env: str) -> list[str]:
    """The lines of the errors, without the path of the file."""
    with pytest.raises(ConfigErrors) as caught:
        read(folder, text, mode, **env)
    start = f"{folder / 'bellcrank.yaml'}:"
    lines = str(caught.value).split("\n")
    assert all(line.startswith(start) for line in lines)
    return [line.removeprefix(start) for line in lines]


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)
