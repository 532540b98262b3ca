"""docs/receiving.md says what is true: each of its receivers takes genuine requests and no others."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.webhooks.headers import signed
from drivers.signing import github_key_of, key_of, new_secret

DOCS = (Path(__file__).parent.parent / "docs" / "receiving.md").read_text(encoding="utf-8")
SECRET, NEWER = new_secret(bytes(range(7, 39))), new_secret(bytes(range(64)))
BODY = '{"data":{"unit":"°C","text":"a\\r\\n\\u0000\'\\""}}\n'.encode()
JS = """
let given = "";
process.stdin.on("data", (more) => (given += more)).on("end", () => {
  const { secret, headers, body } = JSON.parse(given);
  console.log(isGenuine(secret, headers, Buffer.from(body, "hex")));
});
"""
GO = """
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
)

func main() {
	var given struct {
		Secret  string
		Headers map[string]string
		Body    string
	}
	json.NewDecoder(os.Stdin).Decode(&given)
	header := http.Header{}
	for name, text := range given.Headers {
		header.Set(name, text)
	}
	body, _ := hex.DecodeString(given.Body)
	fmt.Println(IsGenuine(given.Secret, header, body))
}
"""
PHP = """
$given = json_decode(file_get_contents('php://stdin'), true);
echo is_genuine($given['secret'], $given['headers'], hex2bin($given['body'])) ? 'true' : 'false';
"""


class Sent(NamedTuple):
    """One request, and the secret of who receives it."""

    headers: dict[str, str]
    body: bytes
    secret: str = SECRET

    def as_json(self) -> str:
        return json.dumps({"secret": self.secret, "headers": self.headers, "body": self.body.hex()})


def request(body: bytes = BODY, *, age_s: int = 0, secrets: tuple[str, ...] = (SECRET,)) -> Sent:
    keys = [key_of(secret) for secret in secrets]
    return Sent(dict(signed("standard", keys, "evt_1", int(time.time()) - age_s, body)), body)


CASES: dict[str, tuple[Callable[[], Sent], bool]] = {
    "a genuine one": (request, True),
    "no body": (lambda: request(b""), True),
    "while a secret is changed": (lambda: request(secrets=(NEWER, SECRET)), True),
    "by the newer secret": (lambda: request(secrets=(NEWER, SECRET))._replace(secret=NEWER), True),
    "a little old": (lambda: request(age_s=200), True),
    "another secret": (lambda: request(secrets=(NEWER,)), False),
    "another body": (lambda: request()._replace(body=BODY + b" "), False),
    "another id": (lambda: _with(request(), "webhook-id", "evt_2"), False),
    "another time": (lambda: _with(request(), "webhook-timestamp", str(int(time.time()) - 5)), False),
    "no signature of this kind": (lambda: _with(request(), "webhook-signature", "v2,abc v1a,abc"), False),
    "too old": (lambda: request(age_s=400), False),
    "from the future": (lambda: request(age_s=-400), False),
}


def _with(sent: Sent, name: str, text: str) -> Sent:
    return sent._replace(headers={**sent.headers, name: text})


def block(language: str, n: int = 0) -> str:
    return str(re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)[n])


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def run(command: list[str | Path], sent: Sent, folder: Path) -> bool:
    done = subprocess.run(command, input=sent.as_json(), capture_output=True, text=True, cwd=folder, timeout=100)
    assert done.stdout.strip() in ("true", "false"), done.stderr
    return done.stdout.strip() == "true"


@pytest.mark.parametrize("case", CASES)
def test_in_python(case: str) -> None:
    make, genuine = CASES[case]
    names: dict[str, Any] = {}
    exec(block("python"), names)
    sent = make()
    assert names["is_genuine"](sent.secret, sent.headers, sent.body) is genuine


@pytest.mark.parametrize("case", CASES)
def test_in_javascript(tmp_path: Path, case: str) -> None:
    make, genuine = CASES[case]
    (tmp_path / "receive.js").write_text(block("javascript") + JS)
    assert run([tool("node"), "receive.js"], make(), tmp_path) is genuine


@pytest.fixture(scope="module")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("go")
    (folder / "receive.go").write_text(block("go"))
    (folder / "main.go").write_text(GO)
    subprocess.run([tool("go"), "build", "-o", "receive", "receive.go", "main.go"], cwd=folder, check=True)
    return folder / "receive"


@pytest.mark.parametrize("case", CASES)
def test_in_go(go_program: Path, tmp_path: Path, case: str) -> None:
    make, genuine = CASES[case]
    assert run([go_program], make(), tmp_path) is genuine


@pytest.mark.parametrize("case", CASES)
def test_in_php(tmp_path: Path, case: str) -> None:
    make, genuine = CASES[case]
    (tmp_path / "receive.php").write_text(block("php") + PHP)
    assert run([tool("php"), "receive.php"], make(), tmp_path) is genuine


@pytest.mark.parametrize("body", [BODY, b""])
def test_in_a_shell(tmp_path: Path, body: bytes) -> None:
    sent = request(body)
    (tmp_path / "body").write_bytes(sent.body)
    given = {"secret": SECRET, "id": "evt_1", "timestamp": sent.headers["webhook-timestamp"], "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["sh", "-c", block("sh")], env=given, cwd=tmp_path, capture_output=True)
    assert done.stdout.decode() == sent.headers["webhook-signature"], done.stderr


def test_githubs_signature_in_python() -> None:
    secret = "any text of more than 24 bytes"
    headers = signed("github", [github_key_of(secret)], "evt_1", 1, BODY)
    names: dict[str, Any] = {}
    exec(block("python") + block("python", 1), names)
    assert names["is_genuine_by_github"](secret, headers, BODY)
    assert not names["is_genuine_by_github"](secret, headers, BODY + b"x")
    assert not names["is_genuine_by_github"](secret + "x", headers, BODY)
