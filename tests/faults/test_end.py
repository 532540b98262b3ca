"""The end on SIGTERM while what the agent talks to hangs: soon, with 0, and nothing lost."""

import asyncio
import os
import signal
import socket
from pathlib import Path

from aiohttp import web
from paho.mqtt import publish

from tests.faults.oracle import SECRET
from tests.support.agent import AgentProcess
from tests.support.mosquitto import Mosquitto
from tests.support.receiver import Receiver, answer
from tests.support.waiting import until

CONFIG = """
version: 1
agent: {{name: cabin, events_to: []}}
brokers: {{house: {{url: "mqtt://127.0.0.1:{mqtt}"}}, silent: {{url: "mqtt://127.0.0.1:{silent}"}}}}
sources:
  room: {{driver: mqtt, broker: house, topic: room, sensors: {{t: {{path: t}}}}}}
  other: {{driver: mqtt, broker: silent, topic: room, sensors: {{t: {{path: t}}}}}}
rules:
  warm: {{sensor: room.t, when: {{above: 5}}}}
webhooks:
  ops: {{url: "{url}", secrets: [{secret}], timeout: {{connect: 5s, total: 60s}}}}
status: {{listen: "{{status}}"}}
"""
WITHIN_S = 10


async def never(_: web.Request, _n: int) -> web.Response:
    await asyncio.sleep(120)
    return web.Response()


async def test_the_end_waits_for_nobody_who_hangs_and_is_not_hurried_by_a_second_signal(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    broker.start()
    silent = socket.create_server(("127.0.0.1", 0))  # takes connections and says nothing
    ports = {"mqtt": broker.port, "silent": silent.getsockname()[1]}
    async with Receiver(never) as receiver:
        agent = AgentProcess(tmp_path, CONFIG.format(**ports, url=receiver.url, secret=SECRET))
        try:
            agent.start()
            await until(lambda: agent.status().get("sources", {}).get("room", {}).get("state") == "open")
            await asyncio.to_thread(publish.single, "room", '{"t": 9}', 1, hostname="127.0.0.1", port=broker.port)
            await until(lambda: receiver.at_once == 1)
            broker.freeze()
            ending = asyncio.create_task(asyncio.to_thread(agent.stop))
            await until(lambda: "stopping" in agent.said())
            os.kill(agent.pid, signal.SIGTERM)
            assert await asyncio.wait_for(ending, WITHIN_S) == 0
            broker.thaw()
            receiver.script = answer(204)
            agent.start()
            await until(lambda: len(receiver.got) == 2)
            assert len({got.id for got in receiver.got}) == 1
        finally:
            agent.kill()
            broker.stop()
            silent.close()
