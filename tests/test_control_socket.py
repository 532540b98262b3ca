"""Where the agent listens and where the command line looks for it: the same place, from the same configuration."""

from pathlib import Path

import pytest

from agent.control_socket import known_state_dir, to_ask, to_listen


def written(folder: Path, text: str) -> Path:
    path = folder / "bellcrank.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("env", "path", "for_group"),
    [
        ({}, "/state/control.sock", False),
        ({"RUNTIME_DIRECTORY": "/run/bellcrank"}, "/run/bellcrank/control.sock", True),
        ({"RUNTIME_DIRECTORY": "/run/a:/run/b"}, "/run/a/control.sock", True),
        ({"RUNTIME_DIRECTORY": ""}, "/state/control.sock", False),
    ],
)
def test_the_agent_listens_in_its_runtime_directory_else_beside_its_state(
    env: dict[str, str], path: str, for_group: bool
) -> None:
    assert to_listen(Path("/state"), env) == (Path(path), for_group)


@pytest.mark.parametrize(
    ("text", "env", "asked"),
    [
        ("agent: {state_dir: /elsewhere}", {}, ["/elsewhere/control.sock"]),
        ("agent: {name: cabin}", {"STATE_DIRECTORY": "/state"}, ["/state/control.sock"]),
        (
            "agent: {state_dir: /elsewhere}",
            {"RUNTIME_DIRECTORY": "/run/x"},
            ["/run/x/control.sock", "/elsewhere/control.sock"],
        ),
        ("agent: {state_dir: /elsewhere, name: !secret n}\nrules: 7", {}, ["/elsewhere/control.sock"]),
        ("agent: {state_dir: 7}", {"STATE_DIRECTORY": "/state"}, ["/state/control.sock"]),
        ("agent: [", {"STATE_DIRECTORY": "/state"}, ["/state/control.sock"]),
        ("- a", {"STATE_DIRECTORY": "/state"}, ["/state/control.sock"]),
    ],
)
def test_the_command_line_looks_there_however_bad_the_configuration_is(
    tmp_path: Path, text: str, env: dict[str, str], asked: list[str]
) -> None:
    assert list(to_ask(written(tmp_path, text), env)) == [Path(path) for path in asked]


def test_the_configuration_of_the_service_leads_to_its_runtime_directory_without_being_read() -> None:
    assert next(to_ask(Path("/etc/bellcrank/bellcrank.yaml"), {})) == Path("/run/bellcrank/control.sock")


def test_the_configuration_of_one_of_several_leads_to_its_own() -> None:
    assert next(to_ask(Path("/etc/bellcrank/garage.yaml"), {})) == Path("/run/bellcrank-garage/control.sock")


@pytest.mark.parametrize(
    ("text", "env", "known"),
    [
        ("agent: {state_dir: /elsewhere, name: !credential n}\nrules: 7", {}, "/elsewhere"),
        ("webhooks: {ops: {secrets: [!credential n, !env n]}}", {"STATE_DIRECTORY": "/state"}, "/state"),
        ("agent: {state_dir: !env HERE}", {"HERE": "/here", "STATE_DIRECTORY": "/state"}, "/here"),
        ("agent: {state_dir: !env HERE}", {"STATE_DIRECTORY": "/state"}, None),
        ("agent: {state_dir: 7}", {"STATE_DIRECTORY": "/state"}, None),
        ("agent: [", {"STATE_DIRECTORY": "/state"}, None),
        ("- a", {"STATE_DIRECTORY": "/state"}, None),
    ],
)
def test_the_state_is_known_where_nothing_else_of_the_configuration_is_right(
    tmp_path: Path, text: str, env: dict[str, str], known: str | None
) -> None:
    assert known_state_dir(written(tmp_path, text), env) == (known and Path(known))
