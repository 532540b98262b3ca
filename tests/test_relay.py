"""Two agents: what one tells, the other hears once, whatever happens in between."""

import json
from pathlib import Path

import aiohttp

from tests.faults.oracle import SECRET
from tests.support.agent import AgentProcess, free_port
from tests.support.link import Link
from tests.support.receiver import Receiver
from tests.support.waiting import until

TOKEN = "0123456789abcdef"
TELLING = """
version: 1
agent: {{name: telling, events_to: []}}
sources:
  door:
    driver: http
    listen: 127.0.0.1:{listen}
    path: /in/door
    token: {token}
    sensors: {{bell: {{path: bell}}}}
rules:
  rang: {{sensor: door.bell, each: {{reading: true}}}}
webhooks:
  hearing:
    url: http://127.0.0.1:{link}/in/telling
    secrets: [{secret}]
    timeout: {{total: 1s}}
    rest: {{min: 100ms, max: 500ms}}
status: {{listen: "{{status}}"}}
"""
HEARING = """
version: 1
agent: {{name: hearing, events_to: []}}
sources:
  telling:
    driver: http
    listen: 127.0.0.1:{listen}
    path: /in/telling
    secrets: [{secret}]
    sensors: {{bell: {{path: data.value}}}}
rules:
  rang: {{sensor: telling.bell, each: {{reading: true}}}}
webhooks:
  ops: {{url: "{ops}", unsigned: true}}
status: {{listen: "{{status}}"}}
"""


def agent(folder: Path, config: str) -> AgentProcess:
    folder.mkdir()
    return AgentProcess(folder, config)


async def ring(port: int, times: int) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as client:
        url = f"http://127.0.0.1:{port}/in/door"
        async with client.post(url, json={"bell": f"rang {times}"}) as answer:
            assert answer.status == 204


async def test_an_event_whose_answer_got_lost_is_one_event_though_its_receiver_was_killed(tmp_path: Path) -> None:
    door, inlet = free_port(), free_port()
    link = Link(inlet)
    await link.start()
    async with Receiver() as ops:
        telling = agent(tmp_path / "a", TELLING.format(listen=door, token=TOKEN, link=link.port, secret=SECRET))
        hearing = agent(tmp_path / "b", HEARING.format(listen=inlet, secret=SECRET, ops=ops.url))
        try:
            telling.start()
            hearing.start()
            await telling.ready()
            await hearing.ready()
            link.lose_what_the_agent_hears()
            await ring(door, 1)
            await until(lambda: ops.got, 20, what=telling.said() + hearing.said())
            hearing.kill()
            link.cut()
            assert telling.status()["outbox"]["pending"] == 1
            hearing.start()
            await hearing.ready()
            await until(lambda: telling.status()["outbox"]["delivered"] == 1, 20, what=telling.said())
            assert hearing.status()["sources"]["telling"]["repeats"] == 1
            await ring(door, 2)
            await until(lambda: telling.status()["outbox"]["delivered"] == 2, 20)
            await until(lambda: hearing.status()["outbox"]["pending"] == 0, 20)
            # The kill may have come before it was noted as delivered: then it was sent again, with its id.
            assert {json.loads(got.body)["data"]["value"]: got.id for got in ops.got}.keys() == {"rang 1", "rang 2"}
            assert len({got.id for got in ops.got}) == 2
        finally:
            telling.stop()
            hearing.stop()
            await link.stop()
