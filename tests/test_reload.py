"""A changed configuration on a running agent: what stays, what is replaced, what is told, and what a bad one does."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import Result
from paho.mqtt import publish
from standardwebhooks import Webhook as Judge

from agent.config import Config
from agent.reload import applied
from tests.faults.oracle import SECRET
from tests.support.agent import AgentProcess, free_port
from tests.support.link import Link
from tests.support.mosquitto import Mosquitto
from tests.support.receiver import Receiver, answer
from tests.support.waiting import until
from tests.test_cli import call
from tests.test_systemd import Ear

OTHER_SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="
CONFIG = """
version: 1
agent: {{name: cabin, events_to: []}}
brokers: {{house: {{url: "mqtt://127.0.0.1:{link}"}}}}
sources:
  room: {{driver: mqtt, topic: room, sensors: {{t: {{path: t, unit: "°C"}}}}}}
rules:
  warm: {{sensor: room.t, when: {{above: 5}}, send_to: [ops]}}
webhooks:
  ops:
    url: http://127.0.0.1:{http}/hook
    secrets: [!secret ops]
status: {{listen: "{{status}}"}}
"""
SPARE = "  spare: {url: http://127.0.0.1:HTTP/spare, unsigned: true}\nstatus:"
CELLAR = "  cellar: {driver: mqtt, topic: cellar, sensors: {t: {path: t}}}\nrules:"
FROST = "  frost: {sensor: room.t, when: {below: 0}, send_to: [ops]}\nwebhooks:"


class Running:
    """An agent whose configuration is changed, with its broker (behind a link) and its receiver."""

    def __init__(self, agent: AgentProcess, broker: Mosquitto, link: Link, receiver: Receiver) -> None:
        self.agent, self.broker, self.link, self.receiver = agent, broker, link, receiver
        self.config = CONFIG.format(link=link.port, http=receiver.port)

    def changed(self, this: str, that: str) -> str:
        """The configuration with something else in place of one thing, from now on."""
        assert this in self.config
        self.config = self.config.replace(this, that.replace("HTTP", str(self.receiver.port)), 1)
        return self.config

    def secret(self, secret: str) -> None:
        path = self.agent.folder / "secrets.yaml"
        path.touch(0o600)
        path.write_text(f"ops: {secret}\n")

    async def call(self, *arguments: str) -> Result:
        return await asyncio.to_thread(
            call, *arguments, "--config", self.agent.config, STATE_DIRECTORY=str(self.agent.state)
        )

    async def status(self) -> dict[str, Any]:
        return await asyncio.to_thread(self.agent.status)

    def say(self, value: object, topic: str = "room") -> None:
        publish.single(topic, json.dumps({"t": value}), qos=1, hostname="127.0.0.1", port=self.broker.port)

    def told(self, path: str = "/hook") -> list[str]:
        """What the receiver was told, each event once, in order."""
        data = {got.id: json.loads(got.body)["data"] for got in self.receiver.got if got.path == path}
        words = [(one["rule"], one.get("state", "pulse"), one["value"], one.get("reason")) for one in data.values()]
        return [" ".join(map(str, one)) for one in words]


@asynccontextmanager
async def running(folder: Path, **env: str) -> AsyncIterator[Running]:
    broker = Mosquitto(folder)
    broker.start()
    link = Link(broker.port)
    await link.start()
    async with Receiver() as receiver:
        agent = AgentProcess(folder, "")
        at = Running(agent, broker, link, receiver)
        at.secret(SECRET)
        agent.configure(at.config)
        try:
            agent.start(**env)
            await agent.ready()
            yield at
        finally:
            agent.kill()
            await link.stop()
            broker.stop()


async def test_what_is_new_in_the_file_runs_and_the_connection_of_what_is_not_stays(tmp_path: Path) -> None:
    async with running(tmp_path) as at:
        at.say(9)
        await until(lambda: at.told() == ["warm firing 9 condition"])
        at.changed("webhooks:", FROST)
        at.changed("status:", SPARE)
        await at.agent.reload(at.config)
        at.say(-1)
        await until(lambda: len(at.told()) == 3)
        assert sorted(at.told()[1:]) == ["frost firing -1 condition", "warm resolved -1 condition"]
        assert at.link.connections == 1, "its sources and its broker are the same"
        at.changed("rules:", CELLAR)
        await at.agent.reload(at.config)
        await at.agent.ready()
        assert at.link.connections == 2
        assert "cellar" in (await at.status())["sources"]


async def test_a_source_that_is_gone_is_heard_no_more_and_heard_again_when_it_is_back(tmp_path: Path) -> None:
    async with running(tmp_path) as at:
        whole = at.changed("rules:", CELLAR + "\n  deep: {sensor: cellar.t, each: reading}")
        await at.agent.reload(whole)
        await at.agent.ready()
        at.say(1, "cellar")
        await until(lambda: at.told() == ["deep pulse 1 None"])
        at.changed(CELLAR + "\n  deep: {sensor: cellar.t, each: reading}", "rules:")
        await at.agent.reload(at.config)
        await at.agent.ready()
        status = await at.status()
        assert (set(status["sources"]), set(status["rules"])) == ({"room"}, {"warm"})
        assert "cellar.t" not in status["sensors"]
        at.say(2, "cellar")
        await at.agent.reload(whole)
        await at.agent.ready()
        at.say(3, "cellar")
        await until(lambda: "deep pulse 3 None" in at.told())


@pytest.mark.parametrize("by", ["command", "signal"])
async def test_a_bad_file_changes_nothing_and_is_told_with_its_place(tmp_path: Path, by: str) -> None:
    async with running(tmp_path) as at:
        good = at.config
        at.agent.configure(good.replace("above: 5", "abov: 500"))
        why = f"{at.agent.config}:8:39: rules.warm.when.abov: unknown key 'abov'"
        if by == "command":
            result = await at.call("reload")
            assert result.exit_code == 78
            assert why in result.output
        else:
            await at.agent.reload()
        assert why in at.agent.said()
        status = await at.status()
        assert why in status["agent"]["reload_error"]
        assert status["agent"]["reload_error"] in status["troubles"][0]
        at.say(9)
        await until(lambda: at.told() == ["warm firing 9 condition"])
        at.agent.configure(good)
        result = await at.call("reload")
        assert (result.exit_code, result.output) == (0, "The configuration applies.\n")
        assert (await at.status())["agent"]["reload_error"] is None
        assert at.link.connections == 1


async def test_a_rule_that_means_something_else_resolves_once_and_one_that_does_not_keeps_its_alert(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as at:
        at.changed("webhooks:", "  hot: {sensor: room.t, when: {above: 6}, send_to: [ops]}\nwebhooks:")
        await at.agent.reload(at.config)
        at.say(9)
        await until(lambda: len(at.told()) == 2)
        before = (await at.status())["rules"]["hot"]["states"]["room.t"]["alert_id"]
        at.changed("above: 5", "above: 100")
        at.changed("above: 6}", "above: 6}, severity: critical")
        for _ in range(3):
            await at.agent.reload(at.config)
        status = await at.status()
        assert status["rules"]["warm"]["states"]["room.t"]["state"] == "ok"
        assert status["rules"]["hot"]["states"]["room.t"]["alert_id"] == before
        at.say(1)
        await until(lambda: "hot resolved 1 condition" in at.told())
        assert Counter(at.told()) == Counter(
            [
                "warm firing 9 condition",
                "hot firing 9 condition",
                "warm resolved 9 rule_removed",
                "hot resolved 1 condition",
            ]
        )


async def test_a_rotated_secret_signs_from_the_reload_on(tmp_path: Path) -> None:
    async with running(tmp_path) as at:
        at.say(9)
        await until(lambda: len(at.receiver.got) == 1)
        at.secret(OTHER_SECRET)
        assert (await at.call("reload")).exit_code == 0
        at.say(1)
        await until(lambda: len(at.receiver.got) == 2)
        for got, secret in zip(at.receiver.got, (SECRET, OTHER_SECRET), strict=True):
            Judge(secret).verify(got.body, got.headers)


async def test_a_webhook_that_is_gone_keeps_its_queue_and_delivers_it_when_it_is_back(tmp_path: Path) -> None:
    async with running(tmp_path) as at:
        at.receiver.script = answer(503)
        at.changed(", send_to: [ops]", ", send_to: [ops, spare]")
        with_spare = at.changed("status:", SPARE)
        await at.agent.reload(with_spare)
        at.say(9)
        await until(lambda: at.agent.status()["webhooks"]["spare"]["pending"] == 1)
        at.changed(SPARE.replace("HTTP", str(at.receiver.port)), "status:")
        without = at.changed(", spare]", "]")
        await at.agent.reload(without)
        status = await at.status()
        assert (status["webhooks"]["spare"]["state"], status["webhooks"]["spare"]["pending"]) == ("removed", 1)
        at.receiver.script = answer(204)
        at.say(1)
        await until(lambda: at.agent.status()["webhooks"]["spare"]["dropped_by"]["webhook_removed"] == 1)
        await at.agent.reload(with_spare)
        await until(lambda: at.told("/spare") == ["warm firing 9 condition"])
        await until(lambda: at.agent.status()["webhooks"]["spare"]["delivered"] == 1)
        assert (await at.status())["outbox"]["balanced"]


async def test_an_attempt_that_hangs_over_a_reload_is_made_again_and_counted_once(tmp_path: Path) -> None:
    async with running(tmp_path) as at:
        hangs = asyncio.Event()

        async def script(_: web.Request, n: int) -> web.Response:
            if n == 0:
                await hangs.wait()
            return web.Response(status=204)

        at.receiver.script = script
        at.say(9)
        await until(lambda: len(at.receiver.got) == 1)
        await at.agent.reload(at.changed("secrets:", "concurrency: 2\n    secrets:"))
        await until(lambda: len(at.receiver.got) == 2)
        assert at.receiver.got[0].body == at.receiver.got[1].body
        await until(lambda: at.agent.status()["outbox"]["delivered"] == 1)
        hangs.set()


@pytest.mark.parametrize(
    ("this", "that", "path"),
    [("/hook", "/moved", "/moved"), ("secrets:", "headers: {X-Token: right}\n    secrets:", "/hook")],
    ids=["address", "header"],
)
async def test_a_receiver_that_is_reached_in_another_way_is_tried_at_once(
    tmp_path: Path, this: str, that: str, path: str
) -> None:
    async with running(tmp_path) as at:
        at.receiver.script = answer(503, Retry_After="3000")
        at.say(9)
        await until(lambda: at.agent.status()["webhooks"]["ops"]["state"] == "resting")
        at.receiver.script = answer(204)
        await at.agent.reload(at.changed("secrets:", "concurrency: 2\n    secrets:"))
        assert (await at.status())["webhooks"]["ops"]["state"] == "resting", "it is the same receiver"
        before = len(at.receiver.got)
        await at.agent.reload(at.changed(this, that))
        await until(lambda: len(at.receiver.got) > before)
        assert at.told(path) == ["warm firing 9 condition"]


async def test_lowered_limits_of_the_outbox_apply_and_what_is_too_much_goes(tmp_path: Path) -> None:
    async with running(tmp_path) as at:
        await at.agent.reload(at.changed("when: {above: 5}", "each: reading"))
        await at.call("webhooks", "disable", "ops")
        for number in range(6):
            at.say(number)
        await until(lambda: at.agent.status()["outbox"]["pending"] == 6)
        await at.agent.reload(at.changed("\nstatus:", "\noutbox: {max_events: 2}\nstatus:"))
        at.say(7)
        await until(lambda: at.agent.status()["outbox"]["owed"] == 7)
        outbox = (await at.status())["outbox"]
        assert (outbox["pending"], outbox["dropped_by"]["full"], outbox["balanced"]) == (2, 5, True)


async def test_what_needs_a_restart_is_told_and_all_else_applies(tmp_path: Path) -> None:
    async with running(tmp_path) as at:
        at.changed("name: cabin", f"name: lodge, state_dir: {tmp_path}/elsewhere")
        at.changed("webhooks:", FROST)
        at.agent.configure(at.config.replace("{status}", f"127.0.0.1:{free_port()}"))
        result = await at.call("reload")
        assert result.exit_code == 1, "the command line looks beside the new state"
        at.changed(f", state_dir: {tmp_path}/elsewhere", "")
        at.agent.configure(at.config.replace("{status}", f"127.0.0.1:{free_port()}"))
        result = await at.call("reload")
        assert result.exit_code == 0
        for key in ("agent.name", "status.listen"):
            assert f"{key} has changed and waits for a restart." in result.output
        status = await at.status()
        assert status["agent"]["needs_restart"] == ["agent.name", "status.listen"]
        assert status["agent"]["name"] == "cabin"
        at.say(-1)
        await until(lambda: at.told() == ["frost firing -1 condition"])


async def test_the_page_asks_for_the_token_that_a_reload_brings(tmp_path: Path) -> None:
    async with running(tmp_path) as at:
        await at.agent.reload(at.changed("status: {", f"status: {{token: {SECRET}, "))
        assert await at.status() == {}, "401"
        assert (await at.call("status")).exit_code == 0, "the control socket asks for none"


async def test_systemd_is_told_of_a_reload(tmp_path: Path) -> None:
    ear = Ear(str(tmp_path / "notify"))
    try:
        async with running(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify")) as at:
            await at.agent.reload(at.changed("webhooks:", FROST))
            await until(lambda: len(ear.listen()) == 3)
            lines = ear.heard[1].splitlines()
            assert lines[0] == "RELOADING=1"
            assert lines[1].startswith("MONOTONIC_USEC=")
            assert ear.heard[2] == "READY=1\nSTATUS=1 source, 2 rules, 1 webhook"
    finally:
        ear.close()


async def test_many_reloads_leak_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as at:
        one = at.config
        other = at.changed("sensors:", "labels: {a: b}, sensors:")
        other = at.changed("secrets:", "concurrency: 2\n    secrets:")
        await at.agent.reload(other)
        await at.agent.ready()
        before = at.agent.descriptors()
        for text in (one, other) * 5:
            await at.agent.reload(text)
            await at.agent.ready()
        await until(lambda: at.agent.descriptors() <= before, what="descriptors are let go of")


# -- what applies at once


def config(**parts: Any) -> Config:
    return Config.model_validate({"version": 1, "sources": {}, "agent": {"name": "cabin"}, **parts})


@pytest.mark.parametrize(
    ("wanted", "waits"),
    [
        ({}, ()),
        ({"agent": {"name": "lodge"}}, ("agent.name",)),
        ({"agent": {"name": "cabin", "state_dir": "/elsewhere"}}, ("agent.state_dir",)),
        ({"agent": {"name": "cabin", "labels": {"a": "b"}}}, ()),
        ({"status": {"listen": False}}, ("status.listen",)),
        ({"status": {"listen": "0.0.0.0:1", "token": SECRET}}, ("status.listen",)),
        ({"status": {"hosts": ["a.example"], "token": SECRET}}, ()),
        ({"status": {"prefix": "/bellcrank"}}, ("status.prefix",)),
    ],
)
def test_only_name_state_and_address_wait_for_a_restart(wanted: dict[str, Any], waits: tuple[str, ...]) -> None:
    running, asked = config(), config(**wanted)
    applies = applied(running, asked)
    assert applies.needs_restart == waits
    assert applies.config.agent.labels == asked.agent.labels
    assert applies.config.agent.name == "cabin"
    assert applies.config.status == (running.status if waits and "status" in waits[0] else asked.status)


async def test_a_changed_template_serves_what_becomes_owed_from_then_on(tmp_path: Path) -> None:
    async with running(tmp_path) as at:
        at.changed("    secrets: [!secret ops]\n", "    secrets: [!secret ops]\n    body: {was: '{value}'}\n")
        at.receiver.script = answer(503)
        await at.agent.reload(at.config)
        at.say(9)
        await until(lambda: bool(at.receiver.got))
        at.changed("body: {was: '{value}'}", "body: {now: '{value}'}\n    headers: {X-Rule: '{rule}'}")
        at.receiver.script = answer(204)
        await at.agent.reload(at.config)
        at.say(1)
        await until(lambda: len({got.id for got in at.receiver.got}) == 2)
    bodies = {got.id: (json.loads(got.body), got.headers.get("x-rule")) for got in at.receiver.got}
    assert list(bodies.values()) == [({"was": 9}, None), ({"now": 1}, "warm")]
    for got in at.receiver.got:
        Judge(SECRET).verify(got.body, got.headers)
