"""The section `status`: tokens that are hard to guess, names, prefixes, certificates, and what is warned of."""

import base64
import string
from pathlib import Path
from random import Random

import pytest

from agent.config.strength import token_bits
from agent.status.access import further
from drivers.signing import new_secret
from tests.config.files import GOOD, read, told
from tests.support.certificates import Authority

TOKEN = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OUTSIDE = f"listen: '0.0.0.0:80', token: {TOKEN}"


def test_what_the_agent_makes_is_a_token() -> None:
    chance = Random(1)
    assert all(token_bits(new_secret(chance.randbytes(32))) > 128 for _ in range(2000))


@pytest.mark.parametrize(
    ("alphabet", "length", "share"),
    [
        ("0123456789abcdef", 32, 0.99),
        ("0123456789", 39, 0.99),
        (string.ascii_letters + string.digits, 32, 0.999),
        (string.ascii_letters + string.digits + "-_", 22, 0.95),
    ],
)
def test_what_was_drawn_at_random_is_taken(alphabet: str, length: int, share: float) -> None:
    chance = Random(2)
    taken = sum(token_bits("".join(chance.choices(alphabet, k=length))) >= 128 for _ in range(2000))
    assert taken / 2000 >= share


def test_half_of_the_bits_are_too_few() -> None:
    chance = Random(3)
    for made in (chance.randbytes(8).hex(), base64.b64encode(chance.randbytes(8)).decode()):
        assert token_bits(made) <= 72


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "changeme",
        "0123456789abcdef0123456789abcdef",
        "abcdefghijklmnopqrstuvwxyz0123456789",
        40 * "a",
        20 * "ab",
        "passwordpasswordpasswordpassword",
        "hunter2hunter2hunter2hunter2",
        "correct-horse-battery-staple",
        "this-is-my-secret-token-for-the-status-page",
        "MyHouseStatusToken2026isVerySecret",
        "00000000-0000-0000-0000-000000000000",
        "whsec_whsec_whsec_whsec_whsec_whsec_",
        "f3a9f3a9f3a9f3a9f3a9f3a9f3a9f3a9f3a9",
    ],
)
def test_what_people_think_up_is_not(text: str) -> None:
    assert token_bits(text) < 128


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ("token: hunter2hunter2hunter2", "28:17: status.token: a token of at least 128 bits is needed, and this looks"),
        ("token: 'MfKQ9r8GKYqrTw jUPD8ILPZIo2LaLaSw'", "status.token: a token has letters, digits and signs"),
        ("token: MfKQ9r8GKYqrTwüjUPD8ILPZIo2LaLaSw", "status.token: a token has letters, digits and signs"),
        ("hosts: ['http://cabin']", "28:18: status.hosts.0: has to be a host name"),
        ("hosts: [cabin, 'cabin/x']", "status.hosts.1: has to be a host name"),
        ("prefix: bellcrank", "28:18: status.prefix: has to be the path at which a proxy shows the page"),
        ("prefix: /bellcrank/", "status.prefix: has to be the path"),
        ("prefix: /../x", "status.prefix: has to be the path"),
        ("prefix: '/{x}'", "status.prefix: has to be the path"),
        ("prefix: //evil.example.com", "status.prefix: has to be the path"),
        ("prefix: /events", "28:18: status.prefix: /events is a path of the page itself: take another one, such as"),
        ("prefix: /sensors/x", "status.prefix: /sensors is a path of the page itself"),
        ("tls: {cert: /none.pem, key: /none.key}", "28:10: status.tls: /none.pem: No such file or directory"),
        ("tls: {cert: /none.pem}", "status.tls.key: is missing"),
        ("tls: {cert: a.pem, key: b.key}", "status.tls.cert: has to be the whole path of a file"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, section: str, why: str) -> None:
    assert why in "\n".join(told(tmp_path, f"{GOOD}status: {{{section}}}\n"))


def test_a_token_is_in_no_error_about_it(tmp_path: Path) -> None:
    assert "hunter2" not in "\n".join(told(tmp_path, f"{GOOD}status: {{token: hunter2hunter2}}\n"))


def test_names_may_have_a_port_and_be_addresses(tmp_path: Path) -> None:
    section = "status: {hosts: [cabin, 'lodge:8443', '[::1]:1', 10.0.0.1], prefix: /a/b.c}\n"
    status = read(tmp_path, GOOD + section).status
    assert len(further(status.hosts)) == 4
    assert status.root == "/a/b.c"
    assert read(tmp_path, f"{GOOD}status: {{prefix: /}}\n").status.root == ""


@pytest.mark.parametrize(
    ("section", "warned"),
    [
        ("", ""),
        (OUTSIDE, "everybody on the way can read the token"),
        (f"token: {TOKEN}, hosts: [cabin], prefix: /x", ""),
        ("hosts: [cabin]", "who comes through a proxy sees all"),
        ("prefix: /x", "who comes through a proxy sees all"),
        ("listen: false", ""),
    ],
)
def test_what_may_not_be_meant_is_warned_of(tmp_path: Path, section: str, warned: str) -> None:
    found = list(read(tmp_path, f"{GOOD}status: {{{section}}}\n").status.warnings())
    assert len(found) == bool(warned)
    assert warned in "".join(found)


def test_a_certificate_with_its_key_is_taken_and_nothing_is_warned_of(tmp_path: Path) -> None:
    pair = Authority(tmp_path / "ca").issue("cabin")
    text = f"{GOOD}status: {{{OUTSIDE}, tls: {{cert: {pair.cert}, key: {pair.key}}}}}\n"
    pair.key.chmod(0o600)
    assert not list(read(tmp_path, text).status.warnings())
    pair.key.chmod(0o644)
    assert f"{pair.key} holds secrets and others may read it: chmod o-rwx" in told(tmp_path, text)[0]
    pair.key.chmod(0o600)
    other = Authority(tmp_path / "other").issue("other")
    assert "do not belong together" in told(tmp_path, text.replace(str(pair.cert), str(other.cert)))[0]
