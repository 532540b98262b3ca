"""What a contender stands between: a real mosquitto and a receiver on loopback, and the load that is published."""

import shutil
import statistics
import subprocess
import time
import urllib.request
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Failed, end, free_port, listening, process, python, wait_for


@dataclass(frozen=True)
class Ways:
    """What became of the readings of one load."""

    sent: Sequence[float]
    """When number 1, 2, ... was sent, in seconds of the monotonic clock."""
    came: Sequence[float]
    """When it came to the receiver; 0: never."""

    @property
    def lost(self) -> float:
        """The share that did not come."""
        return sum(not at for at in self.came) / len(self.came)

    @property
    def rate(self) -> float:
        """Webhooks a second, from the first reading that was sent to the last that came."""
        return sum(at > 0 for at in self.came) / (max(self.came) - self.sent[0])

    def delays_ms(self) -> tuple[float, float]:
        """p50 and p99 from the sending of a reading to the coming of its webhook."""
        delays = sorted((came - sent) * 1000 for sent, came in zip(self.sent, self.came, strict=True) if came)
        return statistics.median(delays), delays[int(len(delays) * 0.99)]


class Surroundings:
    """A broker and a receiver. Each contender has its own hook, so that several may run at once."""

    def __init__(self, folder: Path, *settings: str) -> None:
        """`settings` are mosquitto's, beside its defaults."""
        self.folder = folder
        self.mqtt, self.http = free_port(), free_port()
        self.log = folder / "mosquitto.log"
        lines = [f"listener {self.mqtt} 127.0.0.1", "allow_anonymous true", "sys_interval 1", "log_dest stderr"]
        lines += ["log_type error", "log_type warning", "log_type subscribe", *settings]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._receiver: subprocess.Popen[bytes] | None = None

    @contextmanager
    def open(self) -> Iterator[None]:
        broker = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        with ExitStack() as stack:
            stack.enter_context(process(broker, "-c", str(self.folder / "mosquitto.conf"), log=self.log))
            stack.callback(self.take_receiver_away)
            self.bring_receiver()
            wait_for("the broker", lambda: listening(self.mqtt))
            yield

    def bring_receiver(self) -> None:
        with (self.folder / "receiver.log").open("ab") as log:
            self._receiver = subprocess.Popen(python("bench.receiver", self.http), stdout=log, stderr=log)
        wait_for("the receiver", lambda: listening(self.http))

    def take_receiver_away(self) -> None:
        """From now on connections are refused, and what has come is forgotten."""
        if self._receiver is not None:
            end(self._receiver)
            self._receiver = None

    def hook(self, name: str) -> str:
        return f"http://127.0.0.1:{self.http}/hook/{name}"

    def subscriptions(self) -> int:
        """How often somebody has subscribed the readings."""
        return self.log.read_text(errors="replace").count(" bench/")

    @contextmanager
    def publishing(self, count: int, *options: object) -> Iterator["Load"]:
        """A load (`bench.load` tells its options) that runs beside the block; at its end all is sent."""
        load = Load(python("bench.load", self.mqtt, count, *options))
        try:
            yield load
            load.wait()
        finally:
            load.end()

    def publish(self, count: int, *options: object) -> Sequence[float]:
        """Publish so many; returns when each was sent, once the broker has them all."""
        with self.publishing(count, *options) as load:
            return load.wait()

    def forget(self, name: str) -> None:
        self._ask("forget", name)

    def count(self, name: str) -> int:
        """How many different readings came to a hook."""
        return int(self._ask("count", name))

    def came(self, name: str, count: int) -> Sequence[float]:
        """When reading 1, 2, ... `count` came to a hook; 0: not yet."""
        times = array("d", self._ask("times", name))[1 : count + 1]
        return [*times, *[0.0] * (count - len(times))]

    def settle(self, name: str, count: int, quiet_s: float) -> None:
        """Wait until so many have come, or nothing more has come for some seconds."""
        had, since = self.count(name), time.monotonic()
        while had < count and time.monotonic() - since < quiet_s:
            time.sleep(0.05)
            if (now := self.count(name)) > had:
                had, since = now, time.monotonic()

    def _ask(self, what: str, name: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/{what}/{name}", timeout=30) as answer:
            return bytes(answer.read())


class Load:
    """A running `bench.load`."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self._sent: Sequence[float] | None = None

    def wait(self) -> Sequence[float]:
        """Wait until all is sent and acknowledged by the broker; returns when each was sent."""
        if self._sent is None:
            said = self._process.communicate(timeout=600)[0]
            if self._process.returncode:
                raise Failed("the load ended with an error")
            self._sent = array("d", said)
        return self._sent

    def end(self) -> None:
        if self._process.poll() is None:
            end(self._process)
        if self._process.stdout is not None:
            self._process.stdout.close()
