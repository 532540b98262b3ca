"""When the network comes back: what the kernel says of it, in a network namespace of its own."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.network import Known, default_routes
from tests.faults.oracle import SECRET
from tests.support.agent import AgentProcess
from tests.support.waiting import until

HERE, THERE = "10.203.77.1", "10.203.77.2"


def message(kind: int, head: bytes, *attributes: tuple[int, bytes]) -> bytes:
    """One of rtnetlink(7)."""
    body = head
    for number, value in attributes:
        body += struct.pack("=HH", 4 + len(value), number) + value + bytes(-len(value) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def address(text: str, *, kind: int = 20, scope: int = 0, flags: int = 0) -> bytes:
    packed = socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    return message(kind, struct.pack("=BBBBI", family, 24, flags, scope, 2), (1, packed))


def route(gateway: str, *, kind: int = 24, length: int = 0, of: int = 1) -> bytes:
    head = struct.pack("=BBBBBBBBI", socket.AF_INET, length, 0, 0, 254, 3, 0, of, 0)
    return message(kind, head, (5, socket.inet_aton(gateway)), (4, struct.pack("=I", 2)))


@pytest.mark.parametrize(
    ("said", "news"),
    [
        (address("10.0.0.5"), True),
        (address("2001:db8::5"), True),
        (address("127.0.0.1", scope=254), False),
        (address("fe80::5", scope=253), False),
        (address("2001:db8::5", flags=0x40), False),
        (address("10.0.0.5", kind=21), False),
        (route("10.0.0.1"), True),
        (route("10.0.0.1", length=24), False),
        (route("10.0.0.1", of=7), False),
        (route("10.0.0.1", kind=25), False),
        (route("10.0.0.1", length=24) + address("10.0.0.5"), True),
        (message(16, bytes(16)), False),
        (b"", False),
        (b"\0" * 64, False),
        (address("10.0.0.5")[:-1], False),
        (struct.pack("=IHHII", 17, 20, 0, 0, 0) + b"\2", False),
        (struct.pack("=IHHII", 0xFFFFFFFF, 20, 0, 0, 0), False),
    ],
)
def test_a_default_route_or_an_address_that_others_can_reach_is_news(said: bytes, news: bool) -> None:
    assert Known().take(said) is news


def test_what_is_announced_again_is_no_news_until_it_was_gone() -> None:
    known = Known()
    assert known.take(address("2001:db8::5"))
    assert not known.take(address("2001:db8::5"))
    assert known.take(address("2001:db8::6"))
    assert not known.take(address("2001:db8::5", kind=21))
    assert known.take(address("2001:db8::5"))


ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
wlan1\t00000000\t0100A8C0\t0002\t0\t0\t600\t00000000\t0\t0\t0
wlan0\t0000A8C0\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0
"""
ZERO = "0" * 32
ROUTES_6 = f"""{ZERO} 00 {ZERO} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003    wlan0
{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo
20010db8{ZERO[8:]} 40 {ZERO} 00 {ZERO} 00000100 00000001 00000000 00000001    wlan0
"""


def test_the_default_routes_are_read_from_the_kernels_tables() -> None:
    assert default_routes(ROUTES, ROUTES_6) == {"wlan0 0100A8C0", "wlan0 fe800000000000000000000000000001"}
    assert default_routes("") == frozenset()


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def namespace() -> Iterator[str]:
    """A network namespace that is joined to this one by a pair of interfaces, without addresses at first."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("a network namespace needs root and iproute2")
    name = f"bellcrank-{os.getpid()}"
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"a network namespace is not permitted: {error.stderr!r}")
    try:
        ip("link", "add", "bellcrank0", "type", "veth", "peer", "name", "bellcrank1", "netns", name)
        ip("addr", "add", f"{HERE}/24", "dev", "bellcrank0")
        ip("link", "set", "bellcrank0", "up")
        yield name
    except subprocess.CalledProcessError as error:
        pytest.skip(f"a pair of interfaces is not permitted: {error.stderr!r}")
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("link", "del", "bellcrank0")  # the namespace alone takes its time
        ip("netns", "del", name)


def connect(name: str) -> None:
    ip("-n", name, "link", "set", "bellcrank1", "up")
    ip("-n", name, "addr", "add", f"{THERE}/24", "dev", "bellcrank1")


WATCH = """
import asyncio, sys
from agent import network
network.LOOK_EVERY_S = 0.05
if sys.argv[1] == "routes":
    network.socket.AF_NETLINK = -1  # no socket is of that family

async def main():
    watching = asyncio.create_task(network.watch(lambda: print("came", flush=True)))
    await asyncio.sleep(0)
    print("begun", flush=True)
    await watching

asyncio.run(main())
"""


@pytest.mark.parametrize("way", ["netlink", "routes"])
async def test_it_is_told_when_a_default_route_comes_and_not_when_it_goes(way: str) -> None:
    with namespace() as name:
        command = ["ip", "netns", "exec", name, sys.executable, "-c", WATCH, way]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        try:
            assert await process.stdout.readline() == b"begun\n"
            connect(name)
            if way == "netlink":
                assert await process.stdout.readline() == b"came\n", "an address"
            for _ in range(2 if way == "netlink" else 1):  # one that is gone for a moment is not seen in the table
                ip("-n", name, "route", "add", "default", "via", HERE)
                assert await process.stdout.readline() == b"came\n"
                ip("-n", name, "route", "del", "default")
        finally:
            process.kill()
            rest, _ = await process.communicate()
        assert rest == b""


CONFIG = f"""
version: 1
sources:
  lab:
    driver: simulated
    every: 100ms
    sensors: {{{", ".join(f"s{n}: {{wave: {{noise: {{min: 1, max: 2}}}}}}" for n in range(8))}}}
rules:
  each_one: {{sensor: "lab.*", each: reading}}
webhooks:
  ops: {{url: "http://{HERE}:%d/", secrets: [{SECRET}], rest: {{min: 1h, max: 2h}}}}
status: {{listen: false}}
"""


async def test_the_agent_delivers_as_soon_as_its_network_is_there_though_it_rests_for_an_hour(tmp_path: Path) -> None:
    with namespace() as name, socket.create_server((HERE, 0)) as listener:
        listener.setblocking(False)
        agent = AgentProcess(tmp_path, CONFIG % listener.getsockname()[1], within=("ip", "netns", "exec", name))
        agent.start()
        try:
            await until(lambda: state(agent) == "resting", what="it rests")
            connect(name)
            async with asyncio.timeout(30):
                connection, _ = await asyncio.get_running_loop().sock_accept(listener)
                connection.close()
        finally:
            agent.kill()


def state(agent: AgentProcess) -> str:
    """What the control socket, which is in no network, says of the webhook."""
    command = [sys.executable, "-m", "agent", "status", "--json", "--config", str(agent.config)]
    env = {**os.environ, "STATE_DIRECTORY": str(agent.state)}
    said = subprocess.run(command, capture_output=True, check=False, env=env).stdout
    return str(json.loads(said)["webhooks"]["ops"]["state"]) if said.startswith(b"{") else ""
