"""The address of the page, taken before there is a page."""

import asyncio
import socket

import pytest

from agent.config import StatusConfig
from agent.status.listener import Listener
from tests.support.agent import free_port


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_who_took_the_same_address_and_hears_first_has_it_and_the_other_is_told(loop: str) -> None:
    where = f"127.0.0.1:{free_port()}"

    async def both() -> None:
        first, second = (Listener(StatusConfig(listen=where)) for _ in range(2))
        try:
            await first.take()
            await second.take()
            await second.serve(asyncio.Protocol)
            with pytest.raises(OSError, match=f"status.listen {where}: Address already in use"):
                await first.serve(asyncio.Protocol)
        finally:
            first.close()
            second.close()

    with asyncio.Runner(loop_factory=pytest.importorskip(loop).new_event_loop) as runner:
        runner.run(both())


async def test_nobody_is_let_in_before_there_is_a_page() -> None:
    port = free_port()
    listener = Listener(StatusConfig(listen=f"127.0.0.1:{port}"))
    await listener.take()
    with pytest.raises(ConnectionRefusedError), socket.socket() as visitor:
        visitor.connect(("127.0.0.1", port))
    listener.close()
