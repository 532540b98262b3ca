"""The ceiling: the least that loses nothing. `python -m bench.contenders.bare_chain MQTT_PORT HOOK FILE N [--fast]`.

paho on the asyncio loop -> one SQLite table (WAL, FULL) -> N POSTs at once by aiohttp. A message is acknowledged
once it is committed; what was delivered is deleted by the next commit. No rules, no order, no retries but at a
start, no bounds: what it takes in a flood is what these three libraries take.
"""

import asyncio
import json
import sqlite3
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bench.contenders.contender import Contender, Place
from bench.processes import python


def _command(place: Place, *options: str) -> tuple[str, ...]:
    return python(__name__, place.mqtt, place.hook, place.folder / "chain.db", place.concurrency, *options)


CHAIN = Contender("bare chain", "paho, one SQLite table, aiohttp: the ceiling", _command)
CHAIN_FAST = Contender("bare chain, fast", "the same with uvloop and orjson", lambda place: _command(place, "--fast"))


class Chain:
    """Messages in, rows, POSTs out."""

    def __init__(self, file: Path, hook: str, loads: Callable[[bytes], Any], dumps: Callable[[Any], bytes]) -> None:
        self._db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE IF NOT EXISTS waiting (id INTEGER PRIMARY KEY, body BLOB)")
        self._next = 1 + (self._db.execute("SELECT max(id) FROM waiting").fetchone()[0] or 0)
        self._hook, self._loads, self._dumps = hook, loads, dumps
        self._arrived: list[tuple[int, bytes, mqtt.MQTTMessage]] = []
        self._something = asyncio.Event()
        self._delivered: list[tuple[int]] = []
        self._due: deque[tuple[int, bytes]] = deque(self._db.execute("SELECT id, body FROM waiting"))
        self._more = asyncio.Condition()
        self.acknowledge: Callable[[int, int], Any]

    def take(self, message: mqtt.MQTTMessage) -> None:
        reading = self._loads(bytes(message.payload))
        if reading["t"] > 0:
            self._arrived.append((self._next, self._dumps(reading), message))
            self._next += 1
            self._something.set()
        else:
            self.acknowledge(message.mid, message.qos)

    async def keep(self) -> None:
        """Commit what has arrived and what was delivered, acknowledge, and go on at once."""
        while True:
            await self._something.wait()
            self._something.clear()
            arrived, self._arrived = self._arrived, []
            delivered, self._delivered = self._delivered, []
            rows = [(number, body) for number, body, _ in arrived]
            await asyncio.to_thread(self._commit, rows, delivered)
            for _, _, message in arrived:
                self.acknowledge(message.mid, message.qos)
            self._due.extend(rows)
            async with self._more:
                self._more.notify(len(rows))

    def _commit(self, rows: Sequence[tuple[int, bytes]], delivered: Sequence[tuple[int]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT INTO waiting VALUES (?, ?)", rows)
        self._db.executemany("DELETE FROM waiting WHERE id = ?", delivered)
        self._db.execute("COMMIT")

    async def deliver(self, session: aiohttp.ClientSession) -> None:
        """Post one after another; several of these run at once."""
        while True:
            async with self._more:
                await self._more.wait_for(lambda: self._due)
            while self._due:
                number, body = self._due.popleft()
                await self._post(session, body)
                self._delivered.append((number,))
                self._something.set()

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> None:
        while True:
            try:
                async with session.post(self._hook, data=body, headers={"content-type": "application/json"}) as answer:
                    await answer.read()
                    if answer.ok:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(1)


def connected(port: int, chain: Chain) -> mqtt.Client:
    """A client on the running loop that feeds the chain; its session outlives the process."""
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, "bare-chain", protocol=mqtt.MQTTv311, clean_session=False, manual_ack=True
    )
    loop = asyncio.get_running_loop()

    def forget(socket: Any) -> None:
        loop.remove_writer(socket)

    client.on_socket_open = lambda c, _, socket: loop.add_reader(socket, c.loop_read)
    client.on_socket_register_write = lambda c, _, socket: loop.add_writer(socket, c.loop_write)
    client.on_socket_unregister_write = lambda _, __, socket: forget(socket)
    client.on_connect = lambda c, *_: c.subscribe("bench/+", qos=1)
    client.on_message = lambda _, __, message: chain.take(message)
    chain.acknowledge = client.ack
    client.connect("127.0.0.1", port)
    return client


async def run(port: int, hook: str, file: Path, concurrency: int, codec: tuple[Any, Any]) -> None:
    chain = Chain(file, hook, *codec)
    client = connected(port, chain)
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector) as session:
        tasks = [asyncio.create_task(chain.deliver(session)) for _ in range(concurrency)]
        tasks.append(asyncio.create_task(chain.keep()))
        while True:
            client.loop_misc()
            await asyncio.sleep(1)


def main() -> None:
    port, hook, file, concurrency = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    if "--fast" in sys.argv:
        import orjson
        import uvloop

        uvloop.run(run(port, hook, file, concurrency, (orjson.loads, orjson.dumps)))
    else:
        asyncio.run(run(port, hook, file, concurrency, (json.loads, lambda reading: json.dumps(reading).encode())))


if __name__ == "__main__":
    main()
