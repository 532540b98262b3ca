"""What systemd is told, heard on a real datagram socket, and the unit files, judged by systemd's own tools."""

import asyncio
import os
import re
import resource
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from agent import service
from agent.cli import common
from agent.config import Config, ConfigErrors, load
from agent.install.ready import readyz
from agent.model import Content
from agent.observe import Observer
from agent.outbox import Outbox
from agent.parts import Parts
from agent.pipeline import Pipeline
from agent.rules import Book, Engine
from agent.service import Service
from agent.systemd import Systemd
from agent.tasks import Tasks
from drivers.base import Surroundings
from tests.faults.oracle import SECRET
from tests.support.agent import AgentProcess, free_port
from tests.support.hands import HandClock
from tests.support.waiting import until
from tests.test_cli import CONFIG

UNITS = Path(__file__).parent.parent / "systemd"


class Ear:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    def listen(self) -> list[str]:
        """All that was said since the beginning, one entry a datagram."""
        while True:
            try:
                self.heard.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return self.heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    found = Ear(str(tmp_path / "notify"))
    yield found
    found.close()


def systemd(socket_name: object, **env: str) -> Systemd:
    return Systemd({"NOTIFY_SOCKET": str(socket_name), **env}, lambda: 123456)


def test_it_tells_what_the_agent_does(ear: Ear, tmp_path: Path) -> None:
    one = systemd(tmp_path / "notify")
    one.ready("3 sources\n2 rules")
    one.reloading()
    one.stopping()
    assert ear.listen() == [
        "READY=1\nSTATUS=3 sources 2 rules",
        "RELOADING=1\nMONOTONIC_USEC=123456\nSTATUS=reloading",
        "STOPPING=1\nSTATUS=stopping",
    ]


def test_it_tells_though_no_descriptor_is_left(ear: Ear, tmp_path: Path) -> None:
    one = systemd(tmp_path / "notify")
    free = os.dup(0)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        one.ready("")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert ear.listen() == ["READY=1\nSTATUS="]


def test_an_abstract_socket_is_reached_too() -> None:
    name = f"bellcrank-test-{os.getpid()}"
    ear = Ear(f"\0{name}")
    systemd(f"@{name}").ready("")
    assert ear.listen() == ["READY=1\nSTATUS="]
    ear.close()


@pytest.mark.parametrize("name", ["", "vsock:2:1", "/nobody/listens/here", "relative"])
def test_nothing_breaks_where_nobody_listens(name: str) -> None:
    systemd(name).ready("")
    Systemd({}, lambda: 0).ready("")


@pytest.mark.parametrize(
    ("env", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "2000000"}, 2.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}, 2.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_the_one_that_systemd_asks_of_this_process(
    env: dict[str, str], watchdog_s: float | None
) -> None:
    assert systemd("/notify", **env).watchdog_s == watchdog_s
    assert Systemd(env, lambda: 0).watchdog_s is None


async def test_the_watchdog_is_fed_until_the_pipeline_is_stuck(ear: Ear, tmp_path: Path) -> None:
    clock, asked = HandClock(), 0
    config = Config(version=1, sources={})
    outbox = Outbox(tmp_path, {})
    stuck = Pipeline(Engine(Book({}, (), {}, str, {})), outbox, {}, clock, lambda *_: Content(b""))
    around = Surroundings("cabin", "", clock, Random(), {})
    parts = Parts(clock, around, outbox, stuck, {}, Tasks(lambda: None))
    observer = Observer(config, "", clock, stuck, outbox, parts)

    def alive() -> bool:
        nonlocal asked
        asked += 1
        return observer.alive()

    one = systemd(tmp_path / "notify", WATCHDOG_USEC="2000")
    feeding = asyncio.create_task(one.feed_watchdog(alive))
    try:
        await until(lambda: len(ear.listen()) >= 3)
        assert set(ear.heard) == {"WATCHDOG=1"}
        clock.advance(16)
        fed, before = len(ear.listen()), asked
        await until(lambda: asked >= before + 3)
        assert len(ear.listen()) == fed
    finally:
        feeding.cancel()


async def test_the_agent_tells_that_it_is_ready_feeds_the_watchdog_and_says_goodbye(ear: Ear, tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path, CONFIG.format(mqtt=free_port(), http=free_port(), secret=SECRET))
    agent.start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="100000")
    try:
        await until(lambda: ear.listen().count("WATCHDOG=1") > 1, 20)
        assert ear.heard[0] == "READY=1\nSTATUS=1 source, 1 rule, 1 webhook"
        assert await asyncio.to_thread(readyz, agent.state / "control.sock") == "ready"
        assert await asyncio.to_thread(agent.stop) == 0
        assert await asyncio.to_thread(readyz, agent.state / "control.sock") == ""
        assert [word for word in ear.listen() if word != "WATCHDOG=1"][-1] == "STOPPING=1\nSTATUS=stopping"
    finally:
        agent.kill()


# -- credentials


def configured(folder: Path, credential: str) -> Path:
    path = folder / "bellcrank.yaml"
    webhook = f'{{url: "https://ops.example.com", secrets: [!credential "{credential}"]}}'
    path.write_text(f"version: 1\nsources: {{}}\nwebhooks: {{ops: {webhook}}}\n")
    return path


def test_a_secret_may_be_a_credential_of_the_service(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir(0o700)
    (credentials / "ops_whsec").write_text(SECRET + "\n")
    (credentials / "ops_whsec").chmod(0o400)
    config = load(configured(tmp_path, "ops_whsec"), {"CREDENTIALS_DIRECTORY": str(credentials)})
    assert config.webhooks["ops"].secrets[0].get_secret_value() == SECRET


@pytest.mark.parametrize(
    ("credential", "env", "why"),
    [
        ("ops_whsec", {}, "there is no $CREDENTIALS_DIRECTORY"),
        ("ops_whsec", {"CREDENTIALS_DIRECTORY": "/nowhere"}, "/nowhere/ops_whsec: No such file"),
        ("../ops_whsec", {"CREDENTIALS_DIRECTORY": "/nowhere"}, "a credential is named without a path"),
        ("..", {"CREDENTIALS_DIRECTORY": "/nowhere"}, "a credential is named without a path"),
    ],
)
def test_a_credential_that_cannot_be_had_is_told(
    tmp_path: Path, credential: str, env: dict[str, str], why: str
) -> None:
    with pytest.raises(ConfigErrors, match=re.escape(why)):
        load(configured(tmp_path, credential), env)


# -- the unit files


def tool(*command: str | Path) -> str:
    """Run it; returns what it said. It has to end well."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is there."""
    path = tmp_path / "bellcrank.service"
    text = (UNITS / "bellcrank.service").read_text(encoding="utf-8")
    path.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", text), encoding="utf-8")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system to install into."""
    etc = tmp_path / "root" / "etc"
    etc.mkdir(parents=True)
    for name in ("passwd", "group"):
        shutil.copy(f"/etc/{name}", etc)
    return tmp_path / "root"


def test_systemd_has_nothing_to_say_of_the_unit(unit: Path) -> None:
    assert tool("systemd-analyze", "verify", unit) == ""


def test_the_unit_of_several_agents_is_the_same_but_for_what_is_theirs() -> None:
    one, many = (
        (UNITS / name).read_text(encoding="utf-8").splitlines() for name in ("bellcrank.service", "bellcrank@.service")
    )
    garage = Service("garage")
    theirs = {line.replace("%i", "garage") for line in many} - set(one)
    assert {line for line in theirs if not line.startswith("#")} == {
        "Description=bellcrank garage: sensor readings in, signed webhooks out",
        f"ExecStart=/opt/bellcrank/current/bin/bellcrank run --config {garage.config}",
        f"StateDirectory={garage.state.name}",
        f"RuntimeDirectory={garage.runtime.name}",
    }
    assert len(one) == len(many)


def test_systemd_has_nothing_to_say_of_the_unit_of_several_agents(tmp_path: Path) -> None:
    text = (UNITS / "bellcrank@.service").read_text(encoding="utf-8")
    text = re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", text)
    (tmp_path / "bellcrank@.service").write_text(text, encoding="utf-8")
    assert tool("systemd-analyze", "verify", tmp_path / "bellcrank@garage.service") == ""


def test_the_service_is_exposed_to_little(unit: Path) -> None:
    said = tool("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    found = re.search(r"Overall exposure level for bellcrank.service: ([\d.]+)", said)
    assert found, said
    assert float(found[1]) <= 2.0, said


def test_the_unit_says_what_the_program_does(unit: Path) -> None:
    lines = set(unit.read_text(encoding="utf-8").splitlines())
    assert {
        "Type=notify",
        "ExecReload=/bin/kill -HUP $MAINPID",
        f"RestartPreventExitStatus={common.BAD_CONFIG}",
        f"RuntimeDirectory={Service().runtime.name}",
        f"ConfigurationDirectory={service.CONFIG.name}",
        f"StateDirectory={Service().state.name}",
    } <= lines


def test_a_start_that_has_much_to_save_is_not_cut_off(unit: Path) -> None:
    lines = unit.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("TimeoutStartSec=")] == ["TimeoutStartSec=infinity"]


def test_the_unit_lets_the_agent_ask_the_kernel_of_its_clock(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    assert text.index("~@privileged") < text.index("SystemCallFilter=adjtimex clock_adjtime clock_adjtime64")
    assert "\nProtectClock=yes" not in text, "it forbids adjtimex(2), whatever the filter says"


def test_the_user_and_its_folders_are_made(root: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can make users")
    tool("systemd-sysusers", f"--root={root}", UNITS / "bellcrank.sysusers.conf")
    assert re.search(r"^dialout:.*\bbellcrank$", (root / "etc/group").read_text(), re.MULTILINE)
    found = re.search(r"^bellcrank:x:(\d+):(\d+):", (root / "etc/passwd").read_text(), re.MULTILINE)
    assert found
    tool("systemd-tmpfiles", "--create", f"--root={root}", UNITS / "bellcrank.tmpfiles.conf")
    status = (root / "etc/bellcrank").stat()
    assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o750, 0, int(found[2]))


def test_all_files_of_the_configuration_are_for_the_agents_alone(root: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can make users")
    tool("systemd-sysusers", f"--root={root}", UNITS / "bellcrank.sysusers.conf")
    folder = root / "etc/bellcrank"
    folder.mkdir()
    for name in ("bellcrank.yaml", "garage.yaml", "secrets.yaml", "garage.whsec"):
        (folder / name).touch(0o600)
    tool("systemd-tmpfiles", "--create", f"--root={root}", UNITS / "bellcrank.tmpfiles.conf")
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o640}
    assert {path.stat().st_gid for path in folder.iterdir()} == {folder.stat().st_gid} != {0}
