"""The whole agent and a real mosquitto: what is kept over a kill and a changed configuration."""

import sqlite3
from pathlib import Path

from tests.support.agent import AgentProcess
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import until

CONFIG = """
version: 1
agent: {{name: cabin}}
brokers:
  house: {{url: "{url}"}}
sources:
{sources}
webhooks: {{}}
status: {{listen: "{{status}}"}}
"""


def config(broker: Mosquitto, *topics: str) -> str:
    sources = "".join(f"  {topic}: {{driver: mqtt, topic: {topic}, sensors: {{v: {{}}}}}}\n" for topic in topics)
    return CONFIG.format(url=broker.url, sources=sources)


def kept(agent: AgentProcess) -> dict[str, int]:
    db = sqlite3.connect(agent.state / "outbox.db")
    try:
        return dict(db.execute("SELECT filter, identifier FROM subscriptions WHERE feed = 'broker:house'").fetchall())
    finally:
        db.close()


async def test_after_a_kill_and_with_another_configuration_the_session_has_what_is_wanted(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, broker.listening("bellcrank/cabin/state") as heard:
        agent = AgentProcess(tmp_path, config(broker, "a", "b"))
        agent.start()
        await agent.ready()
        assert kept(agent) == {"": 2, "a": 1, "b": 2}
        await until(lambda: [word for _, word in heard] == [b"online"])
        agent.kill()
        await until(lambda: [word for _, word in heard] == [b"online", b"offline"], what="the will is seen")
        agent.configure(config(broker, "a", "c"))
        agent.start()
        await agent.ready()
        await until(lambda: kept(agent) == {"": 3, "a": 1, "c": 3}, what=str(kept(agent)))
        assert agent.stop() == 0
        await until(lambda: [word for _, word in heard] == [b"online", b"offline", b"online", b"offline"])
        assert "\tb\n" in broker.log().split("Received UNSUBSCRIBE")[-1]


def test_a_certificate_that_is_not_there_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "bellcrank.yaml"
    agent = AgentProcess(tmp_path, "")
    agent.configure(
        'version: 1\nbrokers:\n  house: {url: "mqtts://broker", tls: {ca: /none/ca.pem}}\nsources: {}\nwebhooks: {}\n'
    )
    agent.start()
    assert agent.wait() == 78
    assert f"{path}:3:34: brokers.house.tls: /none/ca.pem: No such file or directory" in agent.said()
