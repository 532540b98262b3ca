"""What the configuration checks between sources: ports, addresses, paths, secrets."""

from pathlib import Path

import pytest

from agent.config import Config, ConfigErrors, load
from tests.faults.oracle import SECRET

TOKEN = "0123456789abcdef"
SENSORS = "sensors: {v: {path: v}}"


def checked(folder: Path, *sources: str, status: str = "false", mode: int = 0o600) -> Config:
    """The configuration with sources `a`, `b`, ... of these words."""
    lines = [f"  {name}: {{{words}, {SENSORS}}}" for name, words in zip("abc", sources, strict=False)]
    path = folder / "bellcrank.yaml"
    path.write_text("\n".join(["version: 1", "sources:", *lines, f"status: {{listen: {status}}}"]) + "\n")
    path.chmod(mode)
    return load(path)


def http(path: str = "/in", listen: str = "127.0.0.1:8322", secret: str = f"token: {TOKEN}") -> str:
    return f'driver: http, path: {path}, listen: "{listen}", {secret}'


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        (
            ["driver: serial, port: socket://Gate.lan:4001", "driver: serial, port: socket://gate.lan:4001"],
            "4:29: sources.b.port: a reads this port already",
        ),
        (
            ["driver: serial, port: socket://10.0.0.5:4001, baudrate: 9600"],
            "3:3: sources.a: with socket:// the other side sets up its port: take away `baudrate`",
        ),
        (
            ["driver: serial, port: COM3"],
            "3:29: sources.a.port: has to be the path of a device, such as /dev/serial/by-id/..., or socket://",
        ),
        ([http(), http()], "4:27: sources.b.path: a has this path already"),
        (
            [http(), http("/other", "0.0.0.0:8322")],
            "4:43: sources.b.listen: a has this port already, as 127.0.0.1:8322",
        ),
        (
            [http(), http("/other", "localhost:8322")],
            "4:43: sources.b.listen: a has this port already, as 127.0.0.1:8322",
        ),
    ],
)
def test_sources_that_are_in_each_others_way_are_an_error(tmp_path: Path, sources: list[str], problem: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        checked(tmp_path, *sources)
    assert str(caught.value).startswith(f"{tmp_path}/bellcrank.yaml:{problem}")
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    "sources",
    [
        ["driver: serial, port: socket://10.0.0.5:4001", "driver: serial, port: socket://10.0.0.5:4002"],
        [http("/a"), http("/b")],
        [http(), http(listen="127.0.0.1:8323"), http(listen="127.0.0.2:8322")],
    ],
)
def test_sources_that_are_not_pass(tmp_path: Path, sources: list[str]) -> None:
    assert len(checked(tmp_path, *sources).sources) == len(sources)


@pytest.mark.parametrize("status", ["127.0.0.1:8322", "localhost:8322"])
def test_a_source_on_the_address_of_the_status_page_is_an_error(tmp_path: Path, status: str) -> None:
    with pytest.raises(ConfigErrors, match=r"sources\.a\.listen: the status page listens there"):
        checked(tmp_path, http(), status=status)


@pytest.mark.parametrize("secret", [f"token: {TOKEN}", f"secrets: [{SECRET}]"])
def test_a_secret_of_a_source_in_a_file_that_others_may_read_is_an_error(tmp_path: Path, secret: str) -> None:
    assert checked(tmp_path, http(secret=secret)).sources
    with pytest.raises(ConfigErrors, match=r"sources\.a\.(token|secrets\.0): a secret in a file that others") as caught:
        checked(tmp_path, http(secret=secret), mode=0o644)
    assert TOKEN not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("secret", ["token: hunter2", "secrets: [hunter2]", "secrets: [hunter2], signature: github"])
def test_a_secret_that_is_none_is_told_without_showing_it(tmp_path: Path, secret: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        checked(tmp_path, http(secret=secret))
    assert "hunter2" not in str(caught.value)


def test_no_secret_is_shown_by_the_configuration(tmp_path: Path) -> None:
    config = checked(tmp_path, http(), http("/b", secret=f"secrets: [{SECRET}]"))
    assert TOKEN not in repr(config) + config.model_dump_json()
    assert SECRET not in repr(config) + config.model_dump_json()
