"""`bellcrank verify`: what is genuine, and what exactly is wrong with what is not."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.cli import main
from agent.verify import Request, Verdict, judge, parse, secrets_in
from drivers.signing import github_headers, headers, key_of, new_secret

SECRET, OTHER = new_secret(bytes(32)), new_secret(bytes(range(32)))
NOW = 1_790_000_000
BODY = '{"type":"sensor.event","data":{"unit":"°C","text":"a\\r\\nb"}}\n'.encode()
COMPACT = BODY.strip()
SIGNED = headers([key_of(SECRET)], "evt_1", NOW, BODY)
GITHUB_SECRET = "any text of more than 24 bytes"


def verdict(
    given: dict[str, str] = SIGNED, body: bytes = BODY, now: float | None = NOW, secret: str = SECRET
) -> Verdict:
    return judge(Request(given, body), secrets_in(secret), now)


def test_a_genuine_request_is_verified() -> None:
    assert verdict() == (True, "verified: evt_1")
    assert verdict(secret=f"# for ops\nother: {OTHER}\nops: '{SECRET}'  # since May\n").genuine


def test_githubs_signature_is_verified_with_what_it_does_not_say() -> None:
    signed = github_headers([GITHUB_SECRET.encode()], "evt_1", BODY)
    assert verdict(signed, secret=GITHUB_SECRET).genuine
    assert verdict(signed, secret=f"hub: {GITHUB_SECRET}").genuine
    assert "may be an old one" in verdict(signed, secret=GITHUB_SECRET).words
    assert not verdict(signed, secret=GITHUB_SECRET + ".").genuine
    assert "a line end was added" in verdict(signed, BODY + b"\n", secret=GITHUB_SECRET).words


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "it is not signed: no webhook-signature, no x-hub-signature-256 (its headers: none)"),
        ({"host": "x", "webhook-id": "evt_1"}, "it is not signed: no webhook-signature, no x-hub-signature-256"),
        ({name: text for name, text in SIGNED.items() if name != "webhook-id"}, "the header webhook-id is missing"),
        ({**SIGNED, "webhook-timestamp": "today"}, "webhook-timestamp is not a number"),
        ({**SIGNED, "webhook-id": "evt_2"}, "the signature does not match"),
        ({**SIGNED, "webhook-signature": "v1,AAAA"}, "the signature does not match"),
    ],
)
def test_what_is_wrong_with_headers_is_told(given: dict[str, str], words: str) -> None:
    assert not verdict(given).genuine
    assert words in verdict(given).words


@pytest.mark.parametrize(
    ("signed", "came", "words"),
    [
        (BODY, BODY + b"\n", "a line end was added to it"),
        (BODY, BODY + b"\r\n", "a line end was added to it"),
        (BODY, COMPACT, "the line end at its end was taken away"),
        (b"a\nb", b"a\r\nb", "changed to CRLF"),
        (b"a\r\nb", b"a\nb", "changed from CRLF"),
        (BODY, b"\xef\xbb\xbf" + BODY, "a byte order mark was added"),
        (COMPACT, json.dumps(json.loads(BODY), indent=2).encode(), "it was parsed and written anew"),
    ],
)
def test_what_was_done_to_a_body_is_told(signed: bytes, came: bytes, words: str) -> None:
    found = verdict(headers([key_of(SECRET)], "evt_1", NOW, signed), came)
    assert not found.genuine
    assert words in found.words


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (SECRET.removeprefix("whsec_").encode(), "base64 behind whsec_ was not decoded"),
        (SECRET.encode(), "the whole text, with whsec_, was the key"),
        (key_of(OTHER), "another secret, or a changed body"),
    ],
)
def test_what_was_done_to_a_secret_is_told(key: bytes, words: str) -> None:
    found = verdict(headers([key], "evt_1", NOW, BODY))
    assert not found.genuine
    assert words in found.words


@pytest.mark.parametrize(("off_s", "words"), [(301, "it is 301 s old"), (-301, "it is 301 s ahead")])
def test_how_far_the_time_is_off_is_told(off_s: int, words: str) -> None:
    assert words in verdict(now=NOW + off_s).words
    assert not verdict(now=NOW + off_s).genuine
    assert verdict(now=NOW + off_s - off_s // 301).genuine
    assert verdict(now=None).genuine


@pytest.mark.parametrize(("secret", "words"), [("x", "one begins with whsec_"), ("whsec_abcd", "24 to 64 bytes")])
def test_a_secret_that_is_none_is_told(secret: str, words: str) -> None:
    assert words in verdict(secret=secret).words


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
@pytest.mark.parametrize("request_line", ["", "POST /hook HTTP/1.1"])
def test_a_request_is_read_as_it_stands_on_the_wire(line_end: str, request_line: str) -> None:
    lines = [*filter(None, [request_line]), "Webhook-ID: evt_1", "X-Url:http://x/ ", "", ""]
    found = parse(line_end.join(lines).encode() + b"a\n\nb\r\n\r\n")
    assert found == ({"webhook-id": "evt_1", "x-url": "http://x/"}, b"a\n\nb\r\n\r\n")


# -- the command


def call(*arguments: str | Path, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(main, ["verify", *map(str, arguments)], input=stdin)


def message(body: bytes = BODY) -> bytes:
    head = "".join(f"{name}: {text}\r\n" for name, text in {"Host": "x", **SIGNED}.items())
    return f"POST /hook HTTP/1.1\r\n{head}\r\n".encode() + body


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    (tmp_path / "secrets.yaml").write_text(f"ops: {SECRET}\n")
    return tmp_path / "secrets.yaml"


def test_it_reads_standard_input_or_files(tmp_path: Path, secret_file: Path) -> None:
    (tmp_path / "request").write_bytes(message())
    (tmp_path / "body").write_bytes(BODY)
    (tmp_path / "headers").write_text("".join(f"{name.title()}: {text}\n" for name, text in SIGNED.items()))
    parts = ("--headers", tmp_path / "headers", "--body", tmp_path / "body")
    for result in (
        call("--secret-file", secret_file, "--any-age", stdin=message()),
        call("--secret-file", secret_file, "--any-age", tmp_path / "request"),
        call("--secret-file", secret_file, "--any-age", *parts),
    ):
        assert (result.exit_code, result.output) == (0, "verified: evt_1\n")


def test_what_is_not_genuine_ends_with_1_and_why(secret_file: Path) -> None:
    result = call("--secret-file", secret_file, stdin=message())
    assert result.exit_code == 1
    assert "the signature is right, but it is" in result.output
    result = call("--secret-file", secret_file, "--any-age", stdin=message(BODY + b"x"))
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert SECRET not in result.output


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        ((), b"webhook-id: x", "no empty line"),
        ((), b"", "no empty line"),
        ((), b"what\x1b[2J is this\n\nbody", "is no header"),
        (("--headers", "-"), b"", "go together"),
    ],
)
def test_what_is_no_request_is_a_wrong_use(
    secret_file: Path, arguments: tuple[str, ...], stdin: bytes, words: str
) -> None:
    result = call("--secret-file", secret_file, *arguments, stdin=stdin)
    assert result.exit_code == 2
    assert words in result.output
    assert "\x1b" not in result.output


def test_a_file_without_a_secret_is_a_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert call("--secret-file", tmp_path / "empty", stdin=message()).exit_code == 2
