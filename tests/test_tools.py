"""`record`, `rules test` and `discover` from the command line, with a real broker and a real pseudo-terminal."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

from click.testing import CliRunner
from paho.mqtt import publish, subscribe
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from agent.cli import main
from tests.support.mosquitto import Mosquitto
from tests.support.port import Port
from tests.support.waiting import until

CONFIG = """
version: 1
brokers: {{house: {{url: "{broker}"}}}}
sources:
  rooms: {{driver: mqtt, topic: "home/{{room}}/climate", sensors: {{t: {{path: t, unit: "°C"}}}}}}
  scale: {{driver: serial, port: {port}, format: number, sensors: {{kg: {{}}}}}}
rules:
  cold: {{sensor: rooms.*.t, when: {{below: 5}}}}
  heavy: {{sensor: scale.kg, when: {{above: 70}}}}
"""


class Running:
    """A command of its own process."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.out = folder / "out"
        self._words = words

    async def __aenter__(self) -> Self:
        with self.out.open("wb") as out:
            command = [sys.executable, "-m", "agent", *self._words]
            self._process = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=asyncio.subprocess.PIPE)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def interrupt(self) -> int:
        self._process.send_signal(signal.SIGINT)
        return await asyncio.wait_for(self._process.wait(), 20)

    def text(self) -> str:
        return self.out.read_text(encoding="utf-8")


def say(broker: Mosquitto, topic: str, payload: str, *, retain: bool = False) -> None:
    publish.single(topic, payload, qos=1, retain=retain, port=broker.port)


async def saying_until(said: Callable[[], object], heard: Callable[[], bool]) -> None:
    """Say it again and again until it was heard: who listens may not be there yet."""

    def once_more() -> bool:
        if heard():
            return True
        said()
        return False

    await until(once_more, 30)


async def test_what_was_recorded_can_be_put_through_the_rules(tmp_path: Path) -> None:
    broker, port = Mosquitto(tmp_path), Port(tmp_path / "tty")
    broker.start()
    config = tmp_path / "bellcrank.yaml"
    config.write_text(CONFIG.format(broker=broker.url, port=port.path))
    async with Running(tmp_path, "record", "--config", str(config)) as recording:
        await saying_until(lambda: say(broker, "home/hall/climate", '{"t": 4.5}'), lambda: "hall" in recording.text())
        await saying_until(lambda: port.write(b"76.66\r\n"), lambda: recording.text().count("76.66") > 1)
        assert await recording.interrupt() == 0
    port.close()
    broker.stop()
    raw = json.loads(recording.text().splitlines()[0])
    assert (raw["feed"], raw["topic"], raw["payload"]) == ("broker:house", "home/hall/climate", '{"t": 4.5}')
    command = ["rules", "test", "--config", str(config), "--replay", str(recording.out), "--json"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    rules = json.loads(result.stdout)["rules"]
    assert (rules["cold"]["told"], rules["heavy"]["told"]) == ({"firing": 1}, {"firing": 1})


async def test_a_recording_leaves_nothing_at_the_broker(tmp_path: Path) -> None:
    broker, port = Mosquitto(tmp_path), Port(tmp_path / "tty")
    broker.start()
    config = tmp_path / "bellcrank.yaml"
    config.write_text(CONFIG.format(broker=broker.url, port=port.path))
    async with Running(tmp_path, "record", "--config", str(config)) as recording:
        await saying_until(lambda: say(broker, "home/hall/climate", '{"t": 4.5}'), lambda: "hall" in recording.text())
        await recording.interrupt()
    heard = await asyncio.to_thread(_retained, broker.port)
    port.close()
    broker.stop()
    assert heard == [], "no availability, no session"


async def test_a_recording_leaves_no_session_at_a_broker_that_would_keep_it_for_ever(tmp_path: Path) -> None:
    config = tmp_path / "bellcrank.yaml"
    with Mosquitto(tmp_path) as broker:
        text = CONFIG.format(broker=broker.url, port=tmp_path / "none")
        config.write_text(text.replace("house: {", 'house: {protocol: "3.1.1", '))
        async with Running(tmp_path, "record", "--config", str(config)) as recording:
            await saying_until(
                lambda: say(broker, "home/hall/climate", '{"t": 4.5}'), lambda: "hall" in recording.text()
            )
            assert await recording.interrupt() == 0
        (client_id,) = re.findall(r"New client connected from \S+ as (bellcrank-guest-\w+)", broker.log())
        assert not await asyncio.to_thread(_has_session, broker.port, client_id)


def _has_session(port: int, client_id: str) -> bool:
    """MQTT 3.1.1: asked by who takes it up."""
    found: list[bool] = []
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
    client.on_connect = lambda *told: found.append(told[2].session_present)
    client.connect("127.0.0.1", port)
    while not found:
        assert client.loop() == 0
    client.disconnect()
    return found[0]


def _retained(port: int) -> list[str]:
    publish.single("end", "x", retain=True, port=port)
    (last,) = [subscribe.simple("#", port=port, retained=True)]  # type: ignore[no-untyped-call]
    return [] if last.topic == "end" else [last.topic]


def test_a_bad_recording_is_told_with_its_line(tmp_path: Path) -> None:
    config, recording = tmp_path / "bellcrank.yaml", tmp_path / "recording"
    config.write_text(CONFIG.format(broker="mqtt://127.0.0.1", port="/dev/scale"))
    recording.write_text('{"time": 1, "source": "scale", "payload": "1"}\n{"time": 2}\n')
    result = CliRunner().invoke(main, ["rules", "test", "--config", str(config), "--replay", str(recording)])
    assert result.exit_code == 2
    assert "line 2: has to have exactly one of `topic`" in result.stderr


def test_a_recording_of_something_else_is_told_so(tmp_path: Path) -> None:
    config = tmp_path / "bellcrank.yaml"
    config.write_text(CONFIG.format(broker="mqtt://127.0.0.1", port="/dev/scale"))
    other = "time,sensor,value\n1,x.y,2\n"
    result = CliRunner().invoke(main, ["rules", "test", "--config", str(config)], input=other)
    assert result.exit_code == 1
    assert "1 of x.y, which no source or rule wants" in result.stdout
    assert "nothing in it is for a sensor of the configuration" in result.stderr


def test_an_unknown_rule_to_explain_is_told_with_the_known_ones(tmp_path: Path) -> None:
    config = tmp_path / "bellcrank.yaml"
    config.write_text(CONFIG.format(broker="mqtt://127.0.0.1", port="/dev/scale"))
    result = CliRunner().invoke(main, ["rules", "test", "--config", str(config), "--explain", "colt"])
    assert result.exit_code == 2
    assert "there is no rule colt; known: cold, heavy" in result.stderr


async def test_discover_tells_what_a_broker_has_and_names_it_by_its_announcements(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    broker.start()
    said = {"stat_t": "bed/state", "val_tpl": "{{ value_json.t }}", "unit_of_meas": "°C", "name": "Bed"}
    say(broker, "homeassistant/sensor/bed/config", json.dumps(said), retain=True)
    say(broker, "bed/state", '{"t": 21.5}', retain=True)
    say(broker, "a/b/c/d/e", "7", retain=True)
    command = ["discover", "mqtt", "--url", broker.url, "--for", "2s"]
    result = await asyncio.to_thread(_run, *command)
    only = await asyncio.to_thread(_run, *command, "--topic", "a/#", "--json")
    broker.stop()
    assert 't: {path: t, unit: "°C"}  # number 21.5, Bed' in result
    assert 'topic: "a/b/c/d/e"' in result
    assert [one["where"] for one in json.loads(only)] == ["a/b/c/d/e"]


def test_discover_tells_that_no_broker_answers() -> None:
    command = [sys.executable, "-m", "agent", "discover", "mqtt", "--url", "mqtt://127.0.0.1:1", "--for", "1s"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "127.0.0.1:1" in ended.stderr


async def test_discover_tells_what_a_port_says_and_at_which_speed(tmp_path: Path) -> None:
    port = Port(tmp_path / "tty")
    command = ["discover", "serial", "--port", str(port.path), "--for", "3s", "--baudrate", "115200"]
    async with Running(tmp_path, *command) as discovering:
        await saying_until(lambda: port.write(b"T=21.5 H=40\r\n"), lambda: discovering.text().count("\n") > 3)
    port.close()
    assert "baudrate: 115200" in discovering.text()
    assert "format: keyvalue" in discovering.text()


def _run(*words: str) -> str:
    command = [sys.executable, "-m", "agent", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
