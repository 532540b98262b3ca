"""Every command in the pages exists, has these options, and, where it can be, is run in a real house.

The house is what README's quick start makes: it is run as it stands, line by line, with the ports of this test.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.cli import main
from tests.docs.pages import ROOT, Block, Command, blocks, read, rows
from tests.docs.shell import commands, commands_of, leaf, leaves, options, parse
from tests.faults.campaign import FAULTS
from tests.support.agent import free_port
from tests.support.mosquitto import Mosquitto, Said
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("_plain_environment")

OPTIONS_ONLY = {
    "run": "the quick start runs it",
    "listen": "the quick start runs it",
    "restore": "is for when no agent runs: tests/outbox/test_backup.py",
    "discover serial": "there is no serial port: tests/test_tools.py",
    "record": "tests/test_recording.py",
    "rules test": "needs a recording: tests/test_replay.py",
    "config init": "the quick start runs it, and it overwrites nothing",
    "discover mqtt": "names a broker that is not here: tests/test_tools.py",
    "doctor": "listens for a while: tests/doctor",
    "install": "as root, on a booted systemd: scripts/prove-service",
    "uninstall": "as root, on a booted systemd: scripts/prove-service",
    "verify": "needs a request: tests/test_verify.py",
}
"""Of `bellcrank`: why nothing but the words is checked."""

NOTHING_TO_DO = {"there is no such event\n"}
"""What a command says that would replay or discard what is dead, where nothing is."""

FOREIGN = {
    "scripts/demo": "tests/test_demo.py",
    "scripts/test": "runs this",
    "scripts/venv": "made what runs this",
    "python": "see test_a_module_and_its_options_exist",
    "export": "of the shell",
    "systemctl": "there is no systemd",
    "journalctl": "there is no systemd",
    "sudoedit": "an editor",
    "adduser": "as root",
    "scripts/install": "as root, on a booted systemd: scripts/prove-service",
    "pipx": "downloads",
    "uv": "downloads",
    "mosquitto_pub": "the quick start plays it",
    "ssh": "to another machine",
    "chmod": "of the system",
}
"""Other programs, and why they are not run."""

ALL = commands("console")
OWN = [command for command in ALL if command.words[0] == "bellcrank"]


@pytest.fixture
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BELLCRANK_CONFIG", "CONFIGURATION_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)


# -- the table of commands


def _documented() -> dict[tuple[str, ...], str]:
    cells = [row[0].strip("`") for row in rows("docs/commands.md", "command")]
    paths = [leaf(cell.split()[1:]) for cell in cells]
    assert len(paths) == len(set(paths)), "a command that stands there twice"
    return dict(zip(paths, cells, strict=True))


def test_every_command_is_in_the_table_once_and_no_other() -> None:
    assert set(_documented()) == set(leaves())


@pytest.mark.parametrize("path", leaves(), ids=" ".join)
def test_the_table_has_the_options_that_a_command_has(path: tuple[str, ...]) -> None:
    cell = _documented()[path]
    has = options(path)
    if "FILTERS" in cell:
        has -= _filters()
    assert set(re.findall(r"--[a-z-]+", cell)) == has - {"--config"}


def test_the_filters_are_those_that_the_page_names() -> None:
    for path in leaves():
        if path[0] == "events" and path[1] != "show":
            assert _filters() <= options(path)


def _filters() -> set[str]:
    text = re.search(r"^FILTERS are (.*?)\n\n", read("docs/commands.md"), re.DOTALL | re.MULTILINE)
    assert text
    return set(re.findall(r"--[a-z-]+", text[1]))


# -- the words


def test_each_exception_is_needed() -> None:
    used = {" ".join(leaf(command.words[1:])) for command in OWN}
    assert set(OPTIONS_ONLY) - used - {"verify", "record"} == set()
    assert set(FOREIGN) == {command.words[0] for command in ALL} - {"bellcrank"}


@pytest.mark.parametrize("command", OWN, ids=str)
def test_a_command_has_these_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    monkeypatch.chdir(tmp_path)
    path = leaf(command.words[1:])
    words = list(command.words[1 + len(path) :])
    for word in words:
        if re.fullmatch(r"[\w.]+\.(yaml|jsonl|backup)", word) and "--output" not in words:
            Path(word).touch()
    parse(path, words)


@pytest.mark.parametrize("command", [command for command in ALL if command.words[0] == "python"], ids=str)
def test_a_module_and_its_options_exist(command: Command) -> None:
    module = ROOT / command.words[2].replace(".", "/")
    found = [path for path in (module.with_suffix(".py"), module / "__main__.py") if path.is_file()]
    assert command.words[1] == "-m"
    assert found
    for word in command.words[3:]:
        if word.startswith("--"):
            assert f'"{word}"' in found[0].read_text(encoding="utf-8")
    assert command.words[2] != "tests.faults" or {*command.words[3:4]} <= {"--list", "all", *FAULTS}


@pytest.mark.parametrize("command", ALL, ids=str)
def test_a_file_of_the_project_is_there(command: Command) -> None:
    for word in command.words:
        if re.match(r"(agent|bench|config|docs|scripts|systemd|tests)/", word):
            assert (ROOT / word).exists(), word


# -- the house


class House:
    """A folder in which the quick start was run: broker, receiver and agent are there."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.folder, self.broker = folder, broker
        self.port, self.status = free_port(), free_port()
        self.answers: list[tuple[Command, Result]] = []
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    async def quick_start(self, block: Block) -> None:
        for command in commands_of(block):
            if command.words[0] == "mosquitto_pub":
                await self.publish(command.words)
            elif command.words[0] == "bellcrank":
                await self.call(command)

    async def call(self, command: Command) -> None:
        words = tuple(re.sub(r"^/etc/bellcrank/\w+\.yaml$", "bellcrank.yaml", word) for word in command.words[1:])
        if words[0] == "listen":
            self.listen(*words)
            await until(lambda: b"listening" in self.heard(), 60)
        elif words[0] == "run":
            self._start("agent", *words)
            await until(self._listens, 60, what=lambda: (self.folder / "agent.log").read_text())
        else:
            self.answers.append((command, CliRunner().invoke(main, list(words), input="y\n")))
        if words[:2] == ("config", "init"):
            self._use_free_ports()

    def listen(self, *words: str) -> None:
        self._start("receiver", *words, "--port", str(self.port))

    async def publish(self, words: tuple[str, ...]) -> None:
        given = dict(zip(words[1::2], words[2::2], strict=True))
        await self.broker.publish(Said(given["-t"], given["-m"], int(given["-q"])))

    def heard(self) -> bytes:
        return (self.folder / "receiver.log").read_bytes()

    def failed(self) -> list[tuple[str, str]]:
        """Commands, and what they said."""
        return [(str(command), result.output) for command, result in self.answers if result.exit_code != 0]

    def close(self) -> None:
        for name in [*self._processes]:
            self.end(name)

    def end(self, name: str) -> None:
        process = self._processes.pop(name)
        process.terminate()
        process.wait(20)

    def _listens(self) -> bool:
        """The agent, to its broker."""
        sources = f"http://127.0.0.1:{self.status}/api/v1/sources"
        with contextlib.suppress(OSError), urllib.request.urlopen(sources, timeout=5) as answer:
            return bool(json.load(answer)["sources"]["rooms"]["state"] == "open")
        return False

    def _start(self, name: str, *words: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-u", "-m", "agent", *words]
            env = {**os.environ, "PYTHONPATH": str(ROOT), "STATE_DIRECTORY": str(self.folder / "state")}
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=env)
        self._processes[name] = process

    def _use_free_ports(self) -> None:
        """Those of this test in place of the usual ones; and a second webhook, `ops`, of which other pages speak."""
        file = self.folder / "bellcrank.yaml"
        text = file.read_text(encoding="utf-8").replace(":1883", f":{self.broker.port}")
        text = text.replace(":9000/", f":{self.port}/")
        text += f'  ops: {{url: "http://127.0.0.1:{self.port}/ops", secrets: [!secret here_whsec]}}\n'
        file.write_text(text + f"status: {{listen: '127.0.0.1:{self.status}'}}\n", encoding="utf-8")


QUICK_START = next(block for block in blocks("console") if "bellcrank config init bellcrank.yaml" in block.text)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    (tmp_path / "broker").mkdir()
    with Mosquitto(tmp_path / "broker") as broker, contextlib.closing(House(tmp_path, broker)) as house:
        yield house


def looks_as_the_page_says(house: House) -> None:
    """The event of the quick start beside the one of docs/receiving.md."""
    (block,) = blocks("json")
    drawn = json.loads(block.text)
    exported = CliRunner().invoke(main, ["events", "export", "--config", "bellcrank.yaml", "--type", drawn["type"]])
    found = json.loads(json.loads(exported.output.splitlines()[0])["body"])
    assert set(found) == set(drawn)
    assert set(found["data"]) == set(drawn["data"])
    alike = ("specversion", "type", "subject", "datacontenttype")
    assert [found[key] for key in alike] == [drawn[key] for key in alike]
    data = set(drawn["data"]) - {"alert_id", "started_at", "agent", "clock"}
    assert [found["data"][key] for key in data] == [drawn["data"][key] for key in data]


async def misses_an_event(house: House) -> None:
    """What the quick start invites to: what the receiver misses arrives when it is there again."""
    (published,) = [command.words for command in commands_of(QUICK_START) if command.words[0] == "mosquitto_pub"]
    (less,) = re.findall(r"publish\s+`([^`]*)`", read("README.md"))
    house.end("receiver")
    await house.publish((*published[:-1], less))
    house.listen("listen", "--secret-file", "secrets.yaml")
    await until(lambda: re.search(rb"VERIFIED .* sensor.alert.resolved ", house.heard()), 60)


async def test_the_quick_start_goes_as_it_stands_and_then_the_rest(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.quick_start(QUICK_START)
    assert house.failed() == []
    await until(lambda: re.search(rb"VERIFIED .* sensor.alert.firing ", house.heard()), 60)
    looks_as_the_page_says(house)
    await misses_an_event(house)
    monkeypatch.setenv("BELLCRANK_CONFIG", str(house.folder / "bellcrank.yaml"))
    for command in OWN:
        path = " ".join(leaf(command.words[1:]))
        if command.block != QUICK_START and path not in OPTIONS_ONLY:
            (house.folder / "cabin.backup").unlink(missing_ok=True)
            await house.call(command)
    assert [(command, said) for command, said in house.failed() if said not in NOTHING_TO_DO] == []
