"""The house: which file may import which, read from the imports themselves."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = [
    ["agent.version", "agent.service", "agent.model"],
    ["agent.clock", "agent.systemd", "agent.tasks", "agent.templates", "agent.network", "agent.notices"],
    ["agent.rules", "agent.outbox", "agent.webhooks"],
    ["agent.yamlhints"],
    ["agent.yamlfile"],
    ["agent.secretfiles"],
    ["agent.config"],
    ["agent.control_socket", "agent.reload"],
    ["agent.webhooks.connections"],
    ["agent.webhooks.transport", "agent.round"],
    ["agent.webhooks.trial", "agent.counts"],
    ["agent.pipeline", "agent.webhooks.courier", "agent.webhooks.heartbeat", "agent.status"],
    ["agent.supervise"],
    ["agent.parts"],
    ["agent.observe"],
    ["agent.app"],
    ["agent.listen", "agent.verify", "agent.logs", "agent.control_client"],
    ["agent.starter", "agent.effective", "agent.schema"],
    ["agent.demo", "agent.recording", "agent.overhear"],
    ["agent.replay", "agent.discovery"],
    ["agent.doctor", "agent.install"],
    ["agent.cli"],
    ["agent.__main__"],
]


def modules(folder: str) -> dict[str, Path]:
    paths = (ROOT / folder).rglob("*.py")
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(module: str) -> str | None:
    """The entry of FLOORS that a module belongs to: the longest that it begins with."""
    entries = [entry for floor in FLOORS for entry in floor if module == entry or module.startswith(entry + ".")]
    return max(entries, key=len, default=None)


def floor_of(entry: str) -> int:
    return next(i for i, floor in enumerate(FLOORS) if entry in floor)


AGENT, DRIVERS = modules("agent"), modules("drivers")


@pytest.mark.parametrize("module", DRIVERS)
def test_the_drivers_import_nothing_of_the_agent(module: str) -> None:
    assert not [name for name in imports(DRIVERS[module]) if name.split(".")[0] == "agent"]


@pytest.mark.parametrize("module", sorted(set(AGENT) - {"agent"}))
def test_a_file_imports_only_from_floors_below_its_own(module: str) -> None:
    own = room(module)
    assert own, f"{module} has no floor: add it to FLOORS and to the map in agent/__init__.py"
    for name in imports(AGENT[module]):
        other = room(name)
        if other and other != own:
            assert floor_of(other) < floor_of(own), f"{module} imports {name}"


@pytest.mark.parametrize("module", ["agent.pipeline", "agent.webhooks.courier", "agent.status.server"])
def test_pipeline_courier_and_status_never_import_one_another(module: str) -> None:
    others = {"agent.pipeline", "agent.webhooks.courier", "agent.status"} - {room(module)}
    assert not [name for name in imports(AGENT[module]) if room(name) in others]


def test_only_the_clock_asks_the_time() -> None:
    """The people's side, which runs beside the agent and not in it, has its own."""
    apart = {"agent.clock", "agent.demo", "agent.listen"}
    asking = {module for module, path in {**AGENT, **DRIVERS}.items() if "time" in imports(path)}
    assert asking <= apart


def test_only_the_outbox_knows_sql() -> None:
    knowing = {module for module, path in AGENT.items() if imports(path) & {"sqlite3", "sqlite_utils"}}
    assert knowing
    assert all(module.startswith("agent.outbox") for module in knowing)


def test_the_map_in_the_docstring_names_every_room() -> None:
    text = ast.get_docstring(ast.parse(AGENT["agent"].read_text(encoding="utf-8"))) or ""
    for floor in FLOORS[:-1]:
        for entry in floor:
            assert entry.rsplit(".", 1)[-1] in text, f"the map does not name {entry}"
