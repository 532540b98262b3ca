"""`bellcrank status --link`: what is printed, where it says that the page is, and that one logs in by it."""

import json
from pathlib import Path
from typing import Any

import pytest
import segno

from agent.cli.link import qr_code, reached_at
from tests.status.serving import browser
from tests.support.agent import AgentProcess
from tests.support.waiting import until
from tests.test_cli import call
from tests.test_commands import commanded

URL = "https://cabin.example.com/bellcrank/login?code=00112233445566778899aabbccddeeff"


async def test_one_logs_in_by_the_link_that_the_command_prints(tmp_path: Path) -> None:
    async with commanded(tmp_path) as at:
        printed = json.loads((await at.call("status", "--link", "--json")).output)
        base = f"http://127.0.0.1:{at.agent.port}"
        assert printed["url"].startswith(f"{base}/login?code=")
        assert f"ssh -L {at.agent.port}:127.0.0.1:{at.agent.port} " in printed["advice"]
        async with browser(base) as ask:
            assert "Log in to act" in await (await ask("GET", "/")).text()
            answer = await ask("POST", "/login", {"code": printed["url"].partition("?code=")[2]})
            assert answer.status == 303
            assert "Logged in" in await (await ask("GET", "/")).text()
            assert (await ask("POST", "/api/v1/login-links")).status in (404, 405), "only the control socket makes them"
        assert "code=" not in at.agent.said()


async def test_the_link_is_shown_with_its_code_and_for_the_address_that_is_given(tmp_path: Path) -> None:
    async with commanded(tmp_path) as at:
        shown = (await at.call("status", "--link", "--at", "https://cabin.example.com/")).output
        (url,) = [line for line in shown.splitlines() if line.startswith("https://cabin.example.com/login?code=")]
        assert "It can be used once, within 10 minutes." in shown
        assert "ssh" not in shown
        plain = [line.split("m")[-1] for line in qr_code(url).replace("\x1b[0m", "").splitlines()]
        assert "\n".join(plain) in shown, "what is no terminal gets no colours"
        for wrong in ("cabin", "ftp://cabin", "https://", "https://cabin/x", "https://u:p@cabin", "https://cabin:x"):
            refused = await at.call("status", "--link", "--at", wrong)
            assert (refused.exit_code, "https://host" in refused.output) == (2, True)


async def test_where_there_is_no_page_there_is_no_link(tmp_path: Path) -> None:
    async with commanded(tmp_path) as at:
        at.agent.stop()
        at.agent.configure(at.agent.config.read_text().replace(f'"127.0.0.1:{at.agent.port}"', "false"))
        at.agent.start()
        await until(lambda: "runs as" in at.agent.said().rpartition("stopping")[2])
        refused = await at.call("status", "--link")
        assert (refused.exit_code, "there is no status page" in refused.output) == (1, True)


def test_without_an_agent_the_command_says_so(tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path, 'version: 1\nsources: {}\nstatus: {listen: "{status}"}\n')
    refused = call("status", "--link", "--config", agent.config, STATE_DIRECTORY=str(tmp_path))
    assert (refused.exit_code, "no agent answers" in refused.output) == (1, True)
    refused = call("status", "--at", "https://x", "--config", agent.config)
    assert (refused.exit_code, "--at is for --link" in refused.output) == (2, True)


def test_the_code_that_is_drawn_is_that_of_the_link_light_on_dark() -> None:
    lines = qr_code(URL).splitlines()
    assert all(line.startswith("\x1b[38;5;231;48;5;16m") and line.endswith("\x1b[0m") for line in lines)
    rows: list[list[int]] = []
    for line in lines:
        drawn = line[len("\x1b[38;5;231;48;5;16m") : -len("\x1b[0m")]
        rows += [[char in " ▄" for char in drawn], [char in " ▀" for char in drawn]]
    matrix = [list(map(bool, row)) for row in segno.make(URL, error="l", micro=False).matrix_iter(border=4)]
    assert rows[: len(matrix)] == matrix
    assert len(lines) <= 24, "a terminal of 24 lines shows it"


@pytest.mark.parametrize(
    ("made", "base", "advice"),
    [
        ({}, "http://127.0.0.1:8321", "through a tunnel: ssh -L 8321:127.0.0.1:8321 pi@cabin"),
        ({"listen": "[::1]:8321"}, "http://[::1]:8321", "ssh -L 8321:[::1]:8321 pi@cabin"),
        ({"hosts": ["cabin.example.com"]}, "http://127.0.0.1:8321", "--at https://cabin.example.com"),
        ({"listen": "0.0.0.0:80"}, "http://cabin.local:80", "Without TLS"),
        ({"listen": "[::]:8321", "tls": True}, "https://cabin.local:8321", ""),
        ({"listen": "0.0.0.0:443", "tls": True, "hosts": ["freezer.lan:8443", "x"]}, "https://freezer.lan:443", ""),
        ({"listen": "192.168.1.5:8321", "tls": True}, "https://192.168.1.5:8321", ""),
    ],
)
def test_a_link_leads_to_where_the_page_is_reached(made: dict[str, Any], base: str, advice: str) -> None:
    found = reached_at({"listen": "127.0.0.1:8321", "tls": False, "hosts": [], **made}, "cabin", "pi")
    assert found.base == base
    assert advice in found.advice
    assert bool(advice) == bool(found.advice)


def test_a_machine_with_a_whole_name_is_called_by_it() -> None:
    assert (
        reached_at({"listen": "0.0.0.0:1", "tls": True, "hosts": []}, "cabin.lan", "pi").base == "https://cabin.lan:1"
    )
