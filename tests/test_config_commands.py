"""`bellcrank config init | show | schema`: a file that runs as it is, all defaults, and words for an editor."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator
from paho.mqtt import publish

from agent import listen, yamlfile
from agent.cli import main
from agent.config import Config, file_model, load, read
from agent.effective import effective
from agent.listen import Receiver
from agent.schema import schema
from agent.webhooks.shown import HIDDEN
from drivers.signing import key_of
from tests.docs.pages import whole_files
from tests.faults.oracle import SECRET
from tests.support.agent import AgentProcess
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import until

ROOT = Path(__file__).parent.parent
EXAMPLE = (ROOT / "config" / "bellcrank.yaml").read_text(encoding="utf-8")
CANARY = "Kanarienvogel-7319-hQ4vT9xLw2"
SMALL = """\
version: 1
sources:
  meter: {driver: serial, port: /dev/ttyUSB0, sensors: {t: {}}}
rules:
  level: {sensor: meter.t, when: {above: 5}}
  pulse: {sensor: meter.t, each: reading}
  moved: {sensor: meter.t, each: {changes_by: 0.5}, throttle: 10s}
webhooks:
  ops: {url: "http://127.0.0.1/", unsigned: true, timeout: {connect: 1s}}
"""


def call(*arguments: str | Path, **env: str) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], env=env)


def write(folder: Path, text: str, **secrets: str) -> Path:
    path = folder / "bellcrank.yaml"
    path.write_text(text, encoding="utf-8")
    names = dict.fromkeys(re.findall(r"!secret (\w+)", text), SECRET) | secrets
    if names:
        beside = folder / "secrets.yaml"
        beside.touch(0o600)
        beside.write_text("".join(f"{name}: '{secret}'\n" for name, secret in names.items()), encoding="utf-8")
    return path


# -- show


def shown_again(folder: Path, text: str) -> Config:
    """What is read from what is shown, with the secrets put in again."""
    folder.mkdir()
    path = write(folder, text.replace(HIDDEN, SECRET))
    path.chmod(0o600)
    return load(path)


@pytest.mark.parametrize("text", [EXAMPLE, SMALL, *whole_files()])
def test_what_is_shown_is_taken_for_the_same(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    result = call("config", "show", "--config", path)
    assert result.exit_code == 0, result.output
    long = re.findall(r"https://hc-ping\.com/([^\"]+)", text)  # which is a secret too
    again = shown_again(
        tmp_path / "again", result.output.replace(f"hc-ping.com/{HIDDEN}", f"hc-ping.com/{''.join(long)}")
    )
    assert again == load(path)
    assert again.meanings() == load(path).meanings()
    assert effective(read(tmp_path / "again" / "bellcrank.yaml")) == result.output


def test_all_defaults_are_shown_as_one_would_write_them(tmp_path: Path) -> None:
    shown = call("config", "show", "--config", write(tmp_path, SMALL)).output
    found = yamlfile.load(write(tmp_path, shown), {}).value
    assert found["status"] == {"listen": "127.0.0.1:8321", "hosts": [], "prefix": "/"}
    assert found["agent"]["name"]
    assert found["sources"]["meter"]["max_line"] == "4KiB"
    ops = found["webhooks"]["ops"]
    assert (ops["timeout"], ops["rest"]) == ({"connect": "1s", "total": "15s"}, {"min": "30s", "max": "15m"})
    assert (ops["expires"], ops["delays"][:3], ops["concurrency"]) == ("1w", ["0s", "5s", "30s"], 8)
    assert found["rules"]["level"].items() >= {"for": "0s", "clear_for": "0s", "severity": "warning"}.items()
    assert "throttle" not in found["rules"]["level"]
    assert found["rules"]["pulse"].items() >= {"each": {"reading": True}, "throttle": "0s"}.items()


def test_what_yaml_would_take_for_something_else_stays_text(tmp_path: Path) -> None:
    texts = [
        "5",
        "1e3",
        "true",
        "null",
        "~",
        "",
        "ON",
        "2024-01-02",
        "00:02",
        "=",
        "<<",
        "*x",
        "!y",
        "{a}",
        "%",
        "a: b",
    ]
    texts += ["é\t\x1b", " x ", "'", '"', "|", "- x", "#"]
    labels = {f"l{n}": text for n, text in enumerate(texts)}
    path = write(tmp_path, SMALL + f"agent: {{labels: {json.dumps(labels)}}}\n")
    assert shown_again(tmp_path / "again", effective(read(path))).agent.labels == labels


SECRETIVE = """\
version: 1
brokers: {house: {url: !secret url, username: u, password: %s}}
sources: {room: {driver: mqtt, topic: !secret topic, sensors: {t: {}}}}
agent: {labels: {one: !secret label}}
status: {token: %s}
webhooks: {ops: {url: "https://x/", secrets: [%s]}}
"""


@pytest.mark.parametrize("inline", [True, False])
def test_neither_secrets_nor_what_came_from_a_tag_are_shown(tmp_path: Path, inline: bool) -> None:
    long = f"whsec_{CANARY.replace('-', '')}AAAAAAAA="
    words = (CANARY, CANARY, long) if inline else ("!secret password", "!secret token", "!secret whsec")
    secrets = {"password": CANARY, "token": CANARY, "whsec": long, "url": f"mqtt://{CANARY}", "topic": CANARY}
    path = write(tmp_path, SECRETIVE % words, **secrets, label=CANARY)
    path.chmod(0o600)
    shown = call("config", "show", "--config", path).output
    assert "Kanarienvogel" not in shown
    found = yamlfile.load(write(tmp_path, shown), {}).value
    assert found["webhooks"]["ops"]["secrets"] == [HIDDEN]
    assert (found["status"]["token"], found["agent"]["labels"]) == (HIDDEN, {"one": HIDDEN})
    assert (found["brokers"]["house"]["url"], found["brokers"]["house"]["username"]) == (HIDDEN, "u")
    assert found["sources"]["room"]["topic"] == HIDDEN


def test_a_bad_configuration_is_not_shown(tmp_path: Path) -> None:
    result = call("config", "show", "--config", write(tmp_path, "version: 2\n"))
    assert result.exit_code == 78
    assert "bellcrank.yaml:1:10: version: has to be 1" in result.output


# -- schema

SCHEMA: dict[str, Any] = json.loads(call("config", "schema").output)


def objections(folder: Path, text: str) -> list[str]:
    """What an editor would say of a file in which the secrets are text."""
    tags: dict[str, yamlfile.Tag] = {tag: lambda text, _: text for tag in ("!secret", "!env", "!file")}
    path = folder / "some.yaml"
    path.write_text(text, encoding="utf-8")
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(yamlfile.load(path, tags).value)]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert schema() == SCHEMA
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("text", [EXAMPLE, SMALL, *whole_files()])
def test_a_good_file_is_good_for_an_editor_too(tmp_path: Path, text: str) -> None:
    assert objections(tmp_path, text) == []


def test_what_is_shown_is_good_for_an_editor_too(tmp_path: Path) -> None:
    assert objections(tmp_path, effective(read(write(tmp_path, EXAMPLE)))) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1", "version: 2"),
        ("version: 1", "version: 1\nrule: {}"),
        ("driver: serial", "driver: seral"),
        ("driver: serial, ", ""),
        ("port: /dev/ttyUSB0", "port: /dev/ttyUSB0, topic: x"),
        ("port: /dev/ttyUSB0", "port: /dev/ttyUSB0, max_line: 4096"),
        ("port: /dev/ttyUSB0", "port: /dev/ttyUSB0, parity: X"),
        ("{t: {}}", "{t: {pat: x}}"),
        ("{t: {}}", "{'t t': {}}"),
        ("level:", "lev el:"),
        ("sensor: meter.t, when", "sensor: meter, when"),
        ("{above: 5}", "{above: '5'}"),
        ("{above: 5}", "{abov: 5}"),
        ("{above: 5}", "reading"),
        ("each: reading", "each: readings"),
        ("throttle: 10s", "throttle: 10"),
        ("throttle: 10s", "throttle: 00:10"),
        ("throttle: 10s", "throttle: 10s, severity: bad"),
        ("{connect: 1s}", "{conect: 1s}"),
        ("unsigned: true", "unsigned: maybe"),
    ],
)
def test_what_the_agent_refuses_an_editor_marks(tmp_path: Path, old: str, new: str) -> None:
    assert SMALL.count(old) == 1
    text = SMALL.replace(old, new)
    assert objections(tmp_path, text)
    assert call("config", "check", "--config", write(tmp_path, text)).exit_code == 78


def properties(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each key of each model of the schema."""
    for key, member in node.items() if isinstance(node, dict) else ():
        for name, described in member.items() if key == "properties" else ():
            yield f"{path}.{name}", described
        yield from properties(member, f"{path}.{key}" if key != "$defs" else "")


def test_each_default_is_a_value_that_its_key_may_have() -> None:
    defaults = 0
    for path, described in properties(SCHEMA):
        if "default" in described:
            defaults += 1
            whole = {**described, "$defs": SCHEMA["$defs"]}
            assert Draft202012Validator(whole).is_valid(described["default"]), (path, described)
    assert defaults > 10


def test_each_part_is_explained() -> None:
    assert SCHEMA["description"]
    assert [name for name, model in SCHEMA["$defs"].items() if not model.get("description")] == []


@pytest.mark.parametrize("part", ["", "AgentConfig", "StatusConfig", "Webhook", "Timeout", "RestBounds"])
def test_the_docstring_of_a_key_explains_it(part: str) -> None:
    model = SCHEMA["$defs"][part] if part else SCHEMA
    assert [name for name, key in model["properties"].items() if not key.get("description")] == []


def test_every_key_of_the_models_is_in_the_schema() -> None:
    assert set(SCHEMA["properties"]) == set(file_model().model_fields)
    assert {"for", "when", "each", "send_to"} <= set(SCHEMA["$defs"]["Rule"]["properties"])


# -- init


def test_a_first_configuration_passes_the_check_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "new" / "bellcrank.yaml"
    result = call("config", "init", path)
    assert result.exit_code == 0, result.output
    secrets = tmp_path / "new" / "secrets.yaml"
    assert secrets.stat().st_mode & 0o777 == 0o600
    assert str(secrets) in result.output
    check = call("config", "check", "--config", path)
    assert check.exit_code == 0, check.output
    assert objections(tmp_path, path.read_text(encoding="utf-8")) == []


def test_what_is_commented_out_in_it_passes_the_check_too(tmp_path: Path) -> None:
    path = tmp_path / "bellcrank.yaml"
    call("config", "init", path)
    secrets = tmp_path / "secrets.yaml"
    secrets.write_text(re.sub(r"^# (\w+:)", r"\1", secrets.read_text(), flags=re.MULTILINE))
    head, version, body = path.read_text(encoding="utf-8").partition("version: 1\n")
    path.write_text(head + version + re.sub(r"^( +)# ", r"\1", body, flags=re.MULTILINE), encoding="utf-8")
    lines = call("config", "check", "--config", path).output.splitlines()
    assert len(lines) == 1, lines
    assert "rules.doorbell.sensor: unknown sensor 'door.button'" in lines[0]


def test_each_first_configuration_has_a_secret_of_its_own(tmp_path: Path) -> None:
    for name in ("one", "other"):
        call("config", "init", tmp_path / name / "bellcrank.yaml")
    one, other = (load(tmp_path / name / "bellcrank.yaml").webhooks["here"].keys for name in ("one", "other"))
    assert one != other
    assert len(one[0]) == 32


@pytest.mark.parametrize("there", ["bellcrank.yaml", "secrets.yaml"])
def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    result = call("config", "init", tmp_path / "bellcrank.yaml")
    assert result.exit_code == 1
    assert result.output == f"{tmp_path / there} is there already; nothing was written\n"
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_without_a_path_it_is_written_where_run_looks(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "my.yaml"
    assert call("config", "init", BELLCRANK_CONFIG=str(place)).exit_code == 0
    assert call("config", "check", BELLCRANK_CONFIG=str(place)).exit_code == 0
    folder = tmp_path / "unit"
    folder.mkdir()
    env = {"CONFIGURATION_DIRECTORY": str(folder)}
    assert call("config", "init", **env).exit_code == 0
    assert (folder / "bellcrank.yaml").exists()


def test_one_of_several_agents_has_its_own_name_state_page_and_secret(tmp_path: Path) -> None:
    (tmp_path / "secrets.yaml").write_text("mine")
    path = tmp_path / "garage.yaml"
    result = call("config", "init", path, "--instance", "garage", "--port", "8345")
    assert result.exit_code == 0, result.output
    config = load(path)
    assert config.agent.name.endswith("-garage")
    assert str(config.agent.state_dir) == "/var/lib/bellcrank-garage"
    assert config.status.listen == "127.0.0.1:8345"
    assert len(config.webhooks["here"].keys[0]) == 32
    assert (tmp_path / "garage.whsec").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "secrets.yaml").read_text() == "mine"
    assert call("config", "init", tmp_path / "x.yaml", "--instance", "secrets").exit_code == 2


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = call("config", "init", tmp_path / "file" / "bellcrank.yaml")
    assert result.exit_code == 1
    assert "file" in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


async def test_a_first_configuration_runs_and_its_receiver_verifies(tmp_path: Path) -> None:
    """As it is, but for the ports, which a test cannot have for itself."""
    path = tmp_path / "bellcrank.yaml"
    call("config", "init", path)
    broker, told = Mosquitto(tmp_path), list[str]()
    broker.start()
    [secret] = re.findall(r"whsec_\S+", (tmp_path / "secrets.yaml").read_text())
    app = web.Application()
    app.router.add_post("/", Receiver([key_of(secret)], 204, told.append).handle)
    async with TestServer(app) as server:
        text = path.read_text(encoding="utf-8").replace(":1883", f":{broker.port}").replace(":9000", f":{server.port}")
        agent = AgentProcess(tmp_path, text + 'status: {listen: "{status}"}\n')
        try:
            agent.start()
            await agent.ready()
            publish.single("home/kitchen/climate", '{"temperature": 31.5}', 1, hostname="127.0.0.1", port=broker.port)
            await until(lambda: len(told) == 2)
            assert await asyncio.to_thread(agent.stop) == 0
        finally:
            agent.kill()
            broker.stop()
    assert all(line.startswith("VERIFIED evt_") for line in told)
    assert any("agent.started" in line for line in told)
    assert any("rooms.kitchen.temperature" in line for line in told)


# -- listen takes the same file


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (SECRET, 1),
        (f"{SECRET}\n{SECRET}\n", 2),
        (f"# whatever\none: {SECRET}\ntwo: '{SECRET}'\npassword: x\n", 2),
    ],
)
def test_the_listener_takes_the_secrets_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, keys: int
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(listen, "serve", lambda *arguments: given.extend(arguments))
    (tmp_path / "secrets.yaml").write_text(text)
    result = call("listen", "--secret-file", tmp_path / "secrets.yaml")
    assert result.exit_code == 0, result.output
    assert given[1] == [key_of(SECRET)] * keys


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "there is no secret (whsec_...)"), ("one: x", "there is no secret"), ("whsec_x", "no base64")],
)
def test_a_file_without_a_secret_is_not_taken_for_one(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "secrets.yaml").write_text(text)
    result = call("listen", "--secret-file", tmp_path / "secrets.yaml")
    assert result.exit_code == 78
    assert words in result.output
