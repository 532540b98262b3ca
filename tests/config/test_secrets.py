"""No message about the file shows a secret, and one that stands in it asks for a file that only its owner reads."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.config import ConfigErrors
from tests.config.files import changed, read, told
from tests.faults.oracle import SECRET

CANARY = "Kanarienvogel7319"
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
    "above wrong indentation": ("unsigned: true", "secrets:\n      @@\n     - x"),
    "below wrong indentation": ('house: {url: "mqtt://127.0.0.1"}', "house:\n    password:\n      x: 1\n     @@"),
    "above a tab": ('house: {url: "mqtt://127.0.0.1"}', "house:\n    password:\n      @@\n\tx: 1"),
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
    text = text.replace('127.0.0.1"}', '127.0.0.1", password: hunter2}') + f"status: {{token: {SECRET}}}\n"
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


def test_a_secret_header_asks_for_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    text = changed("    unsigned: true\n", '    unsigned: true\n    headers: {Authorization: "Bearer x", X-Site: y}\n')
    assert read(tmp_path, text).webhooks["ops"].header_texts() == {"Authorization": "Bearer x", "X-Site": "y"}
    (line,) = told(tmp_path, text, 0o644)
    assert "webhooks.ops.headers.Authorization: a secret in a file that others may read" in line
