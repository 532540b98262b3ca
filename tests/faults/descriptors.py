"""No descriptor is left: what connects, accepts and opens fails, until there are some again."""

import asyncio
import os
import resource
import socket
from contextlib import suppress
from pathlib import Path

from tests.faults.fault import Fault, Result
from tests.faults.house import House, ask, house
from tests.faults.stream import CONFIG as STORM
from tests.support.port import Port
from tests.support.waiting import until

CONFIG = STORM.replace(
    "rules:", '  device: {{driver: serial, port: "{folder}/device", sensors: {{n: {{path: n}}}}}}\nrules:'
)
LOG_LINES_MAX = 60
"""While it lasts: each part says once what is the matter, and not each time that it tries."""
CPU_SHARE_MAX = 0.5
_KNOCKS = 20
_GROWS_MAX = 8
"""Connections that are kept alive."""


async def out_of_descriptors(folder: Path, *, seconds: float, seed: int, mutant: str | None = None) -> Result:
    """Feeds, couriers, page and control socket lose what they have, and get nothing new for a while.

    uvloop takes a connection for which there is no descriptor and closes it; asyncio's own loop tries again and again.
    """
    with Port(folder / "device") as port:
        async with house(folder, seed, config=CONFIG, mutant=mutant, within=("tests.faults.plain",)) as at:
            limits = resource.prlimit(at.agent.pid, resource.RLIMIT_NOFILE)
            before, lines, cpu_s = at.agent.descriptors(), at.agent.said().count("\n"), cpu_seconds(at.agent.pid)
            squeeze(at.agent.pid)
            at.result.strikes += 1
            squeezing = asyncio.create_task(_keep_squeezing(at.agent.pid))
            knocking = [_knock(at.agent.port) for _ in range(_KNOCKS)]
            try:
                port.unplug()
                port.plug()
                at.link.cut()
                await at.oracle.stop()
                await at.oracle.start()
                await asyncio.sleep(seconds)
                at.result.figures["log lines"] = at.agent.said().count("\n") - lines
                at.result.figures["cpu share"] = (cpu_seconds(at.agent.pid) - cpu_s) / seconds
                _demand_calm(at)
            finally:
                squeezing.cancel()
                for knock in knocking:
                    knock.close()
            resource.prlimit(at.agent.pid, resource.RLIMIT_NOFILE, limits)
            await _all_answer(at, port)
            await at.judge()
            with suppress(AssertionError):
                await until(lambda: at.agent.descriptors() <= before + _GROWS_MAX, 20)
            at.result.figures["descriptors grew by"] = grew = at.agent.descriptors() - before
            at.result.demand(grew <= _GROWS_MAX, f"{grew} descriptors leaked")
        return at.result


def _demand_calm(at: House) -> None:
    figures, demand, said = at.result.figures, at.result.demand, at.agent.said()
    demand(figures["log lines"] <= LOG_LINES_MAX, f"the log is flooded: {figures['log lines']:g} lines; {said[-1500:]}")
    demand(figures["cpu share"] <= CPU_SHARE_MAX, f"it spins: {figures['cpu share']:g} of a core")
    demand("oo many open files" in said, "the log does not tell what is the matter")


async def _all_answer(at: House, port: Port) -> None:
    """Feeds are open, the page and the control socket answer, the couriers deliver."""

    def heard() -> bool:
        port.write(b'{"n": 7}\n')
        return bool(at.agent.status().get("sensors", {}).get("device.n", {}).get("value") == 7)

    await until(heard, 60, what=lambda: f"the device is heard; {at.agent.said()[-2000:]}")
    await at.ready()
    await at.goes_on()
    at.result.demand(ask(at.agent, "/readyz")[0] == 200, "/readyz does not say 200 again")
    control = next(at.agent.state.glob("*.sock"))
    with socket.socket(socket.AF_UNIX) as asking:
        await asyncio.to_thread(asking.connect, str(control))
        asking.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: agent\r\n\r\n")
        asking.settimeout(20)
        answer = await asyncio.to_thread(asking.recv, 100)
    at.result.demand(b"200" in answer, "the control socket does not answer")


def squeeze(pid: int) -> None:
    """Let there be not one more than what is open now."""
    taken = {int(one.name) for one in Path(f"/proc/{pid}/fd").iterdir()}
    free = next(number for number in range(len(taken) + 1) if number not in taken)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))


async def _keep_squeezing(pid: int) -> None:
    """What is closed meanwhile is not had again."""
    while True:
        squeeze(pid)
        await asyncio.sleep(0.02)


def _knock(port: int) -> socket.socket:
    """Somebody who wants to look at the page, and waits."""
    knock = socket.socket()
    knock.setblocking(False)
    with suppress(BlockingIOError):
        knock.connect(("127.0.0.1", port))
    return knock


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processor."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


FAULTS = [
    Fault(
        "descriptors",
        "no file descriptor is left, all connections break",
        "times",
        out_of_descriptors,
        ("feeds-stay-lost", "no-pauses"),
    )
]
