"""The configuration file: what is taken, and that everything wrong is told at once, in order, with its place.

No message ever shows a secret.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import Config, ConfigErrors, find, load, state_dir
from tests.faults.oracle import SECRET

EXAMPLE = (Path(__file__).parent.parent / "config" / "bellcrank.yaml").read_text(encoding="utf-8")
GOOD = """\
version: 1
brokers:
  house: {url: "mqtt://127.0.0.1"}
sources:
  room:
    driver: mqtt
    topic: home/room
    sensors:
      t: {path: t}
  rooms:
    driver: mqtt
    topic: "home/{room}/climate"
    sensors:
      t: {path: t}
  meter:
    driver: serial
    port: /dev/ttyUSB0
    sensors:
      power: {path: p}
rules:
  warm:
    sensor: room.t
    when: {above: 5}
webhooks:
  ops:
    url: http://127.0.0.1/hook
    unsigned: true
"""


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "bellcrank.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    path.chmod(mode)
    return path


def read(folder: Path, text: str, mode: int = 0o600, **env: str) -> Config:
    return load(write(folder, text, mode), env)


def told(folder: Path, text: str, mode: int = 0o600, **env: str) -> list[str]:
    """The lines of the errors, without the path of the file."""
    with pytest.raises(ConfigErrors) as caught:
        read(folder, text, mode, **env)
    start = f"{folder / 'bellcrank.yaml'}:"
    lines = str(caught.value).split("\n")
    assert all(line.startswith(start) for line in lines)
    return [line.removeprefix(start) for line in lines]


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def test_a_good_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD)
    assert list(config.sources) == ["room", "rooms", "meter"]
    assert {name: list(them) for name, them in config.sources_by_driver().items()} == {
        "mqtt": ["room", "rooms"],
        "serial": ["meter"],
    }
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", config.agent.name)
    assert (config.status.address, config.status.on_loopback) == (("127.0.0.1", 8321), True)
    assert config.brokers["house"].port == 1883


@pytest.mark.parametrize(
    ("text", "line"),
    [
        # what YAML itself refuses: the words are in test_yamlfile
        ("%YAML 1.1\n---\n" + GOOD, "1:1: a YAML directive (%...) is not allowed"),
        (changed("version: 1", "version: 1\nversion: 1"), "2:1: version: stands twice"),
        # unknown words, at every depth
        (changed("rules:", "rule:"), "20:1: rule: unknown key 'rule': did you mean rules?"),
        (
            GOOD + "agent: {heartbeat: {every: 1m, send_to: [opps]}}\n",
            "28:42: agent.heartbeat.send_to.0: unknown webhook 'opps': did you mean ops?",
        ),
        (GOOD + "agent: {heartbeat: {every: 1m}}\n", "28:9: agent.heartbeat.send_to: is missing"),
        (GOOD + "agent: {heartbeat: {send_to: []}}\n", "28:21: agent.heartbeat.send_to: is empty"),
        (GOOD + "agent: {heartbeat: {every: 5ms, send_to: [ops]}}\n", "28:28: agent.heartbeat.every: has to be "),
        (GOOD + "agent: {nme: x}\n", "28:14: agent.nme: unknown key 'nme': did you mean name?"),
        (changed("{url: ", "{ulr: "), "3:16: brokers.house.ulr: unknown key 'ulr': did you mean url?"),
        (
            changed("topic: home/room", "topik: home/room"),
            "7:12: sources.room.topik: unknown key 'topik': did you mean",
        ),
        (changed("power: {path: p}", "power: {pat: p}"), "19:20: sources.meter.sensors.power.pat: unknown key 'pat'"),
        (changed("{above: 5}", "{abov: 5}"), "23:18: rules.warm.when.abov: unknown key 'abov': did you mean above?"),
        (GOOD + "    rest: {mim: 1s}\n", "28:17: webhooks.ops.rest.mim: unknown key 'mim': did you mean min?"),
        (GOOD + "status: {listn: x}\n", "28:17: status.listn: unknown key 'listn': did you mean listen?"),
        (
            changed("topic: home/room", "topic: home/room\n    baudrate: 9600"),
            "8:15: sources.room.baudrate: unknown key 'baudrate': known: ",
        ),
        (
            changed("driver: serial", "driver: seral"),
            "16:13: sources.meter.driver: unknown driver 'seral': did you mean",
        ),
        (changed("    driver: serial\n", ""), "15:3: sources.meter.driver: is missing: one of "),
        # missing words
        (changed("version: 1\n", ""), "1:1: version: is missing"),
        (changed("    port: /dev/ttyUSB0\n", ""), "15:3: sources.meter.port: is missing"),
        (changed("    sensor: room.t\n", ""), "21:3: rules.warm: `sensor` is missing"),
        (changed("    url: http://127.0.0.1/hook\n", ""), "25:3: webhooks.ops.url: is missing"),
        (changed("version: 1", "version: 2"), "1:10: version: has to be 1"),
        # kinds
        (changed("{above: 5}", "{above: five}"), "23:19: rules.warm.when.above: has to be a number"),
        (changed("{above: 5}", "{above: '5'}"), "23:19: rules.warm.when.above: has to be a number"),
        (changed("{above: 5}", "{above: true}"), "23:19: rules.warm.when.above: has to be a number"),
        (changed("{above: 5}", "{above: .nan}"), "23:19: rules.warm.when.above: has to be a finite number"),
        (changed("topic: home/room", "topic: 5"), "7:12: sources.room.topic: has to be text: put it in quotes"),
        (
            changed("  warm:\n    sensor: room.t\n    when: {above: 5}\n", "  - warm\n"),
            "20:1: rules: has to be a mapping",
        ),
        ("- a\n", "1:1: has to be a mapping (`key: value` lines)"),
        ("word\n", "1:1: has to be a mapping (`key: value` lines)"),
        (GOOD + "status: {listen: 8321}\n", "28:18: status.listen: has to be false or text: put it in quotes"),
        (GOOD + "agent: {labels: {floor: 1}}\n", "28:25: agent.labels.floor: has to be text: put it in quotes"),
        (changed("sensor: room.t", "sensor: room.t\n    send_to: ops"), "23:14: rules.warm.send_to: has to be a list"),
        (
            changed("sensor: room.t", "sensor: room.t\n    severity: bad"),
            "23:15: rules.warm.severity: has to be 'info'",
        ),
        (changed("  warm:", "  too warm:"), "21:3: rules.too warm: a name has 1 to 64 letters, digits, - or _"),
        (changed("  warm:", f"  {'w' * 65}:"), "a name has 1 to 64 letters, digits, - or _"),
        (
            changed("sensor: room.t", "sensor: room"),
            "22:13: rules.warm.sensor: has to be a sensor, such as source.sensor",
        ),
        # durations and sizes
        (
            changed("{above: 5}", "{above: 5}\n    for: 00:02:00"),
            "24:10: rules.warm.for: not a duration: use an integer",
        ),
        (changed("{above: 5}", "{above: 5}\n    for: 00:02:00"), "(`00:02:00` is written `2m`)"),
        (changed("{above: 5}", "{above: 5}\n    for: 90"), "(a unit is missing: `90s`?)"),
        (changed("{above: 5}", "{above: 5}\n    for: 1.5h"), "such as 90s or 1h30m"),
        (GOOD.replace('127.0.0.1"}', '127.0.0.1", max_payload: 5}'), "brokers.house.max_payload: not a size: use an"),
        # what people type
        (
            changed("{above: 5}", "{above:5}"),
            "23:19: rules.warm.when.above: is a space missing behind the colon of above:?",
        ),
        (changed("{above: 5}", "above:5"), "is a space missing behind the colon of above:?"),
        (changed("{above: 5}", "\n      above:5"), "24:7: rules.warm.when: has to be a mapping"),
        (changed("{above: 5}", "\n      above:5"), "is a space missing behind the colon of above:?"),
        (changed('"home/{room}/climate"', "{room}/climate"), "12:18: "),
        (changed('"home/{room}/climate"', "{room}/climate"), "a text that begins with { has to be in quotes"),
        (
            changed('"home/{room}/climate"', "{room}"),
            "12:5: sources.rooms.topic: has to be text: text that begins with {",
        ),
        (changed("sensor: room.t", "sensor: *.t"), "22:13: found undefined alias: a text that begins with * has to be"),
        (
            changed("topic: home/room", "topic: home/+/x"),
            "7:12: sources.room.topic: a topic has no wildcards: in place of +",
        ),
        (changed("topic: home/room", "topic: home/#"), "use a placeholder such as {room}"),
        (changed("{room}", "{room}/{room}"), "12:12: sources.rooms.topic: a placeholder stands twice in the topic"),
        (changed("{room}", "x{room}"), "12:12: sources.rooms.topic: a placeholder is a whole level"),
        (
            GOOD + "status: {listen: no}\n",
            "28:18: status.listen: has to be host:port, such as 127.0.0.1:8321; or false",
        ),
        (GOOD + "status: {listen: 'cabin:80'}\n", "status.listen: has to be an address of this machine"),
        # what one part says of another
        (
            changed("sensor: room.t", "sensor: room.tt"),
            "22:13: rules.warm.sensor: unknown sensor 'room.tt': did you mean room.t?",
        ),
        (changed("sensor: room.t", "sensor: rooms.t"), "rules.warm.sensor: unknown sensor 'rooms.t': did you mean"),
        (changed("sensor: room.t", "sensor: rooms.*.*.t"), "unknown sensor 'rooms.*.*.t': did you mean rooms.*.t?"),
        (
            changed("sensor: room.t", "sensor: room.t\n    send_to: [ops, opps]"),
            "23:20: rules.warm.send_to.1: unknown webhook 'opps': did you mean ops?",
        ),
        (
            changed("topic: home/room", "topic: home/room\n    broker: hose"),
            "8:13: sources.room.broker: unknown broker 'hose': did you mean house?",
        ),
        (
            changed("  house: {url", "  barn: {url: 'mqtt://x'}\n  house: {url"),
            "6:3: sources.room: `broker` may be left out only where there is one; there are several: name one",
        ),
        (
            changed('brokers:\n  house: {url: "mqtt://127.0.0.1"}\n', ""),
            "3:3: sources.room: `broker` may be left out only where there is one; there is none in `brokers`",
        ),
        (
            changed("rules:", "  other: {driver: serial, port: /dev/ttyUSB0, sensors: {t: {}}}\nrules:"),
            "20:33: sources.other.port: meter reads this port already",
        ),
        (GOOD + "status: {listen: '0.0.0.0:80'}\n", "28:18: status.listen: off loopback a `token` is needed"),
        (GOOD + "status: {listen: '[::]:80'}\n", "28:18: status.listen: off loopback a `token` is needed"),
        (
            GOOD + f"    secrets: [{SECRET}]\n",
            "25:3: webhooks.ops: `unsigned: true` beside `secrets`: take one of them away",
        ),
        (changed("    unsigned: true\n", ""), "25:3: webhooks.ops: neither `secrets` nor `unsigned: true`"),
        (changed("unsigned: true", "secrets: [whsec_c2hvcnQ=]"), "webhooks.ops.secrets: a secret has 24 to 64 bytes"),
        (GOOD + "outbox: {max_size: 64kB}\n", "28:20: outbox.max_size: has to be at least 1MB"),
        (GOOD + "outbox: {max_events: 0}\n", "28:22: outbox.max_events: has to be greater than or equal to 1"),
        (GOOD + "outbox: {keep_dead: 30}\n", "outbox.keep_dead: not a duration"),
        (GOOD + "status: {token: short}\n", "28:17: status.token: a token has at least 16 bytes"),
        (changed("{above: 5}", "{above: 5}\n    clear: {above: 4}"), "21:3: rules.warm: `clear` overlaps `when`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place_and_what_would_be_right(tmp_path: Path, text: str, line: str) -> None:
    lines = told(tmp_path, text)
    assert any(line in one if not line[0].isdigit() else one.startswith(line) for one in lines), lines


@pytest.mark.parametrize(
    "text",
    [
        changed("sensor: room.t", "sensor: rooms.*.t"),
        changed("sensor: room.t", "sensor: rooms.kitchen.t"),
        changed("sensor: room.t", "sensor: room.*"),
        changed("sensor: room.t", "sensor: meter.power"),
        changed("{above: 5}", "{equals: on}"),
        changed("{above: 5}", "{above: 5}\n    for: 0"),
        changed("t: {path: t}\n  rooms", "t: {}\n  rooms"),
        GOOD + "status: {listen: '0.0.0.0:80', token: 0123456789abcdef}\n",
        GOOD + "status: {listen: '[::1]:80'}\n",
        GOOD + "status: {listen: 'localhost:80'}\n",
        GOOD + "status: {listen: false}\n",
        GOOD + "agent: {name: off, labels: {since: 2024-01-02, on: yes}}\n",
        changed("version: 1", "version: 1\nagent: &a {name: x}\nstatus: {hosts: [&h cabin, *h]}"),
        "\ufeff" + GOOD,
    ],
)
def test_what_is_right_is_taken(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text).rules


def test_words_and_dates_of_yaml_1_1_stay_text(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD + "agent: {name: off, labels: {a: ON, b: yes, c: 2024-01-02}}\n")
    assert (config.agent.name, config.agent.labels) == ("off", {"a": "ON", "b": "yes", "c": "2024-01-02"})


def test_everything_wrong_is_told_at_once_and_in_order(tmp_path: Path) -> None:
    text = (
        changed("driver: serial", "driver: seral")
        .replace("{above: 5}", "{abov: 5}\n    clear: {}")
        .replace("rules:", "rules:\n  cold: {sensor: room.tt, when: {below: 5}, send_to: [opps]}\n")
        .replace("version: 1", "vershun: 1")
        .replace("unsigned: true", "unsigned: true\n    secrets: [!secrt x]")
    ) + "status: {listen: '0.0.0.0:80'}\n"
    assert [re.sub(r"(: [^:]+): .*", r"\1", line) for line in told(tmp_path, text)] == [
        "1:1: version",
        "1:10: vershun",
        "16:13: sources.meter.driver",
        "21:18: rules.cold.sensor",
        "21:55: rules.cold.send_to.0",
        "25:18: rules.warm.when.abov",
        "26:5: rules.warm.clear",
        "31:15: webhooks.ops.secrets.0",
        "32:18: status.listen",
    ]


def test_a_rule_of_a_source_that_is_wrong_itself_is_not_told_too(tmp_path: Path) -> None:
    lines = told(tmp_path, changed("topic: home/room", "topic: home/+"))
    assert len(lines) == 1, lines


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match=r"none.yaml:1:1: No such file or directory"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ConfigErrors, match="Is a directory"):
        load(tmp_path)


def test_no_message_moves_a_cursor_or_breaks_a_line(tmp_path: Path) -> None:
    lines = told(tmp_path, GOOD + '"\\e[2J\\nx": {"\\r": 1}\nagent: {"\\u202ea": 1}\n')
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


@settings(max_examples=50)
@given(
    st.text(max_size=40)
    | st.lists(st.sampled_from([*re.findall(r"\w+|[^\w]", GOOD), "*", "&", "!", "{", "}", "[", "\t", "'"])).map("".join)
    | st.tuples(
        st.integers(0, len(EXAMPLE)),
        st.integers(0, 12),
        st.sampled_from(
            ["", "{", "[", "}", ":", "-", "*x", "!secret x", "~", "5", "on", "\t", "\n", '"', "{}", "[[]]"]
        ),
    ).map(lambda cut: EXAMPLE[: cut[0]] + cut[2] + EXAMPLE[cut[0] + cut[1] :])
)
def test_no_text_raises_anything_but_what_is_for_people(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        read(folder, text)
    except ConfigErrors as errors:
        assert re.match(rf"{re.escape(str(folder))}/bellcrank.yaml:\d+:\d+: .", str(errors))


# -- secrets

CANARY = "Kanarienvogel7319"
BASE64 = f"whsec_{CANARY}AAAA"
HOMES = {
    "password": (
        '"mqtt://127.0.0.1"}',
        '"mqtt://127.0.0.1", username: u, password: @@}',
    ),
    "secret": ("unsigned: true", "secrets: [@@]"),
    "second secret": ("unsigned: true", f"secrets: [{SECRET}, @@]"),
    "token": ("version: 1", "version: 1\nstatus: {token: @@}"),
    "token off loopback": ("version: 1", 'version: 1\nstatus: {listen: "0.0.0.0:80", token: @@, x: 1}'),
    "block password": (
        'house: {url: "mqtt://127.0.0.1"}',
        "house:\n    url: mqtt://127.0.0.1\n    password: @@",
    ),
    "password in a URL": ("mqtt://127.0.0.1", "mqtt://me:@@@broker"),
    "password as a port": ("mqtt://127.0.0.1", "mqtt://me:@@"),
    "webhook password": ("http://127.0.0.1/hook", "http://me:@@@127.0.0.1/hook"),
    "webhook password as a port": ("http://127.0.0.1/hook", "http://me:@@"),
    "webhook brackets": ("http://127.0.0.1/hook", "http://[@@]/"),
    "no space": ('"mqtt://127.0.0.1"}', '"mqtt://127.0.0.1", password:@@}'),
    "no space in a block": ('house: {url: "mqtt://127.0.0.1"}', "house:\n    url: mqtt://127.0.0.1\n    password:@@"),
    "no space alone": ('house: {url: "mqtt://127.0.0.1"}', "house:\n    password:@@"),
    "no space before a list": ("unsigned: true", "secrets:[@@]"),
    "one for a list": ("unsigned: true", "secrets: @@"),
}
KINDS = [
    "{}",
    "'{}'",
    "{}: x",
    "{{{}}}",
    "{{{}: 1}}",
    "{{{0}: 1, {0}: 2}}",
    "[{}]",
    "[[{}]]",
    "*{}",
    "&{} x",
    "&{0} {0}",
    "@{}",
    "%{}",
    "!{} x",
    "!!{} x",
    "!{}",
    "!secret {}",
    "!env {}",
    "!file whsec_{}",
    "!secret {{{}: x}}",
    '"{}',
    "|{}",
    "`{}`",
    "whsec_{}",
    "whsec_{} ",
    "{}\n\n\tx",
    "whsec_{}AAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
]


@pytest.mark.parametrize("mode", [0o600, 0o644])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("home", HOMES)
def test_no_error_shows_a_secret(tmp_path: Path, home: str, kind: str, mode: int) -> None:
    text = changed(HOMES[home][0], HOMES[home][1].replace("@@", kind.format(CANARY), 1))
    try:
        config = read(tmp_path, text, mode)
    except ConfigErrors as errors:
        assert CANARY not in str(errors)
        assert CANARY not in repr(errors)
        assert not any(CANARY in repr(problem) for problem in errors.problems)
    else:
        assert CANARY not in repr(config)
        assert CANARY not in str(config.model_dump())
        assert CANARY not in config.model_dump_json()


@pytest.mark.parametrize("tag", ["!secret one", "!env ONE", "!file one.txt"])
@pytest.mark.parametrize(
    "home",
    [
        "password: @@",
        "url: @@",
        "keepalive: @@",
        "client_id: [@@]",
        "username: {a: @@}",
    ],
)
@pytest.mark.parametrize("value", [CANARY, f"{CANARY}:x", f"mqtt://me:{CANARY}", f"mqtt://{CANARY}:1/x", "1" * 40])
def test_no_error_shows_what_a_tag_stands_for(tmp_path: Path, tag: str, home: str, value: str) -> None:
    for name, text in (("secrets.yaml", f"one: '{value}'\n"), ("one.txt", value)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    text = changed('house: {url: "mqtt://127.0.0.1"}', f"house:\n    {home.replace('@@', tag)}\n    x: 1")
    lines = told(tmp_path, text, ONE=value)
    assert not any(value in line or CANARY in line for line in lines), lines


@pytest.mark.parametrize(
    "change",
    [
        lambda tag: changed("driver: serial", f"driver: {tag}"),
        lambda tag: changed("topic: home/room", f"topic: {tag}"),
        lambda tag: changed("topic: home/room", f"topic: home/room\n    broker: {tag}"),
        lambda tag: changed("sensor: room.t", f"sensor: {tag}"),
        lambda tag: changed("sensor: room.t", f"sensor: room.t\n    send_to: [{tag}]"),
        lambda tag: changed("url: http://127.0.0.1/hook", f"url: {tag}"),
    ],
)
@pytest.mark.parametrize(
    "value", [CANARY, f"{CANARY}.t", f"a/{CANARY}{{b}}", f"http://[{CANARY}]", "http://169.254.77.31"]
)
def test_no_cross_reference_shows_what_a_tag_stands_for(
    tmp_path: Path, change: Callable[[str], str], value: str
) -> None:
    text = change("!env ONE")
    try:
        read(tmp_path, text, ONE=value)
    except ConfigErrors as errors:
        assert CANARY not in str(errors)
        assert "169.254" not in str(errors)


def test_a_secret_that_stands_in_the_file_asks_for_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    text = changed("unsigned: true", f"secrets: [{SECRET}]")
    text = text.replace('127.0.0.1"}', '127.0.0.1", password: hunter2}') + "status: {token: 0123456789abcdef}\n"
    read(tmp_path, text, 0o640)
    mend = f"use !secret, or chmod o-rwx {tmp_path / 'bellcrank.yaml'}"
    assert told(tmp_path, text, 0o644) == [
        f"3:46: brokers.house.password: a secret in a file that others may read: {mend}",
        f"27:15: webhooks.ops.secrets.0: a secret in a file that others may read: {mend}",
        f"28:17: status.token: a secret in a file that others may read: {mend}",
    ]


def test_a_file_that_only_names_its_secrets_may_be_read_by_others(tmp_path: Path) -> None:
    read(tmp_path, changed("unsigned: true", "secrets: [!env ONE]"), 0o644, ONE=SECRET)


@pytest.mark.parametrize("tag", ["!secret one", "!env ONE", "!file one.txt"])
def test_a_secret_that_a_tag_names_is_the_one_that_is_used(tmp_path: Path, tag: str) -> None:
    for name, text in (("secrets.yaml", f"one: {SECRET}\n"), ("one.txt", f"{SECRET}\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    config = read(tmp_path, changed("unsigned: true", f"secrets: [{tag}]"), 0o644, ONE=SECRET)
    assert config.webhooks["ops"].secrets[0].get_secret_value() == SECRET


# -- where the file and the state are


def test_the_file_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = tmp_path / "user"
    monkeypatch.setattr(platformdirs, "user_config_path", lambda name: user / name)
    unit = tmp_path / "unit"
    env = {"BELLCRANK_CONFIG": "/named.yaml", "CONFIGURATION_DIRECTORY": str(unit)}
    for folder in (user / "bellcrank", unit):
        folder.mkdir(parents=True)
        (folder / "bellcrank.yaml").touch()
    assert find(Path("/given.yaml"), env) == Path("/given.yaml")
    assert find(None, env) == Path("/named.yaml")
    del env["BELLCRANK_CONFIG"]
    assert find(None, env) == unit / "bellcrank.yaml"
    (unit / "bellcrank.yaml").unlink()
    assert find(None, env) == user / "bellcrank" / "bellcrank.yaml"
    (user / "bellcrank" / "bellcrank.yaml").unlink()
    with pytest.raises(ConfigErrors) as caught:
        find(None, env)
    looked = f"{unit}/bellcrank.yaml, /etc/bellcrank/bellcrank.yaml, {user}/bellcrank/bellcrank.yaml"
    assert f"no configuration; looked for {looked}; use --config, or make one" in str(caught.value)


def test_the_state_is_kept_where_the_file_says_then_where_systemd_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, plain = read(tmp_path, GOOD + "agent: {state_dir: /srv/state}\n"), read(tmp_path, GOOD)
    assert state_dir(named, {"STATE_DIRECTORY": "/unit"}) == Path("/srv/state")
    assert state_dir(plain, {"STATE_DIRECTORY": "/unit:/second"}) == Path("/unit")
    monkeypatch.setattr(platformdirs, "user_state_path", lambda name: tmp_path / name)
    monkeypatch.setattr(os, "access", lambda path, _: str(path) == "/var/lib/bellcrank")
    assert state_dir(plain, {}) == Path("/var/lib/bellcrank")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert state_dir(plain, {}) == tmp_path / "bellcrank"


def test_what_is_wrong_in_a_body_and_in_headers_is_told_at_its_place(tmp_path: Path) -> None:
    text = changed(
        "    unsigned: true\n",
        """\
    unsigned: true
    headers: {X-Title: "{summry}", Host: x}
    body:
      text: "{rule} {value:999999999}"
      parts: ["{sensor}", {level: "{sevrity}"}]
""",
    )
    assert [line.partition("webhooks.")[2] for line in told(tmp_path, text)] == [
        "ops.headers.X-Title: unknown placeholder {summry}: did you mean summary?",
        "ops.headers.Host: it is written by bellcrank itself",
        "ops.body.text: {value:999999999}: a width and digits of at most 100",
        "ops.body.parts.1.level: unknown placeholder {sevrity}: did you mean severity?",
    ]
    lines = text.split("\n")
    places = [line.split(":")[0] for line in told(tmp_path, text)]
    assert ["X-Title" in lines[int(places[0]) - 1], "sevrity" in lines[int(places[3]) - 1]] == [True, True]


def test_a_secret_header_asks_for_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    text = changed("    unsigned: true\n", '    unsigned: true\n    headers: {Authorization: "Bearer x", X-Site: y}\n')
    assert read(tmp_path, text).webhooks["ops"].header_texts() == {"Authorization": "Bearer x", "X-Site": "y"}
    (line,) = told(tmp_path, text, 0o644)
    assert "webhooks.ops.headers.Authorization: a secret in a file that others may read" in line


def test_the_agent_tells_of_itself_where_the_body_is_the_standard_one(tmp_path: Path) -> None:
    more = """\
  chat: {url: "http://127.0.0.1/chat", unsigned: true, body: {text: "{summary}"}}
  team: {url: "http://127.0.0.1/team", unsigned: true, preset: slack}
  next: {url: "http://127.0.0.1/next", unsigned: true, headers: {X-A: "{id}"}, method: PUT}
"""
    assert read(tmp_path, GOOD + more).site().events_to == ("ops", "next")
    text = GOOD.replace("version: 1", "version: 1\nagent: {events_to: [chat]}", 1) + more
    assert read(tmp_path, text).site().events_to == ("chat",)


def test_a_summary_of_a_rule_is_checked(tmp_path: Path) -> None:
    text = changed("    when: {above: 5}\n", '    when: {above: 5}\n    summary: "{sensr}"\n')
    (line,) = told(tmp_path, text)
    assert "rules.warm.summary: unknown placeholder {sensr}: did you mean sensor?" in line
