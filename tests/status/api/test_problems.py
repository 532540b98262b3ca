"""What nobody expected, as a problem: told without a secret, and logged with all that is known."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from agent.status.api import Route, served
from agent.status.api.problems import below
from agent.status.api.route import Call
from agent.status.control import ControlServer


async def broken(_: Call) -> Any:
    raise RuntimeError("Kanarienvogel")


async def test_a_handler_that_fails_is_told_without_a_traceback_and_logged_with_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "control.sock"
    server = ControlServer(path, served([Route("GET", "/api/v1/broken", "", "agent", broken, dict[str, Any])]))
    await server.start()
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
            session.get("http://agent/api/v1/broken") as answer,
        ):
            assert (answer.status, answer.content_type) == (500, "application/problem+json")
            assert await answer.json() == {
                "type": "about:blank",
                "title": "Internal Server Error",
                "status": 500,
                "detail": "RuntimeError: see the log of the agent",
            }
    finally:
        await server.stop()
    assert "Kanarienvogel" in caplog.text


async def test_what_is_beside_the_api_is_left_to_others() -> None:
    app = web.Application(middlewares=[below("/api/")])
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/page")).content_type == "text/plain"
        assert (await client.get("/api/page")).content_type == "application/problem+json"
