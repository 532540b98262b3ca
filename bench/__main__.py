"""The first figures for the goals of speed: `python -m bench [--count N]`.

Needs mosquitto, and the extra `bench`.

Each part runs the agent and its peer in turn against the same broker and the same receiver, so that the
ratio means something where the absolute figures do not.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

CONFIG = """
version: 1
agent: {{name: bench, events_to: []}}
brokers: {{house: {{url: "mqtt://127.0.0.1:{mqtt}"}}}}
sources:
  meter:
    driver: mqtt
    topic: bench/{{unit}}
    sensors: {{t: {{path: t}}}}
rules:
  each_one: {{sensor: "meter.*.t", each: {{above: 0}}}}
webhooks:
  here: {{url: "http://127.0.0.1:{http}/hook", unsigned: true}}
status: {{listen: "127.0.0.1:{status}"}}
"""
SUBJECTS = 16
"""Topics that a flood is spread over: one POST at a time goes out for each."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(*command: str, quiet: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    out = subprocess.DEVNULL if quiet else None
    running = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(20)


def python(module: str, *arguments: object) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *map(str, arguments))


def wait_for(what: str, condition: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"the bench waited in vain for {what}")
        time.sleep(0.02)


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Bench:
    """A broker and a receiver, and the agent or its peer between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mqtt, self.http, self.status = free_port(), free_port(), free_port()

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        settings = self.folder / "mosquitto.conf"
        settings.write_text(f"listener {self.mqtt} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
        broker = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        with process(broker, "-c", str(settings)), process(*python("bench.receiver", self.http)):
            wait_for("broker and receiver", lambda: listening(self.mqtt) and listening(self.http))
            yield

    @contextmanager
    def agent(self) -> Iterator[subprocess.Popen[bytes]]:
        config = self.folder / "bellcrank.yaml"
        config.write_text(CONFIG.format(mqtt=self.mqtt, http=self.http, status=self.status))
        os.environ["STATE_DIRECTORY"] = str(self.folder / "state")
        with process(*python("agent", "run", "--config", config)) as running:
            wait_for("the agent", lambda: listening(self.status) and self.source_state() == "open")
            yield running

    @contextmanager
    def peer(self) -> Iterator[subprocess.Popen[bytes]]:
        with process(*python("bench.peer", self.mqtt, self.http)) as running:
            time.sleep(1.0)  # it has no way to tell that it has subscribed
            yield running

    def source_state(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status}/api/v1/status") as answer:
            return str(json.load(answer)["sources"]["meter"]["state"])

    def outbox(self) -> dict[str, int]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status}/api/v1/status") as answer:
            counts: dict[str, int] = json.load(answer)["outbox"]
            return counts

    def messages(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status}/api/v1/status") as answer:
            return int(json.load(answer)["sources"]["meter"]["messages"])

    def seen(self) -> list[tuple[float, float]]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/seen") as answer:
            return [(sent, came) for sent, came in json.load(answer)]

    def count_seen(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/count") as answer:
            return int(answer.read())

    def all_seen(self, count: int) -> list[tuple[float, float]]:
        whole = count // SUBJECTS * SUBJECTS
        wait_for(f"{whole} webhooks", lambda: self.count_seen() >= whole, 600)
        return self.seen()

    def forget(self) -> None:
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{self.http}/forget", method="POST")).close()

    def publish(self, count: int, rate: float = 0.0, value: float | None = None) -> None:
        """Publish from several processes at once, each with topics of its own."""
        fixed = [] if value is None else [value]
        with ExitStack() as stack:
            loads = [
                stack.enter_context(
                    process(*python("bench.load", self.mqtt, count // SUBJECTS, rate / SUBJECTS, f"bench/{n}", *fixed))
                )
                for n in range(SUBJECTS)
            ]
            for load in loads:
                load.wait(600)

    def flood(self, count: int) -> float:
        """Webhooks a second, from the first reading that was sent to the last that arrived."""
        self.forget()
        self.publish(count)
        seen = self.all_seen(count)
        return len(seen) / (max(came for _, came in seen) - min(sent for sent, _ in seen))

    def latency_ms(self, count: int, rate: float) -> tuple[float, float]:
        """p50 and p99 from publishing to the receiver."""
        self.forget()
        self.publish(count, rate)
        ways = sorted((came - sent) * 1000 for sent, came in self.all_seen(count))
        return statistics.median(ways), ways[int(len(ways) * 0.99)]


def rss_mib(running: subprocess.Popen[bytes]) -> float:
    status = Path(f"/proc/{running.pid}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024


def written(running: subprocess.Popen[bytes]) -> int:
    """Bytes that the process caused to be written (proc(5), io)."""
    lines = Path(f"/proc/{running.pid}/io").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes")))


def measure_agent(bench: Bench, count: int) -> dict[str, float]:
    with bench.agent() as agent:
        idle = rss_mib(agent)
        p50, p99 = bench.latency_ms(1600, 100)
        owed, before = bench.outbox()["owed"], written(agent)
        rate = bench.flood(count)
        wait_for("the outbox to be empty", lambda: bench.outbox()["pending"] == 0)
        flood = (written(agent) - before) / (bench.outbox()["owed"] - owed)
        time.sleep(2)  # the last marks
        before, read = written(agent), bench.messages()
        bench.publish(10_000, value=-1.0)
        wait_for("10,000 readings", lambda: bench.messages() - read >= 10_000)
        time.sleep(2)
        return {
            "webhooks/s in a flood": rate,
            "p50 ms at 100 msg/s": p50,
            "p99 ms at 100 msg/s": p99,
            "RSS idle, MiB": idle,
            "RSS after the flood, MiB": rss_mib(agent),
            "bytes written an event in the flood": flood,
            "bytes written over 10,000 readings without a change": written(agent) - before,
        }


def measure_peer(bench: Bench, count: int) -> dict[str, float]:
    with bench.peer() as peer:
        idle = rss_mib(peer)
        p50, p99 = bench.latency_ms(1600, 100)
        rate = bench.flood(count)
        return {
            "webhooks/s in a flood": rate,
            "p50 ms at 100 msg/s": p50,
            "p99 ms at 100 msg/s": p99,
            "RSS idle, MiB": idle,
            "RSS after the flood, MiB": rss_mib(peer),
        }


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    options.add_argument("--count", type=int, default=16_000, help="readings in the flood")
    options.add_argument("--rounds", type=int, default=3, help="times that each is measured, in turn")
    given = options.parse_args()
    results: dict[str, list[dict[str, float]]] = {"agent": [], "peer": []}
    for _ in range(given.rounds):
        for who, measured in (("agent", measure_agent), ("peer", measure_peer)):
            with tempfile.TemporaryDirectory() as folder:
                bench = Bench(Path(folder))
                with bench.surroundings():
                    results[who].append(measured(bench, given.count))
    print(f"Medians of {given.rounds} rounds; the peer is paho and one requests.Session.")
    print(f"{'':52} {'bellcrank':>10} {'peer':>10} {'ratio':>7}")
    for name in results["agent"][0]:
        ours = statistics.median(result[name] for result in results["agent"])
        theirs = [result[name] for result in results["peer"] if name in result]
        beside = f"{statistics.median(theirs):10.1f} {ours / statistics.median(theirs):7.2f}" if theirs else ""
        print(f"{name:52} {ours:10.1f} {beside}")


if __name__ == "__main__":
    main()
