"""`bellcrank demo`: the whole product with nothing to set up, on this machine only.

A broker, a thermostat on a pseudo-terminal, a doorbell over MQTT, a receiver that verifies signatures and
goes away for a while, and the real agent as a process of its own, which is killed once. What happens is
told in plain lines; the end is a count.
"""

import asyncio
import contextlib
import json
import math
import os
import pty
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
import tty
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from aiohttp import web
from paho.mqtt.enums import CallbackAPIVersion

from agent.listen import plain
from drivers.signing import BadSignature, key_of, new_secret, verify

_CONFIG = """\
# What the demo's agent runs with.
version: 1
agent: {{name: demo, events_to: []}}
brokers:
  house: {{url: "mqtt://127.0.0.1:{mqtt}", protocol: {protocol}}}
sources:
  thermostat:
    driver: serial
    port: {port}
    sensors: {{temperature: {{path: t, unit: "°C"}}}}
  doorbell:
    driver: mqtt
    topic: demo/front_doorbell
    sensors: {{button: {{path: action}}}}
rules:
  too_cold:
    sensor: thermostat.temperature
    when: {{below: 5}}
    clear: {{above: 6}}
    severity: critical
  someone_at_the_door:
    sensor: doorbell.button
    each: {{equals: pressed}}
webhooks:
  receiver:
    url: http://127.0.0.1:{http}/hooks
    secrets: [!file secret.txt]
    rest: {{min: 1s, max: 2s}}
    delays: [0, 1s, 2s]
status: {{listen: "127.0.0.1:{status}"}}
"""
_WAVE_S = 12.0
_RINGS_EVERY_S = 3.0
_AWAY = (8.0, 14.0)
"""The receiver goes away, and comes back; then again every so often."""
_AWAY_EVERY_S = 25.0
_KILL_AT_S = 18.0
_SETTLE_S = 15.0


def run(for_s: float | None) -> int:
    """Run until interrupted, or for some seconds. Returns 0 where nothing was lost."""
    with (
        tempfile.TemporaryDirectory(prefix="bellcrank-demo-") as folder,
        contextlib.suppress(KeyboardInterrupt),
    ):
        return asyncio.run(Demo(Path(folder)).run(for_s))
    return 0


class Demo:
    """One demo in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mqtt, self._http, self._status = (_free_port() for _ in range(3))
        self._begin = time.monotonic()
        self._receiver = Receiver(self._http, self._tell)
        self._agent: subprocess.Popen[bytes] | None = None
        self._rung = 0
        self._stop = asyncio.Event()

    async def run(self, for_s: float | None) -> int:
        """Show everything, then count."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        with self._broker() as broker, _pseudo_terminal(self._folder / "thermostat") as thermostat:
            self._write_config("3.1.1" if broker == "amqtt" else "auto")  # amqtt does not answer to MQTT 5
            await self._receiver.start()
            self._start_agent()
            self._tell(f"{broker} on port {self._mqtt}; the status page is http://127.0.0.1:{self._status}/")
            try:
                await self._until_all_is_open()
                await self._play(thermostat, for_s)
                return await self._count()
            finally:
                self._end_agent(signal.SIGTERM)
                await self._receiver.stop()

    async def _play(self, thermostat: int, for_s: float | None) -> None:
        doorbell = self._doorbell()
        acts = [
            asyncio.create_task(self._warm_and_cool(thermostat)),
            asyncio.create_task(self._ring(doorbell)),
            asyncio.create_task(self._go_away()),
            asyncio.create_task(self._kill_once()),
        ]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                await self._stop.wait()
        for act in acts:
            act.cancel()
        await asyncio.gather(*acts, return_exceptions=True)
        doorbell.loop_stop()
        doorbell.disconnect()

    # -- the actors

    async def _warm_and_cool(self, terminal: int) -> None:
        """Write a line a second; the wave crosses both thresholds."""
        cold = False
        while True:
            value = round(5.5 + 3.5 * math.cos(2 * math.pi * (time.monotonic() - self._begin) / _WAVE_S), 1)
            with contextlib.suppress(BlockingIOError):
                os.write(terminal, json.dumps({"t": value}).encode() + b"\r\n")
            if (value < 5) != cold and not 5 <= value <= 6:
                cold = value < 5
                self._tell(f"the thermostat says {value} °C: {'below 5' if cold else 'above 6 again'}")
            await asyncio.sleep(1)

    async def _ring(self, client: mqtt.Client) -> None:
        while True:
            await asyncio.sleep(_RINGS_EVERY_S)
            self._rung += 1
            client.publish("demo/front_doorbell", json.dumps({"action": "pressed", "battery": 97}), qos=1)
            self._tell(f"somebody rings at the door (press {self._rung})")

    async def _go_away(self) -> None:
        leave, back = _AWAY
        while True:
            await asyncio.sleep(leave)
            await self._receiver.stop()
            self._tell("the receiver goes away; what is owed to it waits on disk")
            await asyncio.sleep(back - leave)
            await self._receiver.start()
            self._tell("the receiver is back; the agent probes it within two seconds, then all that waited follows")
            await asyncio.sleep(_AWAY_EVERY_S - back)

    async def _kill_once(self) -> None:
        await asyncio.sleep(_KILL_AT_S)
        self._end_agent(signal.SIGKILL)
        self._tell("kill -9: the agent is dead in the middle of its work; it is started again")
        self._start_agent()

    # -- the parts

    @contextlib.contextmanager
    def _broker(self) -> Iterator[str]:
        found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        settings = self._folder / "broker.conf"
        if found:
            settings.write_text(f"listener {self._mqtt} 127.0.0.1\nallow_anonymous true\n", encoding="ascii")
            command, name = [found, "-c", str(settings)], "mosquitto"
        else:
            settings.write_text(_AMQTT.format(port=self._mqtt), encoding="ascii")
            command, name = (
                [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(settings)],
                "amqtt",
            )
        process = subprocess.Popen(  # noqa: S603
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            _wait_for_port(self._mqtt, process, name)
            yield name
        finally:
            process.terminate()
            process.wait(10)

    def _doorbell(self) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, "demo-doorbell")
        client.connect("127.0.0.1", self._mqtt)
        client.loop_start()
        return client

    def _write_config(self, protocol: str) -> None:
        secret = self._folder / "secret.txt"
        secret.touch(0o600)
        secret.write_text(self._receiver.secret, encoding="ascii")
        text = _CONFIG.format(
            mqtt=self._mqtt,
            protocol=protocol,
            http=self._http,
            status=self._status,
            port=self._folder / "thermostat",
        )
        (self._folder / "bellcrank.yaml").write_text(text, encoding="utf-8")

    def _start_agent(self) -> None:
        command = [sys.executable, "-m", "agent", "run", "--config", str(self._folder / "bellcrank.yaml")]
        environment = {**os.environ, "STATE_DIRECTORY": str(self._folder / "state")}
        with (self._folder / "agent.log").open("ab") as log:
            self._agent = subprocess.Popen(  # noqa: S603
                command, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def _end_agent(self, number: signal.Signals) -> None:
        if self._agent is not None:
            self._agent.send_signal(number)
            self._agent.wait(15)
            self._agent = None

    async def _until_all_is_open(self) -> None:
        async with asyncio.timeout(30):
            while True:
                sources = (await asyncio.to_thread(self._ask)).get("sources", {})
                if sources and all(source["state"] == "open" for source in sources.values()):
                    return
                await asyncio.sleep(0.1)

    def _ask(self) -> dict[str, Any]:
        import urllib.request

        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._status}/api/v1/status", timeout=2) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except OSError:
            return {}

    # -- the end

    async def _count(self) -> int:
        """Wait until nothing is pending, and tell what came of it all."""
        if not self._receiver.running:
            await self._receiver.start()
        self._tell("the end: waiting for what is still owed")
        outbox: dict[str, Any] = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S):
                while not outbox or outbox["pending"] or self._receiver.rings < self._rung:
                    outbox = (await asyncio.to_thread(self._ask)).get("outbox", {})
                    await asyncio.sleep(0.2)
        return self._summary(outbox)

    def _summary(self, outbox: dict[str, Any]) -> int:
        receiver = self._receiver
        lost = self._rung - receiver.rings + len(receiver.gaps())
        good = bool(outbox) and outbox["balanced"] and not outbox["pending"] and lost == 0 and not receiver.refused
        sys.stdout.write(
            f"\n  delivered {len(receiver.seen)}, each verified; refused {receiver.refused}"
            f"\n  told again, with the same webhook-id: {receiver.again}"
            f"\n  gaps in `sequence`: {len(receiver.gaps())}; presses {self._rung}, of them told {receiver.rings}"
            f"\n  owed {outbox.get('owed')} = delivered {outbox.get('delivered')} + pending {outbox.get('pending')}"
            f" + dead {outbox.get('dead')} + dropped {outbox.get('dropped')}"
            f"\n  lost: {lost}\n"
        )
        return 0 if good else 1

    def _tell(self, text: str) -> None:
        sys.stdout.write(f"{time.monotonic() - self._begin:6.1f} s  {text}\n")
        sys.stdout.flush()


class Receiver:
    """Verifies each webhook, and remembers which came."""

    def __init__(self, port: int, tell: Any) -> None:
        self.secret = new_secret(secrets.token_bytes(32))
        self.seen: Counter[str] = Counter()
        self.sequences: set[int] = set()
        self.rings = self.again = self.refused = 0
        self._port, self._tell = port, tell
        self._runner: web.AppRunner | None = None

    @property
    def running(self) -> bool:
        """Whether it answers."""
        return self._runner is not None

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_post("/hooks", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()

    async def stop(self) -> None:
        """Go away."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def gaps(self) -> set[int]:
        """Sequence numbers that never came, up to the last one that did."""
        return set(range(1, max(self.sequences, default=0) + 1)) - self.sequences

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            verify([key_of(self.secret)], headers, body, time.time())
        except BadSignature as bad:
            self.refused += 1
            self._tell(f"REFUSED a webhook: {bad}")
            return web.Response(status=401)
        self._note(json.loads(body))
        return web.Response(status=204)

    def _note(self, event: dict[str, Any]) -> None:
        self.seen[event["id"]] += 1
        if self.seen[event["id"]] > 1:
            self.again += 1
            return
        self.sequences.add(int(event["sequence"]))
        if event["data"]["rule"] == "someone_at_the_door":
            self.rings += 1
        number = int(event["sequence"])
        self._tell(f"    webhook {number} verified: {event['type']}, {plain(event['data']['summary'])}")


_AMQTT = """\
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{port}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""


@contextlib.contextmanager
def _pseudo_terminal(link: Path) -> Iterator[int]:
    """A terminal whose other end is at `link`; gives this end's descriptor."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs, termios.TCSANOW)
    os.set_blocking(ours, False)
    link.symlink_to(os.ttyname(theirs))
    try:
        yield ours
    finally:
        os.close(ours)
        os.close(theirs)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_port(port: int, process: subprocess.Popen[bytes], name: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"{name} does not start. Install a broker: sudo apt-get install mosquitto")
