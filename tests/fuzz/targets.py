"""What is fuzzed: each takes any bytes and returns, or something is wrong.

Besides an unexpected exception that is a promise that does not hold of the outcome: a value that cannot be stored,
lines or answers that depend on the pieces in which bytes came, YAML suggested that the configuration refuses.
"""

import json
import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from agent.config import ConfigErrors, load
from agent.discovery.homeassistant import Announced, announced, is_announcement
from agent.discovery.seen import Seen
from agent.discovery.suggest import grouped, sources_yaml
from agent.webhooks.answers import BODY_BYTES_MAX, HEAD_BYTES_MAX, Answer, AnswerReader, BadAnswer
from drivers.base import Sensor, Valid
from drivers.decoding import REASONS, Decoder
from drivers.framing import Line, LineFramer
from drivers.paths import Csv, CsvFormat, Format, RegexFormat


class Target(NamedTuple):
    """A function that takes any bytes, and some to begin with."""

    run: Callable[[bytes], None]
    seeds: Sequence[bytes]


# -- decoding: the first byte chooses the decoder, the rest is the payload

SENSORS = {
    "whole": Sensor(),
    "member": Sensor(path="t"),
    "deep": Sensor(path=("a", 0, "b")),
    "number": Sensor(path="n", type="number", scale=0.1, offset=-40, valid=Valid(min=-1e6, max=1e6, max_jump=10)),
    "text": Sensor(path="s", type="text"),
    "bool": Sensor(path="on", type="bool", map={"ON": True, "OFF": False}),
}
WHOLE = {"whole": Sensor(), "number": Sensor(type="number")}


def _decoder(format_: Format, sensors: dict[str, Sensor]) -> Decoder:
    return Decoder("s", format_, sensors, {"site": "cabin"}, ["t"] if format_ == "json" else ())


DECODERS = (
    _decoder("json", SENSORS),
    _decoder("number", WHOLE),
    _decoder("text", WHOLE),
    _decoder("keyvalue", {"a": Sensor(path="a"), "b": Sensor(path="b", type="number")}),
    _decoder(CsvFormat(csv=Csv(columns=["a", "b"])), {"a": Sensor(path="a"), "b": Sensor(path="b", type="number")}),
    _decoder(CsvFormat(csv=Csv(delimiter=";")), {"a": Sensor(path=0), "b": Sensor(path=1, type="bool")}),
    _decoder(RegexFormat(regex=r"T=(?P<t>[-0-9.]+)\s*(?P<unit>[CF])?"), {"t": Sensor(path="t", type="number")}),
)
PAYLOADS = (
    b'{"t": 21.5, "n": 7, "s": "x", "on": "ON", "a": [{"b": null}]}',
    b'{"n": NaN, "t": 1e400, "s": "x"}',
    b'{"s": "\\ud800"}',
    b"-12.5e3",
    b"unavailable",
    b"a=1 b=2.5,c:3",
    b'"a, b", 7',
    b"T=-3.5 C",
    b"\xff\xfe\x00",
)


def decoding(data: bytes) -> None:
    decoder = DECODERS[data[0] % len(DECODERS)] if data else DECODERS[0]
    names = decoder.names("s.kitchen", {"room": "kitchen"})
    decoded = decoder.decode(data[1:], names, retained=False)
    for refusal in decoded.refusals:
        assert refusal.reason in REASONS, refusal
        assert refusal.detail.isprintable(), refusal
    for reading in decoded.readings:
        assert reading.sensor in names.sensors
        assert isinstance(reading.value, str | bool | int | float), reading
        assert not isinstance(reading.value, float) or math.isfinite(reading.value), reading
        stored = [reading.value, reading.origin.payload, dict(reading.origin.attributes)]
        json.dumps(stored, allow_nan=False, ensure_ascii=False).encode()


# -- framing: the bound, how long the pieces are, and the bytes


def framing(data: bytes) -> None:
    most, step, stream = (data[0] % 40 + 1, data[1] % 16 + 1, data[2:]) if len(data) > 2 else (8, 1, data)
    whole, pieces = LineFramer(most), LineFramer(most)
    at_once = whole.feed(stream)
    in_pieces: list[Line] = []
    for i in range(0, len(stream), step):
        in_pieces += pieces.feed(stream[i : i + step])
    assert in_pieces == at_once
    assert pieces.idle == whole.idle
    for line in at_once:
        assert 0 < len(line.content) <= most
        assert not {*b"\r\n"} & {*line.content}
    kept = [piece for piece in stream.replace(b"\r", b"\n").split(b"\n")[:-1] if 0 < len(piece) <= most]
    assert [line.content for line in at_once if not line.too_long] == kept


# -- answers: what was asked, how long the pieces are, and the bytes; each 0xff stands for many, so that bounds are met


def answers(data: bytes) -> None:
    to_connect, step, stream = (bool(data[0] % 2), data[1] % 16 + 1, data[2:]) if len(data) > 2 else (False, 1, data)
    stream = stream.replace(b"\xff", MANY)
    at_once = _answered([stream], to_connect=to_connect)
    step *= len(stream) // 500 + 1
    pieces = [stream[i : i + step] for i in range(0, len(stream), step)]
    assert _answered(pieces, to_connect=to_connect) == at_once
    if at_once is not None:
        assert 200 <= at_once.status < 1000
        assert len(at_once.body) <= BODY_BYTES_MAX
        assert at_once.body in stream or b"chunked" in stream.lower()
        assert not any({*"\n\r"} & {*name} for name in at_once.headers)


def _answered(pieces: Sequence[bytes], *, to_connect: bool) -> Answer | None:
    """What comes of it until the connection ends; None: it is no answer. Whether more followed is seen by the bytes."""
    reader, rest = AnswerReader(to_connect=to_connect), list(pieces)
    try:
        while rest:
            answer = reader.feed(rest.pop(0))
            assert len(reader._buffer) + len(reader._body) <= HELD_BYTES_MAX or len(pieces) == 1
            if answer is not None:
                return answer._replace(keeps=answer.keeps and not rest)
        return reader.end()
    except BadAnswer:
        return None


MANY = b"a: b\r\n" * 3000
HELD_BYTES_MAX = HEAD_BYTES_MAX + BODY_BYTES_MAX + 2048
_HEAD = b"HTTP/1.1 200 OK\r\nRetry-After: 7\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
ANSWERS = (
    b"\0\0" + _HEAD + b"Content-Length: 5\r\n\r\nhello",
    b"\0\3" + _HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"\0\6" + _HEAD.replace(b"200 OK", b"204 No") + b"\r\n" + _HEAD + b"\r\n",
    b"\0\1" + _CHUNKED + b"3;a=b\r\nhel\r\n2\nlo\r\n0\r\nX-Sum: 1\r\n\r\n",
    b"\0\2" + _CHUNKED + b"4650\r\n\xff\r\n" * 5 + b"0\r\n\r\n",
    b"\0\4" + _CHUNKED + b"1ffff\r\n" + b"\xff" * 5 + b"\r\n0\r\n\xff\r\n",
    b"\0\7" + b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + b"HTTP/1.0 429 \nX: a\n b\n\nuntil the end\xff\xff\xff\xff",
    b"\1\0" + _HEAD + b"Connection: close\r\n\r\n\x16\x03\x01",
    b"\0\5" + _HEAD + b"\xff\xff\r\n",
)

# -- the configuration: a file

FILES = (
    b'version: 1\nbrokers: {house: {url: "mqtt://127.0.0.1:1883", keepalive: 5s}}\n',
    b'sources:\n  r: {driver: mqtt, topic: "a/{room}/b", format: {csv: {columns: [t, h]}}, sensors: {t: {path: t}}}\n',
    b"sources: {s: {driver: serial, port: /dev/x, format: {regex: '(?P<t>[0-9]+)'}, sensors: {t: {map: {1: ON}}}}}",
    b'rules:\n  cold: {sensor: "r.*.t", when: {below: 1.5}, clear: {above: 2}, for: 10m, send_to: [w]}\n',
    b"rules: {r: {sensor: x.y, when: {rising: {by: 0x1F, within: 1_0m}}}, e: {sensor: x.y, each: {in: [.nan]}}}",
    b'webhooks:\n  w:\n    url: "https://h.example/p"\n    secrets: [!env X, "w"]\n    body: {text: "{value}"}\n',
    b"agent: {name: cabin, events_to: [w]}\nstatus: {listen: '127.0.0.1:8642', token: !secret t}\n",
    b"outbox: {max_size: 64MB, keep_delivered: 7d, min_free: -0.5}\n&a x: *a\n? [b]\n: !!binary aGk=\n<<: {}\n",
)
FOLDER = Path(tempfile.mkdtemp(prefix="bellcrank-fuzz-"))


def config(data: bytes) -> None:
    with suppress(ConfigErrors):
        load(_written(data), {})


def _written(data: bytes) -> Path:
    path = FOLDER / "bellcrank.yaml"
    path.write_bytes(data)
    path.chmod(0o600)
    return path


# -- discovery: lines of a topic, a blank and a payload; the suggested sources are a configuration


def discovery(data: bytes) -> None:
    seen, told = Seen(), list[Announced]()
    for number, line in enumerate(data.split(b"\n")[:50]):
        name, _, payload = line.partition(b" ")
        topic = name.decode(errors="replace")
        if is_announcement(topic):
            told += filter(None, [announced(payload)])
        elif topic and "\0" not in topic:
            seen.add(topic, payload, float(number), retained=number % 5 == 0, qos=number % 3)
    text = sources_yaml(grouped(seen.places), told, 10.0)
    load(_written(b'version: 1\nbrokers: {house: {url: "mqtt://127.0.0.1"}}\n' + text.encode()), {})


MESSAGES = (
    b'home/kitchen/climate {"t": 21, "h": 40}\nhome/bath/climate {"t": 22, "h": 41}\nhome/bath/light ON',
    b'homeassistant/sensor/bed/config {"stat_t": "bed", "value_template": "{{ value_json.t }}"}\nbed {"t": 1}',
    b'lamp/\xe2\x80\xa8 {"\xc2\x85": 1, "\x7f": "\xef\xbf\xbf"}\nlamp/\xe2\x80\xa9 2',
    b"a/{b 1\n+/# 2\n/ a=1 b=2\n$SYS/x \xff\xfe",
)

TARGETS: dict[str, Target] = {
    "decoding": Target(decoding, [bytes([n]) + payload for n in range(len(DECODERS)) for payload in PAYLOADS]),
    "framing": Target(framing, [b"\x08\x03one\r\ntwo\n\nthree is too long\rfour", b"\x00\x00\r\n\r\n" + b"x" * 50]),
    "answers": Target(answers, ANSWERS),
    "config": Target(config, FILES),
    "discovery": Target(discovery, MESSAGES),
}
