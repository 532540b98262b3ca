"""README says what is true: its YAML passes the check, its commands exist."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.cli import main
from agent.config import load

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8G"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("text", blocks("yaml"))
def test_each_yaml_block_passes_the_check(tmp_path: Path, text: str) -> None:
    (tmp_path / "bellcrank.yaml").write_text(text, encoding="utf-8")
    secrets = tmp_path / "secrets.yaml"
    secrets.touch(0o600)
    secrets.write_text(f"ops_whsec: {SECRET}\n")
    assert load(tmp_path / "bellcrank.yaml").rules


@pytest.mark.parametrize("command", re.findall(r"^\| `bellcrank ([a-z ]+)", README, re.MULTILINE))
def test_each_command_exists(command: str) -> None:
    words = [word for word in command.split() if word.islower()]
    assert CliRunner().invoke(main, [*words, "--help"]).exit_code == 0


@pytest.mark.parametrize("script", re.findall(r"^(scripts/\w+|python -m [\w.]+)", README, re.MULTILINE))
def test_each_program_exists(script: str) -> None:
    root = Path(__file__).parent.parent
    path = script if script.startswith("scripts") else script.removeprefix("python -m ").replace(".", "/")
    assert any((root / f"{path}{end}").is_file() for end in ("", ".py", "/__main__.py"))


def test_the_examples_pass_the_check(tmp_path: Path) -> None:
    for example in (Path(__file__).parent.parent / "config").glob("*.yaml"):
        if not example.name.startswith("secrets"):
            copy = tmp_path / example.name
            copy.write_text(example.read_text(encoding="utf-8"), encoding="utf-8")
            secrets = tmp_path / "secrets.yaml"
            secrets.touch(0o600)
            names = set(re.findall(r"!secret (\w+)", copy.read_text(encoding="utf-8")))
            secrets.write_text("".join(f"{name}: {SECRET}\n" for name in names))
            assert load(copy).sources, example
