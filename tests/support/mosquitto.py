"""A real mosquitto on a free port of loopback."""

import asyncio
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.agent import free_port


class Said(NamedTuple):
    """What somebody publishes."""

    topic: str
    payload: bytes | str
    qos: int = 1
    retain: bool = False


class Mosquitto:
    """Started, stopped, killed, frozen. With `persistent` it keeps sessions over a stop (not over a kill).

    Its log tells every packet.
    """

    def __init__(self, folder: Path, *settings: str, persistent: bool = False) -> None:
        self.port = free_port()
        self.folder = folder
        lines = [f"listener {self.port} 127.0.0.1", "log_type all", "user root", *settings]
        if not any(line.startswith("password_file") for line in settings):
            lines.append("allow_anonymous true")
        if persistent:
            lines += ["persistence true", f"persistence_location {folder}/"]
        self._settings = folder / "mosquitto.conf"
        self._settings.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        found = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([found, "-c", str(self._settings)], stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while not self._listening():
            assert time.monotonic() < deadline, "mosquitto does not listen"
            assert self._process.poll() is None, (self.folder / "mosquitto.log").read_text()
            time.sleep(0.01)

    async def publish(self, *said: Said) -> None:
        """Publish all of it in this order by one client; returns when the broker has it."""
        await asyncio.to_thread(self._publish, said)

    @contextmanager
    def listening(self, topic: str) -> Iterator[list[tuple[str, bytes]]]:
        """What another client hears under a topic, the retained first."""
        heard: list[tuple[str, bytes]] = []
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        client.on_message = lambda _client, _userdata, message: heard.append((message.topic, bytes(message.payload)))
        client.connect("127.0.0.1", self.port)
        client.subscribe(topic, 1)
        client.loop_start()
        try:
            yield heard
        finally:
            _leave(client)

    def log(self) -> str:
        """What it has told since it was made."""
        return (self.folder / "mosquitto.log").read_text(errors="replace")

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Keep the connections but answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _publish(self, said: Sequence[Said]) -> None:
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        client.max_inflight_messages_set(len(said))
        client.connect("127.0.0.1", self.port)
        published = [client.publish(*what) for what in said]
        client.loop_start()
        for told in published:
            told.wait_for_publish(30)
        _leave(client)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            _until_heard(self._process, number)
            self._process = None

    def _listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _leave(client: mqtt.Client) -> None:
    client.disconnect()
    with suppress(AttributeError):  # of paho, where its thread ends by itself just before it is joined
        client.loop_stop()


def _until_heard(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send the signal until it is heard: mosquitto forgets one that comes before its main loop has begun."""
    for _ in range(30):
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)
            return
    raise AssertionError("mosquitto does not end")
