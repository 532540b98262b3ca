"""What people are told of an attempt without an answer, from real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.webhooks.config import Webhook
from agent.webhooks.retry import Outcome
from agent.webhooks.transport import Transport
from tests.support.agent import free_port


async def post(url: str) -> Outcome:
    webhook = Webhook.model_validate(
        {"url": url, "unsigned": True, "timeout": {"connect": "200ms", "total": "200ms"}, "concurrency": 1}
    )
    transport = Transport(webhook, lambda: 0.0)
    try:
        return await transport.post(b"{}", {})
    finally:
        await transport.close()


@asynccontextmanager
async def port(says: bytes) -> AsyncIterator[int]:
    """A server that says something in place of an answer."""

    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        await reader.read()
        writer.close()
        gone.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
        await gone.wait()
    finally:
        server.close()


async def test_a_refused_connection_is_told_by_its_address() -> None:
    nobody = free_port()
    outcome = await post(f"http://127.0.0.1:{nobody}/")
    assert (outcome.error, outcome.detail) == ("refused", f"127.0.0.1:{nobody}: Connection refused")


async def test_an_answer_that_does_not_come_is_told_in_words() -> None:
    async with port(b"") as silent:
        outcome = await post(f"http://127.0.0.1:{silent}/")
    assert (outcome.error, outcome.detail) == ("timeout", "no whole answer in time")


async def test_a_port_without_tls_is_told_by_its_address() -> None:
    async with port(b"SSH-2.0-OpenSSH_9.2\r\n") as plain:
        outcome = await post(f"https://127.0.0.1:{plain}/")
    assert outcome.error == "tls"
    assert outcome.detail.startswith(f"127.0.0.1:{plain}: ")
    assert "ssl:default" not in outcome.detail
