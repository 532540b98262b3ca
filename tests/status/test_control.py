"""The control socket, for real: who may open it, what it answers, and what becomes of a stale one."""

import asyncio
import socket
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from agent.control_client import CommandRefused, NoAgent, NotAllowed, ask
from agent.outbox import Archive, Filter, Moved, Span
from agent.status.api import ReloadRefused, Tried, WebhookDisabled, routes, served
from agent.status.control import ControlServer
from agent.status.snapshot import Snapshot
from tests.status.test_server import snapshot
from tests.support.eyes import Fixed


class Recorder:
    """Knows one sensor and one webhook, and notes what it is told to do."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.reloads: Callable[[], Sequence[str]] = lambda: ["agent.name"]

    async def reload(self) -> Sequence[str]:
        return self.reloads()

    async def forget(self, sensor: str) -> bool:
        return self._do("forget", sensor, "thermostat.t")

    async def enable(self, webhook: str) -> bool:
        return self._do("enable", webhook, "ops")

    async def disable(self, webhook: str) -> bool:
        return self._do("disable", webhook, "ops")

    async def retry(self, webhook: str) -> bool:
        if webhook == "off":
            raise WebhookDisabled
        return self._do("retry", webhook, "ops")

    async def test(self, webhook: str) -> Tried | None:
        return Tried(204, None, 0.01) if self._do("test", webhook, "ops") else None

    async def replay(self, wanted: Filter, span: Span) -> Moved:
        self.done.append(f"replay {wanted.webhook} {wanted.states} {span.after} {span.upto}")
        return Moved(2, 7)

    async def discard(self, wanted: Filter, span: Span) -> Moved:
        self.done.append(f"discard {','.join(wanted.ids)} {wanted.states} {span.after} {span.upto}")
        return Moved(1, None)

    def _do(self, what: str, name: str, known: str) -> bool:
        self.done.append(f"{what} {name}")
        return name == known


@asynccontextmanager
async def controlled(
    path: Path, show: Callable[[], Snapshot] = snapshot, *, for_group: bool = False
) -> AsyncIterator[Recorder]:
    commands = Recorder()
    archive = Archive(path.with_name("outbox.db"))
    found = routes(Fixed(show), commands, archive, dict, lambda: 0.0)
    server = ControlServer(path, served(found), for_group=for_group)
    await server.start()
    try:
        yield commands
    finally:
        await server.stop()


async def asked(path: Path, method: str, target: str, body: Any = None) -> Any:
    return await asyncio.to_thread(ask, [path], method, target, body)


async def test_it_tells_what_the_page_tells(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with controlled(path):
        assert (await asked(path, "GET", "/api/v1/status"))["outbox"]["owed"] == 3
        assert (await asked(path, "GET", "/api/v1/sensors"))["sensors"]["thermostat.t"]["unit"] == "°C"


COMMANDS = [
    ("DELETE", "/api/v1/sensors/thermostat.t", {}, "forget thermostat.t"),
    ("POST", "/api/v1/webhooks/ops/enable", {}, "enable ops"),
    ("POST", "/api/v1/webhooks/ops/disable", {}, "disable ops"),
    ("POST", "/api/v1/webhooks/ops/retry", {}, "retry ops"),
    ("POST", "/api/v1/webhooks/ops/test", {"status": 204, "error": None, "duration_s": 0.01}, "test ops"),
]


@pytest.mark.parametrize(("method", "target", "answer", "done"), COMMANDS)
async def test_a_command_is_done_over_the_socket(
    tmp_path: Path, method: str, target: str, answer: Any, done: str
) -> None:
    path = tmp_path / "control.sock"
    async with controlled(path) as commands:
        assert await asked(path, method, target) == answer
    assert commands.done == [done]


@pytest.mark.parametrize(
    "name", ["rooms.a%2Fb.temperature", "a.b/c", "a.50%", "a.%25", "a.?x=1#y", "a. ü☃", "a.{x}", "{name}"]
)
async def test_a_sensor_of_any_name_has_its_path(tmp_path: Path, name: str) -> None:
    path, target = tmp_path / "control.sock", f"/api/v1/sensors/{quote(name, safe='')}"
    async with controlled(path, lambda: snapshot(name)) as commands:
        assert (await asked(path, "GET", target))["name"] == name
        with pytest.raises(CommandRefused, match="nothing is known of a sensor") as refused:
            await asked(path, "DELETE", target)
        assert refused.value.status == 404
    assert commands.done == [f"forget {name}"]


async def test_a_look_never_does_anything(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with controlled(path) as commands:
        for _, target, *_ in COMMANDS[1:]:
            with pytest.raises(CommandRefused, match=f"GET is not for {target}: allowed is POST") as refused:
                await asked(path, "GET", target)
            assert refused.value.status == 405
    assert commands.done == []


STEPS = [
    ("replay", {"webhook": "ops"}, "replay ops ('dead',) 0 9223372036854775807", {"moved": 2, "next": 7}),
    (
        "replay",
        {"webhook": "ops", "states": "delivered", "after": 3, "upto": 9},
        "replay ops ('delivered',) 3 9",
        {"moved": 2, "next": 7},
    ),
    (
        "discard",
        {"ids": "evt_1,evt_2", "upto": 9},
        "discard evt_1,evt_2 ('pending', 'dead') 0 9",
        {"moved": 1, "next": None},
    ),
]


@pytest.mark.parametrize(("command", "body", "done", "answer"), STEPS)
async def test_events_are_sent_again_and_given_up_step_by_step(
    tmp_path: Path, command: str, body: Any, done: str, answer: Any
) -> None:
    path = tmp_path / "control.sock"
    async with controlled(path) as commands:
        assert await asked(path, "POST", f"/api/v1/events/{command}", body) == answer
    assert commands.done == [done]


@pytest.mark.parametrize(
    ("target", "body", "status", "why"),
    [
        ("/api/v1/webhooks/opps/enable", None, 404, "there is no webhook opps"),
        ("/api/v1/webhooks/opps/disable", None, 404, "there is no webhook opps"),
        ("/api/v1/webhooks/opps/retry", None, 404, "there is no webhook opps"),
        ("/api/v1/webhooks/opps/test", None, 404, "there is no webhook opps"),
        ("/api/v1/webhooks/off/retry", None, 409, "off is disabled: enable it first"),
        ("/api/v1/nothing", None, 404, "there is nothing at /api/v1/nothing: see /api/v1/openapi.json"),
        ("/api/v1/events/discard", None, 415, "the body has to be JSON"),
        ("/api/v1/events/discard", ["a.b"], 400, r"the body has to be a JSON object, not \['a.b'\]"),
        ("/api/v1/events/discard", {"ids": "x" * 9000}, 413, "a body has at most 8192 bytes"),
        ("/api/v1/events/discard", {"webhook": 7}, 400, "webhook has to be text, not 7"),
        ("/api/v1/events/replay", {}, 422, "say which events: by their ids, or by a filter"),
        ("/api/v1/events/replay", {"webhook": "ops", "states": "pending"}, 422, "what is pending is sent anyway"),
        ("/api/v1/events/discard", {"states": "delivered"}, 422, "what was delivered cannot be discarded"),
        ("/api/v1/events/discard", {"state": "dead"}, 400, "unknown member 'state': known are ids, states, webhook"),
        ("/api/v1/events/discard", {"states": "deed"}, 400, "unknown state 'deed': known are pending, delivered, dead"),
        ("/api/v1/events/discard", {"since": "yesterday"}, 400, "since has to be a number, not 'yesterday'"),
        ("/api/v1/events/discard", {"webhook": "ops", "after": -1}, 400, "after has to be greater than or equal to 0"),
    ],
)
async def test_what_cannot_be_done_is_told(tmp_path: Path, target: str, body: Any, status: int, why: str) -> None:
    path = tmp_path / "control.sock"
    async with controlled(path):
        with pytest.raises(CommandRefused, match=why) as refused:
            await asked(path, "POST", target, body)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("query", "status", "why"),
    [
        ("?limit=many", 400, "limit has to be a whole number, not 'many'"),
        ("?limit=0", 400, "limit has to be greater than or equal to 1, not '0'"),
        ("?limit=1&limit=2", 400, "limit is given 2 times"),
        ("?before=-1", 400, "before has to be greater than or equal to 0, not '-1'"),
        ("?after=99999999999999999999", 400, "after has to be less than or equal to 9223372036854775807"),
        ("?since=nan", 400, "since has to be a number, not 'nan'"),
        ("?bodies=2", 400, "bodies has to be true or false, not '2'"),
        ("?state=dead", 400, "unknown parameter 'state': known are ids, states, webhook, rule"),
        ("/matching?states=deed", 400, "unknown state 'deed'"),
        ("", 500, "OperationalError: see the log of the agent"),
    ],
)
async def test_a_look_that_cannot_be_is_told(tmp_path: Path, query: str, status: int, why: str) -> None:
    path = tmp_path / "control.sock"
    async with controlled(path):
        with pytest.raises(CommandRefused, match=why) as refused:
            await asked(path, "GET", f"/api/v1/events{query}")
    assert refused.value.status == status
    assert not (tmp_path / "outbox.db").exists()


def refuse() -> Sequence[str]:
    raise ReloadRefused("bellcrank.yaml:1:1: no")


def break_down() -> Sequence[str]:
    raise RuntimeError("a secret")


@pytest.mark.parametrize(
    ("reloads", "status", "why"),
    [
        (refuse, 422, "bellcrank.yaml:1:1: no"),
        (break_down, 500, "RuntimeError: see the log of the agent"),
    ],
)
async def test_a_reload_that_changes_nothing_says_why(
    tmp_path: Path, reloads: Callable[[], Sequence[str]], status: int, why: str
) -> None:
    path = tmp_path / "control.sock"
    async with controlled(path) as commands:
        assert await asked(path, "POST", "/api/v1/reload") == {"needs_restart": ["agent.name"]}
        commands.reloads = reloads
        with pytest.raises(CommandRefused) as refused:
            await asked(path, "POST", "/api/v1/reload")
    assert (refused.value.status, str(refused.value)) == (status, why)


@pytest.mark.parametrize(
    ("folder_mode", "for_group", "mode"),
    [(0o700, True, 0o600), (0o750, True, 0o660), (0o755, False, 0o600)],
)
async def test_the_file_mode_keeps_others_out(tmp_path: Path, folder_mode: int, for_group: bool, mode: int) -> None:
    folder = tmp_path / "run"
    folder.mkdir(folder_mode)
    async with controlled(folder / "control.sock", for_group=for_group):
        found = (folder / "control.sock").stat().st_mode
    assert stat.S_IMODE(found) == mode


async def test_a_folder_that_is_made_for_it_is_closed_to_others(tmp_path: Path) -> None:
    async with controlled(tmp_path / "run" / "control.sock"):
        assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700


async def test_a_stale_socket_is_replaced_and_the_file_is_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with pytest.raises(NoAgent, match="no agent answers"):
        await asked(path, "GET", "/api/v1/status")
    async with controlled(path):
        assert await asked(path, "GET", "/api/v1/status")
    assert not path.exists()


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("mine")
    with pytest.raises(OSError, match=f"the control socket {path}: Address already in use"):
        async with controlled(path):
            pass
    assert path.read_text() == "mine"


async def test_a_path_that_is_too_long_for_a_socket_is_told(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 100) / "control.sock"
    with pytest.raises(OSError, match=r"may have 107: choose a shorter `agent.state_dir`"):
        async with controlled(path):
            pass
    with pytest.raises(NoAgent):
        await asked(path, "GET", "/api/v1/status")


async def test_the_first_agent_that_listens_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with controlled(path):
        assert await asyncio.to_thread(ask, [tmp_path / "none.sock", path], "GET", "/api/v1/status")


async def test_a_user_whom_the_mode_keeps_out_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tests may run as root, whom no mode keeps out."""

    def kept_out(_: socket.socket, __: str) -> None:
        raise PermissionError

    monkeypatch.setattr(socket.socket, "connect", kept_out)
    with pytest.raises(NotAllowed, match="no permission for"):
        await asked(tmp_path / "control.sock", "GET", "/api/v1/status")


async def test_an_agent_that_hangs_up_is_told_as_none(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    server = await asyncio.start_unix_server(lambda _, writer: writer.close(), path)
    try:
        with pytest.raises(NoAgent, match="did not answer"):
            await asked(path, "GET", "/api/v1/status")
    finally:
        server.close()
