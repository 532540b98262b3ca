"""config/mosquitto.conf keeps what its comments say, and loses what they say: a real mosquitto, stopped and killed."""

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.docs.pages import ROOT
from tests.support.agent import free_port, wait_for_port
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import until

CONF = (ROOT / "config" / "mosquitto.conf").read_text(encoding="utf-8")
ACL = (ROOT / "config" / "mosquitto.acl").read_text(encoding="utf-8")
EACH_CHANGE = re.findall(r"^#   (autosave_\w+ \w+)$", CONF, re.MULTILINE)
"""What the comments advise for a disk that bears it."""
DEBIAN = """\
pid_file {folder}/mosquitto.pid

persistence true
persistence_location {folder}/

log_dest file {folder}/mosquitto.log

include_dir {folder}/conf.d
"""
"""/etc/mosquitto/mosquitto.conf of the package, with other paths."""
PASSWORD = "correct-horse"
NOT_AUTHORIZED = 135
"""Reason code of MQTT 5, section 2.4."""


class Heard(NamedTuple):
    """A message as the agent's session has it."""

    text: str
    qos: int
    again: bool
    """With the DUP flag."""


class Client:
    """One connection. With an id it has a session that lasts, on everything with QoS 1, as the agent's."""

    def __init__(self, port: int, user: str, client_id: str = "", password: str = PASSWORD) -> None:
        self.heard: list[Heard] = []
        self.told: list[int] = []
        """Reason codes of connecting and subscribing."""
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5)
        self._client.username_pw_set(user, password)
        self._client.on_message = self._on_message
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *given: self.told.append(given[3][0].value)
        self._client.max_inflight_messages_set(1000)
        expiry = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        expiry.SessionExpiryInterval = 7 * 86400 if client_id else 0
        self._client.connect("127.0.0.1", port, clean_start=not client_id, properties=expiry)
        self._client.loop_start()

    def publish(self, topic: str, texts: Sequence[str], qos: int = 1) -> None:
        """Returns when the broker has acknowledged all of it."""
        for told in [self._client.publish(topic, text, qos) for text in texts]:
            told.wait_for_publish(30)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, _: Any, flags: mqtt.ConnectFlags, code: Any, *__: Any) -> None:
        self.told.append(code.value)
        if client._client_id and not code.is_failure and not flags.session_present:
            client.subscribe("#", 1)

    def _on_message(self, _: mqtt.Client, __: object, message: mqtt.MQTTMessage) -> None:
        self.heard.append(Heard(message.payload.decode(), message.qos, message.dup))


def ours(folder: Path, *more: str) -> list[str]:
    """The lines of our file with the paths of a test, and others in place of some."""
    subprocess.run(["mosquitto_passwd", "-c", "-b", folder / "bellcrank.passwd", "bellcrank", PASSWORD], check=True)
    subprocess.run(["mosquitto_passwd", "-b", folder / "bellcrank.passwd", "tasmota", PASSWORD], check=True)
    (folder / "bellcrank.acl").write_text(ACL, encoding="utf-8")
    replaced = tuple(line.split()[0] for line in more)
    lines = [line for line in CONF.splitlines() if line and not line.startswith(("#", "listener", *replaced))]
    return [line.replace("/etc/mosquitto/", f"{folder}/") for line in [*lines, *more]]


@contextmanager
def broker(folder: Path, *more: str) -> Iterator[Mosquitto]:
    with Mosquitto(folder, *ours(folder, *more), f"persistence_location {folder}/") as running:
        yield running


async def agent_hears(running: Mosquitto, n: int = 0) -> list[Heard]:
    """What the agent's session holds when it comes: at least n, and all that comes before it is acknowledged."""
    with closing(Client(running.port, "bellcrank", "bellcrank-cabin")) as agent:
        await until(lambda: agent.told and len(agent.heard) >= n)
        with closing(Client(running.port, "tasmota")) as tasmota:
            tasmota.publish("tele/end", ["end"])
        await until(lambda: any(heard.text == "end" for heard in agent.heard))
    return [heard for heard in agent.heard if heard.text != "end"]


def publishes(running: Mosquitto, *texts: str, qos: int = 1) -> None:
    with closing(Client(running.port, "tasmota")) as tasmota:
        tasmota.publish("tele/door/SENSOR", texts, qos)


def is_saved(running: Mosquitto, text: str) -> bool:
    return text.encode() in (running.folder / "mosquitto.db").read_bytes()


async def saves(running: Mosquitto, text: str) -> None:
    """As at its interval."""
    assert running._process is not None
    running._process.send_signal(signal.SIGUSR1)
    await until(lambda: (running.folder / "mosquitto.db").exists() and is_saved(running, text))


async def test_a_restart_of_the_broker_loses_nothing_while_the_agent_is_away(tmp_path: Path) -> None:
    texts = [str(n) for n in range(3000)]
    with broker(tmp_path) as running:
        await agent_hears(running)
        publishes(running, *texts)
        running.stop()
        running.start()
        assert [heard.text for heard in await agent_hears(running, len(texts))] == texts


async def test_a_power_cut_loses_what_came_since_the_last_save_and_nothing_of_before(tmp_path: Path) -> None:
    with broker(tmp_path) as running:
        await agent_hears(running)
        publishes(running, "before")
        await saves(running, "before")
        publishes(running, "since")
        running.kill()
        running.start()
        assert [heard.text for heard in await agent_hears(running)] == ["before"]


async def test_after_a_power_cut_comes_again_unmarked_what_was_read_since_the_last_save(tmp_path: Path) -> None:
    with broker(tmp_path) as running:
        await agent_hears(running)
        publishes(running, "press")
        await saves(running, "press")
        assert await agent_hears(running, 1) == [Heard("press", 1, again=False)]
        running.kill()
        running.start()
        assert await agent_hears(running, 1) == [Heard("press", 1, again=False)]


async def test_with_a_save_after_each_change_a_power_cut_loses_only_what_came_just_now(tmp_path: Path) -> None:
    assert len(EACH_CHANGE) == 2
    with broker(tmp_path, *EACH_CHANGE) as running:
        await agent_hears(running)
        publishes(running, "press")
        await until(lambda: is_saved(running, "press"))
        running.kill()
        running.start()
        assert [heard.text for heard in await agent_hears(running, 1)] == ["press"]


async def test_what_is_published_with_qos_0_waits_too_and_is_acknowledged(tmp_path: Path) -> None:
    with broker(tmp_path) as running:
        await agent_hears(running)
        publishes(running, "press", qos=0)
        await until(lambda: "Received PUBLISH" in running.log())
        assert await agent_hears(running, 1) == [Heard("press", 1, again=False)]


async def test_without_its_bounds_the_broker_drops_in_silence_what_is_beyond_1000(tmp_path: Path) -> None:
    texts = [str(n) for n in range(1500)]
    with broker(tmp_path, "max_queued_messages 1000", "max_inflight_messages 20") as running:
        await agent_hears(running)
        publishes(running, *texts)
        heard = [heard.text for heard in await agent_hears(running, 1000)]
    assert len(heard) < 1500
    assert heard == texts[: len(heard)]


@pytest.mark.parametrize(
    ("user", "password", "code"),
    [("bellcrank", PASSWORD, 0), ("bellcrank", "wrong", NOT_AUTHORIZED), ("", "", NOT_AUTHORIZED)],
)
async def test_nobody_gets_in_without_a_password(tmp_path: Path, user: str, password: str, code: int) -> None:
    with broker(tmp_path) as running, closing(Client(running.port, user, password=password)) as client:
        await until(lambda: client.told)
        assert client.told[0] == code


async def test_the_agent_writes_nothing_but_its_availability_and_a_device_only_its_own(tmp_path: Path) -> None:
    with broker(tmp_path) as running, closing(Client(running.port, "bellcrank", "bellcrank-cabin")) as agent:
        await until(lambda: len(agent.told) == 2)
        for user, topic in (
            ("bellcrank", "tele/door/SENSOR"),
            ("tasmota", "zigbee2mqtt/front_doorbell"),
            ("bellcrank", "bellcrank/cabin/state"),
            ("tasmota", "tele/door/SENSOR"),
        ):
            with closing(Client(running.port, user)) as client:
                client.publish(topic, [f"{user} {topic}"])
        await until(lambda: len(agent.heard) == 2)
    assert [heard.text for heard in agent.heard] == ["bellcrank bellcrank/cabin/state", "tasmota tele/door/SENSOR"]


def test_it_goes_beside_the_file_that_debian_brings(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "conf.d").mkdir()
    lines = [f"listener {port} 127.0.0.1", "user root", *ours(tmp_path)]
    (tmp_path / "conf.d" / "bellcrank.conf").write_text("\n".join([*lines, ""]), encoding="utf-8")
    (tmp_path / "mosquitto.conf").write_text(DEBIAN.format(folder=tmp_path), encoding="utf-8")
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    with subprocess.Popen([program, "-c", tmp_path / "mosquitto.conf"]) as process:
        try:
            wait_for_port(port)
        finally:
            process.kill()
