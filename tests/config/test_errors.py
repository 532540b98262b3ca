"""Everything wrong in the file is told at once, in order, with its place, its path and what would be right."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from agent.config import ConfigErrors, file_model, load
from tests.config.files import GOOD, changed, read, told
from tests.faults.oracle import SECRET

EXAMPLE = (Path(__file__).parent.parent.parent / "config" / "bellcrank.yaml").read_text(encoding="utf-8")


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
        (changed("version: 1\n", ""), "1:1: version: is missing: write `version: 1` as the first line"),
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
            "23:12: rules.warm.when.above: is a space missing behind the colon of above:?",
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
        (changed("sensor: room.t", "sensor: *.t"), "22:13: rules.warm.sensor: found undefined alias: a text that"),
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
        (GOOD + "status: {token: short}\n", "28:17: status.token: a token of at least 128 bits is needed, and this"),
        (changed("{above: 5}", "{above: 5}\n    clear: {above: 4}"), "21:3: rules.warm: `clear` overlaps `when`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place_and_what_would_be_right(tmp_path: Path, text: str, line: str) -> None:
    lines = told(tmp_path, text)
    assert any(line in one if not line[0].isdigit() else one.startswith(line) for one in lines), lines


METER_FLAT = "  meter:\n  driver: serial\n  port: /dev/ttyUSB0\n  sensors:\n    power:"
WEBHOOK = """\
  ops:
    url: http://127.0.0.1/hook
    unsigned: true
"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        # what YAML itself refuses
        (
            changed("    port: /dev/ttyUSB0", "     port: /dev/ttyUSB0"),
            "17:6: sources.meter.port: wrong indentation: it begins in column 6; column 5 (as line 16) or ",
        ),
        (
            changed("    when: {above: 5}", "   when: {above: 5}"),
            "23:4: rules.warm.when: wrong indentation: it begins in column 4; column 5 (as line 22) or column 3",
        ),
        (changed("  warm:", "  warm"), "21:3: rules: is a colon missing at the end of this line?"),
        (
            changed("sensor: room.t", "sensor: room.t\n    send_to:\n      - ops\n     - ops"),
            "25:6: rules.warm.send_to: wrong indentation: it begins in column 6; column 7 (as line 24) would be",
        ),
        (
            changed("sensor: room.t", "sensor: room.t\n    send_to: - ops"),
            "23:14: rules.warm.send_to: sequence entries are not allowed here: items begin on the lines below",
        ),
        (
            changed("sensor: room.t", "sensor: room.t\n    summary: too warm: now"),
            "23:22: rules.warm.summary: mapping values are not allowed here: a text with a colon and a space behind it",
        ),
        (changed("    sensor: room.t", "\tsensor: room.t"), "22:1: rules.warm.sensor: a tab; YAML is indented with"),
        # what YAML takes for something else
        (changed("  warm:\n", "warm:\n"), "20:1: rules: has to be a mapping (`key: value` lines): it is empty"),
        (changed("  warm:\n", "warm:\n"), "21:1: warm: unknown key 'warm': indent it below `rules`"),
        (
            changed(WEBHOOK, WEBHOOK.replace("    ", "  ")),
            "25:3: webhooks.ops: has to be a mapping (`key: value` lines): it is empty; what belongs to it has to be",
        ),
        (
            changed(WEBHOOK, WEBHOOK.replace("    ", "  ")),
            "26:8: webhooks.url: has to be a mapping (`key: value` lines): indent it below `ops`",
        ),
        (
            changed("  meter:\n    driver: serial\n    port: /dev/ttyUSB0\n    sensors:\n      power:", METER_FLAT),
            "16:11: sources.driver: has to be a mapping (`key: value` lines): indent it below `meter`",
        ),
        (
            changed("    when: {above: 5}", "    when:\n    above: 5"),
            "24:12: rules.warm.above: unknown key 'above': indent it below `when`",
        ),
        (
            changed("    unsigned: true", "    rest:\n      max: 5m\n      unsigned: true"),
            "29:17: webhooks.ops.rest.unsigned: unknown key 'unsigned': it is a key of webhooks.ops: indent it less",
        ),
        (
            changed("    unsigned: true", "    unsigned: true\n    outbox: {}"),
            "28:5: webhooks.ops.outbox: unknown key 'outbox': it is a key of the file itself: indent it less",
        ),
        (
            changed("sensor: room.t", "sensor: room.t\n    send_to: ops\n      - ops"),
            "23:14: rules.warm.send_to: has to be a list (`- item` lines, or [ ]): is an item indented too deep?",
        ),
        (
            changed("sensor: room.t", "sensor: room.t\n    send_to:\n      - ops\n        - ops"),
            "24:9: rules.warm.send_to.0: has to be 1 to 64 letters, digits, - or _: is an item indented too deep?",
        ),
        (
            changed("  warm:\n    sensor: room.t\n    when: {above: 5}\n", "  - warm\n"),
            "20:1: rules: has to be a mapping (`key: value` lines)",
        ),
    ],
)  # fmt: skip
def test_wrong_indentation_is_told_with_what_would_be_right(tmp_path: Path, text: str, line: str) -> None:
    lines = told(tmp_path, text)
    assert any(line in one if not line[0].isdigit() else one.startswith(line) for one in lines), lines


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            changed("driver: serial", 'driver: serial\n    baudrate: "9600"'),
            "17:15: sources.meter.baudrate: has to be an integer: write 9600 without quotes",
        ),
        (
            changed("driver: serial", "driver: serial\n    bytesize: '7'"),
            "17:15: sources.meter.bytesize: has to be 5, 6, 7 or 8: write 7 without quotes",
        ),
        (
            changed("topic: home/room", "topic: home/room\n    qos: '1'"),
            "8:10: sources.room.qos: has to be 0 or 1: write 1 without quotes",
        ),
        (changed("version: 1", "version: '1'"), "1:10: version: has to be 1: write 1 without quotes"),
        (changed("{above: 5}", "{above: '5'}"), "23:19: rules.warm.when.above: has to be a number: write 5 without"),
        (changed("{above: 5}", "{above: '-5.25'}"), "rules.warm.when.above: has to be a number: write -5.25 without"),
        (
            changed("{above: 5}", "{above: 5}\n    count: '3'\n    within: 1m"),
            "24:12: rules.warm.count: has to be an integer: write 3 without quotes",
        ),
        (
            changed("power: {path: p}", "power: {path: p, scale: '0.1'}"),
            "19:31: sources.meter.sensors.power.scale: has to be a number: write 0.1 without quotes",
        ),
        (GOOD + "    concurrency: '4'\n", "28:18: webhooks.ops.concurrency: has to be an integer: write 4 without"),
        (GOOD + "outbox: {max_events: '1000'}\n", "28:22: outbox.max_events: has to be an integer: write 1000 without"),
        (changed("unsigned: true", "unsigned: 'true'"), "ops.unsigned: has to be true or false: write true without"),
        (changed("unsigned: true", "unsigned: yes"), "27:15: webhooks.ops.unsigned: has to be true or false: write"),
        (
            changed("{above: 5}", "{above: 5}\n    payload: off"),
            "24:14: rules.warm.payload: has to be true or false: write false",
        ),
    ],
)  # fmt: skip
def test_a_number_or_a_boolean_in_quotes_is_told_how_to_write_it(tmp_path: Path, text: str, line: str) -> None:
    lines = told(tmp_path, text)
    assert any(line in one if not line[0].isdigit() else one.startswith(line) for one in lines), lines


@pytest.mark.parametrize(
    "text",
    [
        changed("driver: serial", "driver: serial\n    baudrate: '9600 baud'"),
        changed("driver: serial", "driver: serial\n    baudrate: '9600.5'"),
        changed("driver: serial", "driver: serial\n    bytesize: '9'"),
        GOOD.replace('127.0.0.1"}', '127.0.0.1", protocol: "1"}'),
        changed("unsigned: true", "unsigned: '1'"),
    ],
)
def test_a_text_that_would_be_wrong_without_quotes_too_has_no_such_hint(tmp_path: Path, text: str) -> None:
    assert not any("write" in line for line in told(tmp_path, text))


def test_durations_and_sizes_are_texts_in_quotes_or_not(tmp_path: Path) -> None:
    text = GOOD.replace('127.0.0.1"}', '127.0.0.1", keepalive: "30s", max_payload: "64KiB"}')
    config = read(tmp_path, text + '    rate: "5/s"\n    expires: "1d"\noutbox: {max_size: "8MB"}\n')
    assert (config.brokers["house"].keepalive, config.brokers["house"].max_payload) == (30.0, 65_536)
    assert (config.webhooks["ops"].expires, config.outbox.max_size) == (86_400.0, 8_000_000)


def test_what_a_tag_stands_for_is_a_text_and_no_number(tmp_path: Path) -> None:
    text = changed("driver: serial", "driver: serial\n    baudrate: !env BAUD")
    [line] = told(tmp_path, text, BAUD="9600")
    assert line == "17:15: sources.meter.baudrate: has to be an integer: a tag stands for a text"


def _models() -> set[type[BaseModel]]:
    """Those that the whole file is made of."""
    found: set[type[BaseModel]] = set()
    waiting: list[Any] = [file_model()]
    while waiting:
        kind = waiting.pop()
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            waiting += get_args(kind)
        elif kind not in found:
            found.add(kind)
            waiting += [field.annotation for field in kind.model_fields.values()]
    return found


def test_every_model_of_the_file_is_strict_and_takes_no_other_keys() -> None:
    lax = {kind.__name__ for kind in _models() if not kind.model_config.get("strict")}
    open_ = {kind.__name__ for kind in _models() if kind.model_config.get("extra") != "forbid"}
    assert (lax, open_) == (set(), set())


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


def test_a_summary_of_a_rule_is_checked(tmp_path: Path) -> None:
    text = changed("    when: {above: 5}\n", '    when: {above: 5}\n    summary: "{sensr}"\n')
    (line,) = told(tmp_path, text)
    assert "rules.warm.summary: unknown placeholder {sensr}: did you mean sensor?" in line
