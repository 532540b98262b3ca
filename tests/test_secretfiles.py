"""Secrets by reference: where they come from, who may read the files, and that no message shows one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.secretfiles import readable_by_others, tags
from agent.yamlfile import Place

CANARY = "Kanarienvogel-7319"


def secrets_file(folder: Path, text: str, mode: int = 0o600, name: str = "secrets.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def value(folder: Path, tag: str, word: str, env: Mapping[str, str] | None = None) -> Any:
    return tags(folder / "bellcrank.yaml", env or {})[tag](word, Place(1, 1))


def refusal(folder: Path, tag: str, word: str, env: Mapping[str, str] | None = None) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        value(folder, tag, word, env)
    return str(caught.value)


def test_a_secret_comes_from_the_file_beside_the_configuration(tmp_path: Path) -> None:
    secrets_file(tmp_path, f"one: {CANARY}\ntwo: 'yes'\nthree: on\n")
    assert [value(tmp_path, "!secret", name) for name in ("one", "two", "three")] == [CANARY, "yes", "on"]


def test_a_secret_comes_from_the_environment(tmp_path: Path) -> None:
    assert value(tmp_path, "!env", "WORD", {"WORD": CANARY}) == CANARY


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_a_secret_is_a_whole_file_without_its_last_line_end(tmp_path: Path, end: str) -> None:
    secrets_file(tmp_path, f" {CANARY} {end}", name="word.txt")
    assert value(tmp_path, "!file", "word.txt") == f" {CANARY} "
    assert value(tmp_path, "!file", str(tmp_path / "word.txt")) == f" {CANARY} "


@pytest.mark.parametrize(
    ("mode", "others"),
    [(0o600, False), (0o640, False), (0o660, False), (0o604, True), (0o644, True), (0o602, True), (0o601, False)],
)
@pytest.mark.parametrize(("tag", "name", "word"), [("!secret", "secrets.yaml", "one"), ("!file", "one.txt", "one.txt")])
def test_a_file_that_others_may_read_or_write_is_refused(
    tmp_path: Path, mode: int, others: bool, tag: str, name: str, word: str
) -> None:
    path = secrets_file(tmp_path, f"one: {CANARY}\n", mode, name)
    assert readable_by_others(path) is others
    if others:
        assert refusal(tmp_path, tag, word) == f"{path} holds secrets and others may read it: chmod o-rwx {path}"
    else:
        assert CANARY in value(tmp_path, tag, word)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"- {CANARY}\n", "has to be a mapping of names to secrets"),
        (f"{CANARY}\n", "has to be a mapping of names to secrets"),
        ("", ":1:1: not valid YAML"),
        (f"one: *{CANARY}\n", ":1:6: not valid YAML"),
        (f"one: {CANARY}: x\n", ": not valid YAML"),
        (f"one: !x {CANARY}\n", "has to be a mapping of names to secrets"),
        (f"one: {CANARY}\none: {CANARY}\n", "has to be a mapping of names to secrets"),
        (f"one: [{CANARY}]\n", "the secret one in {path} is no text: put it in quotes"),
        (f"one: {{{CANARY}: 1}}\n", "the secret one in {path} is no text: put it in quotes"),
        ("one: 0123\n", "the secret one in {path} is no text: put it in quotes"),
        ("one: 1e3\n", "the secret one in {path} is no text: put it in quotes"),
        ("one: true\n", "the secret one in {path} is no text: put it in quotes"),
        ("one:\n", "the secret one in {path} is no text: put it in quotes"),
        (f"won: {CANARY}\n", "{path} has no secret of this name: did you mean won?"),
        (f"other: {CANARY}\n", "{path} has no secret of this name"),
    ],
)
def test_a_wrong_secrets_file_is_told_without_what_is_in_it(tmp_path: Path, text: str, words: str) -> None:
    path = secrets_file(tmp_path, text)
    said = refusal(tmp_path, "!secret", "one")
    assert words.replace("{path}", str(path)) in said
    assert CANARY not in said


@pytest.mark.parametrize(
    ("tag", "word", "words"),
    [
        ("!secret", CANARY, "has no secret of this name"),
        ("!secret", f"whsec_{CANARY}", "has no secret of this name"),
        ("!env", CANARY, "the environment has no variable of this name"),
        ("!file", f"whsec_{CANARY}", "stands the path of a file, not the secret itself"),
    ],
)
def test_who_writes_the_secret_itself_behind_a_tag_does_not_see_it_told(
    tmp_path: Path, tag: str, word: str, words: str
) -> None:
    secrets_file(tmp_path, "mqtt_password: x\n")
    said = refusal(tmp_path, tag, word, {"MQTT_PASSWORD": "x"})
    assert words in said
    assert CANARY not in said


def test_the_nearest_variable_is_told(tmp_path: Path) -> None:
    said = refusal(tmp_path, "!env", "MQTT_PASWORD", {"MQTT_PASSWORD": CANARY})
    assert said == "the environment has no variable of this name: did you mean MQTT_PASSWORD?"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none", None, "No such file"),
        (".", None, "Is a directory"),
        ("a\0b", None, "null byte"),
        ("x" * 300, None, "name too long"),
        ("large", b"x" * 65537, "larger than 64 KiB"),
        ("latin", b"\xe4", "is not UTF-8"),
        ("/dev/zero", None, "others may read it"),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    tmp_path.chmod(0o700)
    if content is not None:
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    assert words in refusal(tmp_path, "!file", name)


def test_a_missing_secrets_file_is_told_by_its_path(tmp_path: Path) -> None:
    assert refusal(tmp_path, "!secret", "one") == f"{tmp_path / 'secrets.yaml'}: No such file or directory"


def test_the_secrets_file_is_read_once(tmp_path: Path) -> None:
    path = secrets_file(tmp_path, "one: 'x'\ntwo: 'y'\n")
    secret = tags(tmp_path / "bellcrank.yaml", {})["!secret"]
    first = secret("one", Place(1, 1))
    path.unlink()
    assert (first, secret("two", Place(1, 1))) == ("x", "y")
