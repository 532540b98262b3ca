"""`bellcrank events` and `webhooks list` as a user gives them, to a running agent and to an outbox that is idle."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.waiting import until
from tests.test_cli import call, config
from tests.test_commands import Commanded, commanded

BODY = b"no\x1b[2J\nnever"


async def refuse(_: web.Request, _n: int) -> web.Response:
    return web.Response(status=400, body=BODY)


async def accept(_: web.Request, _n: int) -> web.Response:
    return web.Response(status=204)


@asynccontextmanager
async def with_dead_letter(folder: Path) -> AsyncIterator[Commanded]:
    """An agent whose receiver has refused a firing for good and has taken its `resolved`."""
    async with commanded(folder) as at:
        at.agent.configure(at.agent.config.read_text().replace("secrets:", "delays: [0, 10ms], secrets:"))
        await at.agent.reload()
        at.receiver.script = refuse
        at.say('{"t": 9}')
        await until(lambda: at.agent.status()["outbox"]["dead"] == 1)
        at.receiver.script = accept
        at.say('{"t": 1}')
        await until(lambda: at.agent.status()["outbox"]["delivered"] == 1)
        yield at


def ids(at: Commanded) -> tuple[str, str]:
    """Of the firing and of its `resolved`."""
    return at.receiver.got[0].id, at.receiver.got[-1].id


@pytest.mark.parametrize("runs", [True, False], ids=["running", "idle"])
async def test_events_are_listed_shown_and_exported(tmp_path: Path, runs: bool) -> None:
    async with with_dead_letter(tmp_path) as at:
        if not runs:
            at.agent.stop()
        firing, resolved = ids(at)
        listed = await at.call("events", "list")
        head, *lines = [line.split() for line in listed.output.splitlines() if line]
        assert (listed.exit_code, head[:4]) == (0, ["event", "age", "type", "rule"])
        assert [(line[0], line[-7:]) for line in lines] == [
            (resolved, ["sensor.alert.resolved", "warm", "room.t", "ops", "delivered", "1", "-"]),
            (firing, ["sensor.alert.firing", "warm", "room.t", "ops", "dead", "5", "-"]),
        ]
        newest = (await at.call("events", "list", "--limit", "1")).output
        assert resolved in newest
        assert firing not in newest
        assert "the newest 1" in newest
        (row,) = json.loads((await at.call("events", "list", "--state", "dead", "--json")).output)
        assert (row["id"], row["sequence"], row["next_attempt_s"]) == (firing, 1, None)
        shown = (await at.call("events", "show", firing)).output
        assert shown.count("ms: HTTP 400: no\\x1b[2J\\nnever\n") == 5
        assert "dead since" in shown
        assert "the alert is over" in shown
        assert '"sensor.alert.firing"' in shown
        (whole,) = json.loads((await at.call("events", "show", resolved, "--json")).output)
        assert (whole["log"], whole["resolved"], json.loads(whole["body"])["id"]) == ([], False, resolved)
        exported = (await at.call("events", "export", "--since", "1h")).output
        assert [json.loads(line)["body"] for line in exported.splitlines()] == [
            at.receiver.got[0].body.decode(),
            at.receiver.got[-1].body.decode(),
        ]


@pytest.mark.parametrize("runs", [True, False], ids=["running", "idle"])
async def test_a_dead_letter_is_sent_again_when_it_is_said_that_its_alert_is_over(tmp_path: Path, runs: bool) -> None:
    async with with_dead_letter(tmp_path) as at:
        if not runs:
            at.agent.stop()
        firing, _ = ids(at)
        asked = await at.call("events", "replay", firing)
        assert asked.exit_code == 1
        for text in ("1 of 1 event: the alert is over already.", "Send all again? [y/N]"):
            assert text in asked.output
        done = await at.call("events", "replay", "--state", "dead", "--yes")
        assert (done.exit_code, done.output) == (0, "1 event will be sent again.\n")
        if not runs:
            at.agent.start()
            await at.agent.ready()
        await until(lambda: at.receiver.got[-1].id == firing)
        first, last = at.receiver.got[0], at.receiver.got[-1]
        assert first.body == last.body
        assert int(last.headers["webhook-timestamp"]) >= int(first.headers["webhook-timestamp"])
        await until(lambda: at.agent.status()["outbox"]["delivered"] == 2)
        assert at.agent.status()["outbox"]["owed"] == 2


async def test_what_was_delivered_is_sent_again_without_asking_and_owed_once_more(tmp_path: Path) -> None:
    async with with_dead_letter(tmp_path) as at:
        _, resolved = ids(at)
        assert (await at.call("events", "replay", resolved)).output == "1 event will be sent again.\n"
        await until(lambda: [got.id for got in at.receiver.got].count(resolved) == 2)
        await until(lambda: at.agent.status()["outbox"]["delivered"] == 2)
        outbox = at.agent.status()["outbox"]
        assert (outbox["owed"], outbox["dead"], outbox["balanced"]) == (3, 1, True)


@pytest.mark.parametrize("runs", [True, False], ids=["running", "idle"])
async def test_the_queue_of_a_webhook_that_is_no_more_is_listed_and_given_up(tmp_path: Path, runs: bool) -> None:
    async with commanded(tmp_path) as at:
        await at.call("webhooks", "disable", "ops")
        at.say('{"t": 9}')
        await until(lambda: at.agent.status()["outbox"]["pending"] == 1)
        at.agent.configure(at.agent.config.read_text().replace("  ops:", "  other:"))
        await at.agent.reload()
        if not runs:
            at.agent.stop()
        listed = json.loads((await at.call("webhooks", "list", "--json")).output)
        assert (listed["ops"]["state"], listed["ops"]["pending"]) == ("removed", 1)
        (row,) = json.loads((await at.call("events", "list", "--webhook", "ops", "--json")).output)
        assert row["state"] == "pending"
        asked = await at.call("events", "discard", "--webhook", "ops")
        assert asked.exit_code == 1
        assert "Give up 1 event for ever? [y/N]" in asked.output
        done = await at.call("events", "discard", "--webhook", "ops", "--yes")
        assert (done.exit_code, done.output) == (0, "1 event discarded.\n")
        assert (await at.call("events", "list")).output.splitlines() == ["there is none"]
        left = json.loads((await at.call("webhooks", "list", "--json")).output)["ops"]
        assert (left["pending"], left["dropped"], left["dropped_by"]["discarded"]) == (0, 1, 1)


async def test_what_a_removed_webhook_was_owed_is_not_sent_again(tmp_path: Path) -> None:
    async with with_dead_letter(tmp_path) as at:
        at.agent.configure(at.agent.config.read_text().replace("  ops:", "  other:"))
        await at.agent.reload()
        done = await at.call("events", "replay", "--webhook", "ops", "--yes")
        assert done.output.splitlines() == [
            "0 events will be sent again.",
            "1 will not: the configuration does not have their webhook.",
        ]


@pytest.mark.parametrize("runs", [True, False], ids=["running", "idle"])
async def test_webhooks_list_says_how_each_stands(tmp_path: Path, runs: bool) -> None:
    async with commanded(tmp_path) as at:
        await at.receiver.stop()
        at.say('{"t": 9}')
        await until(lambda: at.agent.status()["webhooks"]["ops"]["last_error"])
        await until(lambda: at.agent.status()["webhooks"]["ops"]["next_attempt_s"] is not None)
        if not runs:
            at.agent.stop()
        listed = json.loads((await at.call("webhooks", "list", "--json")).output)["ops"]
        assert (listed["owed"], listed["pending"]) == (1, 1)
        assert listed["last_error"] == f"refused: 127.0.0.1:{at.receiver.port}: Connection refused"
        assert listed["next_attempt_s"] is not None
        shown = (await at.call("webhooks", "list")).output.split()
        assert shown[:2] == ["webhook", "state"]
        assert "ops" in shown


USAGE = [
    (["replay"], "say which events: by their ids, or by a filter"),
    (["discard"], "say which events"),
    (["replay", "--state", "pending", "--yes"], "what is pending cannot be moved so"),
    (["discard", "--state", "delivered", "--yes"], "what is delivered cannot be moved so"),
    (["replay", *["evt_1"] * 101], "at most 100 events by their ids"),
    (["replay", "evt_1"], "there is no such event"),
    (["show", "evt_1"], "there is no event evt_1, or no more"),
    (["list", "--since", "yesterday"], "'yesterday' is neither a duration such as 2h nor a time such as"),
    (["list", "--state", "deed"], "'deed' is not one of"),
    (["list", "--limit", "0"], "0 is not in the range"),
]


async def test_what_cannot_be_is_told_and_ends_with_2(tmp_path: Path) -> None:
    async with commanded(tmp_path) as at:
        for runs in (True, False):
            if not runs:
                at.agent.stop()
            for arguments, why in USAGE:
                result = await at.call("events", *arguments)
                assert (result.exit_code, why in result.output) == (2, True), (arguments, result.output)


@pytest.mark.parametrize("command", [["events", "list"], ["events", "replay", "evt_1"], ["webhooks", "list"]])
def test_without_an_agent_and_an_outbox_a_command_ends_with_1(tmp_path: Path, command: list[str]) -> None:
    result = call(*command, "--config", config(tmp_path), STATE_DIRECTORY=str(tmp_path / "state"))
    assert result.exit_code == 1
    assert "no agent runs, and there is no outbox" in result.output
    assert not (tmp_path / "state").exists()
