"""A `kill -9` in the middle of a long hold, by the real agent for which hours pass in a moment."""

import sqlite3
from pathlib import Path

import aiohttp

from tests.faults.oracle import SECRET
from tests.support.agent import AgentProcess, free_port
from tests.support.faulty import Faulty
from tests.support.receiver import Receiver
from tests.support.waiting import until

TOKEN = "0123456789abcdef"
MINUTE_S, HOUR_S = 60.0, 3600.0
CONFIG = """
version: 1
agent: {{name: cabin, events_to: []}}
sources:
  door: {{driver: http, listen: "127.0.0.1:{listen}", path: /in, token: {token}, sensors: {{open: {{path: open}}}}}}
rules:
  left_open: {{sensor: door.open, when: {{equals: 1}}, for: 2h}}
webhooks:
  ops: {{url: "{url}", secrets: [{secret}]}}
status: {{listen: "{{status}}"}}
"""


class Door:
    """It says how it stands; the answer comes when that is durably handled."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/in"

    async def says(self, value: int) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession(headers=headers) as client,
            client.post(self._url, json={"open": value}) as answer,
        ):
            assert answer.status == 204


def commits(agent: AgentProcess) -> int:
    db = sqlite3.connect(agent.state / "outbox.db")
    try:
        return int(db.execute("SELECT commit_number FROM meta").fetchone()[0])
    finally:
        db.close()


async def test_a_kill_takes_no_more_than_minutes_off_a_long_hold_and_without_one_nothing_is_written(
    tmp_path: Path,
) -> None:
    faulty, port = Faulty(tmp_path, tmp_path / "state"), free_port()
    door = Door(port)
    async with Receiver() as ops:
        agent = AgentProcess(tmp_path, CONFIG.format(listen=port, token=TOKEN, url=ops.url, secret=SECRET))
        try:
            agent.start(**faulty.env)
            await agent.ready()
            await door.says(0)
            before = commits(agent)
            faulty.pass_time(3 * HOUR_S)
            await door.says(0)
            assert commits(agent) == before, "no hold runs"
            await door.says(1)
            faulty.pass_time(HOUR_S + 55 * MINUTE_S)
            await door.says(1)
            faulty.pass_time(3 * MINUTE_S)  # is not noted yet
            agent.kill()
            faulty.pass_time(10 * MINUTE_S)
            agent.start(**faulty.env)
            await agent.ready()
            faulty.pass_time(4 * MINUTE_S)
            await door.says(1)
            assert (agent.status()["rules"]["left_open"]["counts"]["pending"], ops.got) == (1, []), "it was away"
            faulty.pass_time(MINUTE_S)
            await door.says(1)
            await until(lambda: len(ops.got) == 1)
        finally:
            agent.kill()
