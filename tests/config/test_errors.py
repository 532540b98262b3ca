"""Everything wrong in the file is told at once, in order, with its place, its path and what would be right."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import ConfigErrors, load
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
        (GOOD + "status: {token: short}\n", "28:17: status.token: a token of at least 128 bits is needed, and this"),
        (changed("{above: 5}", "{above: 5}\n    clear: {above: 4}"), "21:3: rules.warm: `clear` overlaps `when`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place_and_what_would_be_right(tmp_path: Path, text: str, line: str) -> None:
    lines = told(tmp_path, text)
    assert any(line in one if not line[0].isdigit() else one.startswith(line) for one in lines), lines


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
