"""Secrets nowhere: a canary in every secret place of a configuration whose broker and receivers fail, and the real
agent at DEBUG. Then it is searched for in all that is shown: page, API, metrics, log, command line, errors.
"""

import asyncio
import base64
import json
import re
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
from aiohttp import web
from click.testing import Result
from pydantic import BaseModel, SecretStr, ValidationError

from agent import config
from agent.config import Config, file_model
from tests.support.agent import AgentProcess, free_port
from tests.support.certificates import Authority
from tests.support.mosquitto import Mosquitto
from tests.support.receiver import Receiver
from tests.support.waiting import until
from tests.test_cli import call

WHERE = (
    "broker",
    "broker_away",
    "intake_standard",
    "intake_token",
    "status",
    "signing",
    "signing_before",
    "github",
    "authorization",
    "api_key",
    "body",
    "url_path",
    "url_query",
    "pagerduty",
    "proxy",
)
"""Each secret place has a canary of its own."""


def canary(where: str) -> str:
    """Random enough for a token, and good base64 of 24 bytes and more."""
    return f"Kanarie{WHERE.index(where):02}hQ4vT9xLw2Zk8RbN5sYc3Dq"


def whsec(where: str) -> str:
    return f"whsec_{canary(where)}"


CONFIG = """\
version: 1
agent: {name: cabin}
brokers:
  house: {url: "mqtt://127.0.0.1:@mqtt@", username: bellcrank, password: "@broker@"}
  away: {url: "mqtts://127.0.0.1:@nobody@", password: "@broker_away@", tls: {cert: @cert@, key: @key@}}
sources:
  room: {driver: mqtt, broker: house, topic: room, sensors: {t: {path: t}}}
  lost: {driver: mqtt, broker: away, topic: lost, sensors: {t: {path: t}}}
  next:
    driver: http
    listen: 127.0.0.1:@intake@
    path: /in/next
    secrets: ["@whsec intake_standard@"]
    sensors: {t: {path: t}}
  gate: {driver: http, listen: "127.0.0.1:@intake@", path: /in/gate, token: "@intake_token@", sensors: {t: {path: t}}}
  lab: {driver: simulated, every: 1s, sensors: {v: {wave: {ramp: {min: 0, max: 9, period: 1m}}}}}
rules:
  high: {sensor: gate.t, each: reading}
webhooks:
  signed:
    url: http://127.0.0.1:@receiver@/echo
    secrets: ["@whsec signing@", "@whsec signing_before@"]
    headers: {Authorization: "Bearer @authorization@", X-Api-Key: "@api_key@"}
  secured: {url: "https://127.0.0.1:@nobody@/", unsigned: true, tls: {cert: @cert@, key: @key@}}
  hub: {url: "http://127.0.0.1:@receiver@/echo", signature: github, secrets: ["@github@"]}
  templated: {url: "http://127.0.0.1:@receiver@/echo", unsigned: true, body: {token: "@body@", text: "{summary}"}}
  team: {url: "http://127.0.0.1:@receiver@/services/T0/B0/@url_path@?key=@url_query@", unsigned: true, preset: slack}
  on_call:
    url: https://events.pagerduty.com/v2/enqueue
    unsigned: true
    preset: {pagerduty: {routing_key: "@pagerduty@"}}
  dead: {url: "http://127.0.0.1:@nobody@/services/@url_path@", unsigned: true, preset: slack}
  by_proxy: {url: "http://receiver.example/@url_path@", unsigned: true, allow_http: true}
status: {listen: "{status}", token: "@status@"}
"""


def filled(**given: Any) -> str:
    def value(found: re.Match[str]) -> str:
        word = found[1]
        return (
            whsec(word.split()[1]) if word.startswith("whsec ") else str(given[word]) if word in given else canary(word)
        )

    return re.sub(r"@([a-z_ ]+)@", value, CONFIG)


class Aviary:
    """The agent with all its canaries, and a receiver that answers every request with all that it was sent."""

    def __init__(self, agent: AgentProcess, intake: int, key_line: str) -> None:
        self.agent, self.intake, self.key_line = agent, intake, key_line

    def get(self, path: str) -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{self.agent.port}{path}")
        request.add_header("Authorization", f"Bearer {canary('status')}")
        request.add_header("Accept", "text/html")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return f"{answer.headers}\n{answer.read().decode()}"
        except urllib.error.HTTPError as error:
            return f"{error.headers}\n{error.read().decode()}"

    def say(self, payload: str) -> int:
        request = urllib.request.Request(f"http://127.0.0.1:{self.intake}/in/gate", payload.encode())
        request.add_header("Authorization", f"Bearer {canary('intake_token')}")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)

    async def call(self, *arguments: str) -> Result:
        return await asyncio.to_thread(
            call, *arguments, "--config", self.agent.config, STATE_DIRECTORY=str(self.agent.state)
        )

    def assert_silent(self, what: str, text: str) -> None:
        sung = [where for where in WHERE if canary(where) in text or _encoded(canary(where)) in text]
        assert not sung, f"{what} shows the secret of {sung}"
        assert self.key_line not in text, f"{what} shows the private key"


def _encoded(secret: str) -> str:
    """As Basic authorization has it, begun at any name."""
    return base64.b64encode(f"xx:{secret}".encode()).decode()[8:-8]


async def echo(request: web.Request, _: int) -> web.Response:
    sent = ((name, value) for name, value in request.headers.items() if name != "Proxy-Authorization")
    head = "\n".join(f"{name}: {value}" for name, value in sent)
    return web.Response(status=500, text=f"{request.path_qs}\n{head}\n{await request.text()}")


@asynccontextmanager
async def aviary(folder: Path) -> AsyncIterator[Aviary]:
    pair = Authority(folder / "ca").issue("cabin")
    pair.key.chmod(0o600)
    passwords = folder / "passwords"
    passwords.write_text("bellcrank:nobody-knows-it\n")
    intake = free_port()
    with Mosquitto(folder, "allow_anonymous false", f"password_file {passwords}") as broker:
        async with Receiver(script=echo) as receiver:
            text = filled(
                mqtt=broker.port,
                nobody=free_port(),
                receiver=receiver.port,
                intake=intake,
                cert=pair.cert,
                key=pair.key,
            )
            agent = AgentProcess(folder, text)
            agent.token = canary("status")
            proxy = f"http://xx:{canary('proxy')}@127.0.0.1:{receiver.port}"
            try:
                agent.start("--verbose", http_proxy=proxy, https_proxy=proxy)
                yield Aviary(agent, intake, pair.key.read_text().splitlines()[1])
            finally:
                agent.kill()


def secrets_of(value: Any) -> Iterator[tuple[type[BaseModel], str, str]]:
    """Every secret in a model: whose field it is, and what it says."""
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            for found in secret_texts(getattr(value, name)):
                yield type(value), name, found
            yield from secrets_of(getattr(value, name))
    elif isinstance(value, dict | list | tuple):
        for member in value.values() if isinstance(value, dict) else value:
            yield from secrets_of(member)


def secret_texts(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, dict | list | tuple):
        for member in value.values() if isinstance(value, dict) else value:
            yield from secret_texts(member)


def secret_fields(kind: Any, seen: set[Any]) -> Iterator[tuple[type[BaseModel], str]]:
    """Every field of the models that may hold a secret."""
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
        seen.add(kind)
        for name, field in kind.model_fields.items():
            if "SecretStr" in repr(field.annotation):
                yield kind, name
            yield from secret_fields(field.annotation, seen)
    for inner in get_args(kind):
        yield from secret_fields(inner, seen)


def loaded(folder: Path) -> Config:
    pair = Authority(folder / "ca").issue("cabin")
    pair.key.chmod(0o600)
    ports = {word: 4000 + n for n, word in enumerate(("mqtt", "nobody", "receiver", "intake"))}
    path = folder / "bellcrank.yaml"
    path.write_text(filled(**ports, cert=pair.cert, key=pair.key).replace("{status}", "127.0.0.1:8321"))
    path.chmod(0o600)
    return config.load(path)


def test_every_secret_place_of_the_models_has_a_canary(tmp_path: Path) -> None:
    found = list(secrets_of(loaded(tmp_path)))
    assert found
    assert all("Kanarie" in text for _, _, text in found)
    assert {(kind, name) for kind, name, _ in found} == set(secret_fields(file_model(), set()))


def test_neither_a_model_nor_its_errors_show_one(tmp_path: Path) -> None:
    whole = loaded(tmp_path)
    shown = [repr(whole.brokers), repr(whole.sources), repr(whole.status), str(whole.status)]
    assert "Kanarie" not in "".join(shown)
    for section in ("brokers", "sources", "webhooks", "status"):
        text = {"version": 1, "sources": {}, section: {"token": canary("status"), "x": {"password": canary("broker")}}}
        with pytest.raises(ValidationError) as caught:
            file_model().model_validate(text)
        assert "Kanarie" not in str(caught.value)


PAGES = ("/", "/events", "/sensors/gate.t", "/sensors/nothing", "/login", "/login?code=x", "/metrics", "/nothing")


async def test_no_canary_sings(tmp_path: Path) -> None:
    async with aviary(tmp_path) as cage:
        await until(
            lambda: cage.agent.status().get("sources", {}).get("gate", {}).get("state") == "open", what=cage.agent.said
        )
        assert cage.say('{"t": 5}') == 204
        assert cage.say('{"t": "x", "u": 1}') == 204
        await until(lambda: tried(cage) >= 7, what=lambda: cage.get("/api/v1/webhooks"))
        await until(lambda: "Not authorized" in cage.agent.said(), what=cage.agent.said)
        for path in (*PAGES, *api_paths(cage)):
            cage.assert_silent(path, await asyncio.to_thread(cage.get, path))
        for arguments in COMMANDS:
            result = await cage.call(*arguments)
            assert result.exit_code in (0, 1), result.output
            cage.assert_silent(" ".join(arguments), result.output)
        await provoke(cage)
        said = cage.agent.said()
        assert "the reload changes nothing" in said
        assert "Traceback" in said
        cage.assert_silent("the log", said)


COMMANDS = (
    ("config", "check"),
    ("config", "show"),
    ("status",),
    ("status", "--json"),
    ("sensors",),
    ("webhooks", "list"),
    ("events", "list", "--json"),
    ("webhooks", "test", "signed"),
    ("webhooks", "test", "team"),
    ("webhooks", "test", "by_proxy"),
)


def tried(cage: Aviary) -> int:
    """How many webhooks have failed."""
    return sum(bool(hook["last_error"]) for hook in cage.agent.status()["webhooks"].values())


def api_paths(cage: Aviary) -> Iterator[str]:
    """All that can be read, of the running server's own document, with a name and an id for what is in braces."""
    document = json.loads(cage.get("/api/v1/openapi.json").partition("\n\n")[2])
    events = json.loads(cage.get("/api/v1/events?limit=50").partition("\n\n")[2])["events"]
    assert events
    for path, methods in document["paths"].items():
        if "get" not in methods:
            continue
        if "{id}" in path:
            yield from {path.replace("{id}", event["id"]) for event in events}
        elif "{name}" in path:
            yield from (path.replace("{name}", name) for name in ("gate.t", "signed", "team", "on_call", "high"))
        else:
            yield path
    yield "/api/v1/events?bodies=1"
    yield from {f"/events/{event['id']}" for event in events}


async def provoke(cage: Aviary) -> None:
    """What goes wrong: reloads of bad files, requests that are none, a file that cannot be read."""
    good = cage.agent.config.read_text()
    for bad in (
        good.replace('"mqtt://127.0.0.1', f'"mqtt://u:{canary("broker")}@127.0.0.1'),
        good.replace("http://127.0.0.1", f"http://u:{canary('url_path')}@127.0.0.1"),
        good.replace(whsec("signing"), canary("signing")[:20]),
        good.replace(f'token: "{canary("status")}"', f'token: {{"{canary("status")}": 1}}'),
        good.replace(f'routing_key: "{canary("pagerduty")}"', f'routing_kex: "{canary("pagerduty")}"'),
        good.replace(f'"{canary("broker")}"', f"*{canary('broker')}"),
        good.replace(f'"{canary("broker")}"', f"!{canary('broker')}"),
        good.replace(f'"{canary("broker")}"', f"!secret {canary('broker')}"),
    ):
        await cage.agent.reload(bad)
        result = await cage.call("config", "check")
        assert result.exit_code == 78
        cage.assert_silent("config check", result.output)
        cage.assert_silent("the page after a bad reload", await asyncio.to_thread(cage.get, "/"))
    cage.agent.configure(good.replace(f"127.0.0.1:{cage.agent.port}", "{status}"))
    (cage.agent.state / "outbox.db").rename(cage.agent.state / "away.db")
    for path in ("/api/v1/events", "/events", "/api/v1/events?limit=x", "/api/v1/nothing", "/events?before=x"):
        cage.assert_silent(path, await asyncio.to_thread(cage.get, path))
