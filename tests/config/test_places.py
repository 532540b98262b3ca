"""Where the file and the state are looked for."""

import os
from pathlib import Path

import platformdirs
import pytest

from agent.config import ConfigErrors, find, state_dir
from tests.config.files import GOOD, read


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
    mine = tmp_path / "bellcrank.yaml"
    named, plain = read(tmp_path, GOOD + "agent: {state_dir: /srv/state}\n"), read(tmp_path, GOOD)
    assert state_dir(named, mine, {"STATE_DIRECTORY": "/unit"}) == Path("/srv/state")
    assert state_dir(plain, mine, {"STATE_DIRECTORY": "/unit:/second"}) == Path("/unit")
    monkeypatch.setattr(platformdirs, "user_state_path", lambda name: tmp_path / name)
    monkeypatch.setattr(os, "access", lambda path, _: str(path) == "/var/lib/bellcrank")
    assert state_dir(plain, mine, {}) == Path("/var/lib/bellcrank")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert state_dir(plain, mine, {}) == tmp_path / "bellcrank"


def test_the_state_of_one_of_several_agents_is_its_own_though_its_file_does_not_say_so(tmp_path: Path) -> None:
    plain = read(tmp_path, GOOD)
    assert state_dir(plain, Path("/etc/bellcrank/garage.yaml"), {}) == Path("/var/lib/bellcrank-garage")
    assert state_dir(plain, Path("/etc/bellcrank/bellcrank.yaml"), {}) == Path("/var/lib/bellcrank")
    assert state_dir(plain, Path("/etc/bellcrank/garage.yaml"), {"STATE_DIRECTORY": "/unit"}) == Path("/unit")
