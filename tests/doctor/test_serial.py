"""Real ports, good and bad, as the doctor finds them."""

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.doctor import admit, examine
from agent.doctor.processes import Account, Process
from agent.doctor.serial import Facts, Said, judge
from drivers.serial import SerialSource
from tests.doctor.parts import by_name, configure, found
from tests.support.agent import free_port
from tests.support.port import Port, RemotePort
from tests.support.waiting import until


def thermostat(folder: Path, port: str) -> Path:
    return configure(
        folder, f"sources: {{thermostat: {{driver: serial, port: '{port}', sensors: {{t: {{path: t}}}}}}}}\n"
    )


async def speaking(port: Port | RemotePort, line: bytes, file: Path) -> dict[str, tuple[str, str, str]]:
    """What is found while the device says a line again and again."""
    examining = asyncio.ensure_future(found(file, "serial", listen_s=20))

    def said() -> bool:
        with suppress(ConnectionError):  # the doctor has heard enough
            port.write(line)
        return examining.done()

    await until(said)
    return await examining


@pytest.mark.parametrize("make", [lambda folder: Port(folder / "ttyA"), lambda _: RemotePort()], ids=["device", "tcp"])
async def test_a_port_that_speaks_is_good(tmp_path: Path, make: object) -> None:
    port = make(tmp_path)  # type: ignore[operator]
    try:
        it = await speaking(port, b'{"t": 21.5}\n', thermostat(tmp_path, port.name))
    finally:
        port.close()
    assert all(verdict == "ok" for verdict, *_ in it.values())
    assert it["thermostat: data"][1].endswith("lines with a value were heard")


async def test_lines_without_a_value_are_told_with_the_reason(tmp_path: Path) -> None:
    with Port(tmp_path / "ttyA") as port:
        file = thermostat(tmp_path, port.name)
        examining = asyncio.ensure_future(found(file, "serial", listen_s=1))
        await until(lambda: port.write(b"\xf0\x9f noise\n") and examining.done())
        it = await examining
    verdict, seen, advice = it["thermostat: data"]
    assert verdict == "bad"
    assert "none with a value" in seen
    assert "baudrate" in advice


async def test_a_port_that_says_nothing_is_a_warning(tmp_path: Path) -> None:
    with Port(tmp_path / "ttyA") as port:
        it = await found(thermostat(tmp_path, port.name), "serial", listen_s=0.2)
    assert it["thermostat: data"][:2] == ("warn", "0 lines in 0.2 s at 9600 baud")


async def test_a_port_that_is_not_there_is_told(tmp_path: Path) -> None:
    it = await found(thermostat(tmp_path, f"{tmp_path}/ttyA"), "serial")
    assert it["thermostat: port"][0] == "bad"
    assert "there is no such port" in it["thermostat: port"][1]


async def test_a_socket_where_nobody_listens_is_told(tmp_path: Path) -> None:
    it = await found(thermostat(tmp_path, f"socket://127.0.0.1:{free_port()}"), "serial", listen_s=5)
    assert it["thermostat: data"][0] == "bad"
    assert "nobody listens there" in it["thermostat: data"][1]


@contextmanager
def other_reader(port: str) -> Iterator[int]:
    """A process that has the port open; gives its id."""
    code = "import sys; f = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, port]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        yield process.pid
        process.communicate(b"")


async def test_who_else_has_the_port_is_named_and_nothing_is_read_from_it(tmp_path: Path) -> None:
    with Port(tmp_path / "ttyA") as port, other_reader(port.name) as reader:
        it = await found(thermostat(tmp_path, port.name), "serial", listen_s=5)
    assert it["thermostat: in use"][0] == "bad"
    assert f"process {reader}" in it["thermostat: in use"][1]
    assert it["thermostat: data"][0] == "skipped"


async def test_an_agent_that_may_not_be_asked_keeps_its_port(tmp_path: Path) -> None:
    with Port(tmp_path / "ttyA") as port:
        patient = admit(thermostat(tmp_path, port.name), SystemClock(), listen_s=20, send_test=False)
        port.write(b'{"t": 1}\n')
        it = by_name(await examine(replace(patient, kept_out="no permission for its socket"), ["serial"]))
        again = await speaking(port, b'{"t": 1}\n', thermostat(tmp_path, port.name))
    assert it["thermostat: data"][:2] == ("skipped", "an agent may have it, and a port has one reader")
    assert again["thermostat: data"][0] == "ok"


OWNER, MEMBER, STRANGER = (
    Account("pi", 1000, frozenset({1000})),
    Account("pi", 1001, frozenset({20})),
    Account("pi", 1001, frozenset({1001})),
)


def device(mode: int) -> os.stat_result:
    """Of user 1000 and group 20."""
    return os.stat_result((stat.S_IFCHR | mode, 0, 0, 1, 1000, 20, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("account", "mode", "expected"),
    [
        (OWNER, 0o600, "ok"),
        (MEMBER, 0o660, "ok"),
        (STRANGER, 0o660, "bad"),
        (STRANGER, 0o666, "ok"),
        (MEMBER, 0o640, "bad"),
        (Account("root", 0, frozenset({0})), 0o600, "ok"),
    ],
)
def test_who_may_open_a_port_is_judged_by_its_mode(account: Account, mode: int, expected: str) -> None:
    source = SerialSource(driver="serial", port="/dev/serial/by-id/x", sensors={})
    it = by_name(judge(Facts("s", source, device(mode)), account, None, None))
    assert it["s: port"][0] == expected
    if expected == "bad":
        assert "usermod -a -G dialout pi" in it["s: port"][2]


def test_a_numbered_name_is_warned_of_with_the_one_that_stays() -> None:
    source = SerialSource(driver="serial", port="/dev/ttyUSB0", sensors={})
    facts = Facts("s", source, device(0o660), by_id="/dev/serial/by-id/usb-Uno", said=Said(1.0, 1, 1))
    it = by_name(judge(facts, MEMBER, None, None))
    assert it["s: name"] == (
        "warn",
        "/dev/ttyUSB0 may be another device after the next start",
        "use /dev/serial/by-id/usb-Uno",
    )


def test_a_source_that_the_running_agent_does_not_know_waits_for_a_reload() -> None:
    source = SerialSource(driver="serial", port="/dev/serial/by-id/x", sensors={})
    it = by_name(judge(Facts("s", source, device(0o660)), MEMBER, 42, None))
    assert it["s: data"][0] == "warn"
    assert "bellcrank reload" in it["s: data"][2]


def test_the_agent_itself_is_no_stranger_at_its_port() -> None:
    source = SerialSource(driver="serial", port="/dev/serial/by-id/x", sensors={})
    told = {"state": "open", "detail": "", "messages": 7, "refused": 0, "last_refusal": None}
    facts = Facts("s", source, device(0o660), openers=(Process(42, "bellcrank"),), agent=told)
    it = by_name(judge(facts, MEMBER, 42, None))
    assert it["s: data"] == ("ok", "the agent has it: open, 7 messages, 0 refused", "")
    assert "s: in use" not in it
    assert by_name(judge(facts, MEMBER, 43, None))["s: in use"][0] == "bad"
