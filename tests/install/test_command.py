"""What a person types: on this machine, where it changes nothing."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from agent.install import source
from agent.install.facts import gather
from agent.version import __version__

ROOT = Path(__file__).parents[2]


def test_the_script_prints_each_step_with_the_standard_library_alone() -> None:
    command = [sys.executable, "-S", "-m", "agent.install", "install", "--dry-run"]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "  1 Make a folder for releases\n      install -d -m 755 /opt/bellcrank/releases\n" in done.stdout
    assert "If what was started does not become ready:" in done.stdout


def test_the_script_and_the_command_take_the_same_words() -> None:
    script = subprocess.run([ROOT / "scripts/install", "--help"], capture_output=True, text=True, check=True)
    command = [sys.executable, "-m", "agent", "install", "--help"]
    assert script.stdout == subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "usage: bellcrank install" in script.stdout


def test_uninstall_prints_its_steps() -> None:
    command = [sys.executable, "-m", "agent", "uninstall", "--purge", "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "rm -rf /etc/bellcrank" in done.stdout


@pytest.mark.parametrize("words", [["--instance", "secrets"], ["/nowhere/other.whl"], ["--wheel"]])
def test_what_cannot_be_meant_is_a_usage_error(words: list[str]) -> None:
    command = [sys.executable, "-m", "agent", "install", "--dry-run", *words]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2


def test_the_facts_of_this_machine_can_be_had() -> None:
    facts = gather()
    assert facts.machine
    assert facts.free_bytes > 0
    assert facts.is_root == (os.geteuid() == 0)


# -- the version to install


def test_a_checkout_is_installed_from_itself() -> None:
    assert source.find(None, None) == (__version__, ROOT, ROOT / "requirements/run.txt")


def test_a_folder_of_wheels_may_hold_the_version(tmp_path: Path) -> None:
    (tmp_path / "click-8.5.1-py3-none-any.whl").touch()
    assert source.find(None, tmp_path).path == ROOT
    wheel = tmp_path / "bellcrank-0.3.0-py3-none-any.whl"
    wheel.touch()
    assert source.find(None, tmp_path) == ("0.3.0", wheel, None)
    (tmp_path / "bellcrank-0.4.0-py3-none-any.whl").touch()
    with pytest.raises(source.NoSource, match=r"several versions: .*0\.3\.0.*0\.4\.0"):
        source.find(None, tmp_path)


def test_an_installation_makes_the_wheel_that_it_came_from(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    [wheel] = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, "--disable-pip-version-check", "--no-compile", wheel], check=True)
    again = tmp_path / "again" / wheel.name
    again.parent.mkdir()
    subprocess.run([python, "-I", "-m", "agent.install.pack", again], check=True)
    made, was = _content(again), _content(wheel)
    record = next(name for name in was if name.endswith("/RECORD"))
    assert sorted(made.pop(record).splitlines()) == sorted(was.pop(record).splitlines())
    assert made == was


def _content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as file:
        return {name: file.read(name) for name in file.namelist()}
