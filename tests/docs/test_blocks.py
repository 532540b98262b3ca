"""Every fenced block is run or checked by its language, or is one of few that say why not.

Shell blocks: test_commands.py. Those of docs/receiving.md that receive: tests/test_receiving.py.
"""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import standardwebhooks
from ruamel.yaml import YAML

from agent.schema import schema
from drivers.signing import key_of
from tests.docs.configurations import SECRET, checked, whole
from tests.docs.pages import ROOT, Block, blocks, rows

ELSEWHERE = {
    ("docs/receiving.md", "python"): "tests/test_receiving.py",
    ("docs/receiving.md", "javascript"): "tests/test_receiving.py",
    ("docs/receiving.md", "go"): "tests/test_receiving.py",
    ("docs/receiving.md", "php"): "tests/test_receiving.py",
    ("docs/receiving.md", "sh"): "tests/test_receiving.py",
    ("docs/operations.md", "sh"): "tests/status/api/test_running.py: a real agent answers them",
    ("docs/architecture.md", "mermaid"): "tests/docs/test_architecture.py",
}
NOT_RUN = {
    ("docs/security.md", "nginx"): "nginx is not among what the tests need",
    ("docs/operations.md", "text"): "what the doctor says is another thing on each machine",
}
HERE = {"yaml", "json", "console", "python"}


def test_each_block_is_run_and_each_exception_is_needed() -> None:
    kinds = {(block.page, block.language) for block in blocks()}
    known = ELSEWHERE.keys() | NOT_RUN.keys()
    assert {kind for kind in kinds - known if kind[1] not in HERE} == set()
    assert known - kinds == set(), "exceptions that nothing needs any more"
    assert all((ROOT / where.partition(":")[0]).exists() for where in ELSEWHERE.values())


CONFIGURATIONS = [block for block in blocks("yaml") if not block.text.startswith("#")]
OTHERS = [block for block in blocks("yaml") if block.text.startswith("#")]


@pytest.mark.parametrize("block", CONFIGURATIONS, ids=str)
def test_a_yaml_block_passes_the_check(tmp_path: Path, block: Block) -> None:
    assert checked(block.text if block.is_whole_file else whole(block.text), tmp_path).webhooks


@pytest.mark.parametrize("block", OTHERS, ids=str)
def test_a_block_of_another_file_is_one(block: Block) -> None:
    assert block.text.startswith("# secrets.yaml\n")
    for name, secret in YAML(typ="safe").load(block.text).items():
        assert not name.endswith("whsec") or len(key_of(secret)) >= 24


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_a_json_block_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", [block for block in blocks("python") if block.page == "README.md"], ids=str)
def test_the_python_of_the_readme_verifies(block: Block) -> None:
    body, names = '{"type": "sensor.event"}', dict[str, object]()
    now = datetime.now(UTC)
    signature = standardwebhooks.Webhook(SECRET).sign("evt_1", now, body)
    sent_at = str(int(now.timestamp()))
    names["headers"] = {"webhook-id": "evt_1", "webhook-timestamp": sent_at, "webhook-signature": signature}
    names["body"] = body
    exec(block.text.replace("whsec_...", SECRET), names)
    assert names["event"] == {"type": "sensor.event"}


@pytest.mark.parametrize("path", [*(ROOT / "config").glob("*.yaml")], ids=lambda path: path.name)
def test_an_example_passes_the_check(tmp_path: Path, path: Path) -> None:
    if path.name.startswith("secrets"):
        pytest.skip("the secrets of the other one")
    assert checked(path.read_text(encoding="utf-8"), tmp_path).sources


DEFINED = schema()["$defs"]
ROWS = {
    "AgentConfig": ["agent"],
    "BrokerConfig": ["brokers.X", "brokers.X.tls"],
    "Tls": ["brokers.X.tls"],
    "MqttSource": ["sources.X", "with `mqtt`"],
    "SerialSource": ["sources.X", "with `serial`"],
    "HttpSource": ["sources.X", "with `http`"],
    "SimulatedSource": ["sources.X", "with `simulated`"],
    "Sensor": ["sensors.S"],
    "Rule": ["rules.X"],
    "Condition": ["conditions"],
    "Webhook": ["webhooks.X", "webhooks.X.tls"],
    "OutboxConfig": ["outbox"],
    "StatusConfig": ["status"],
}


@pytest.mark.parametrize("model", ROWS)
def test_the_table_of_words_names_every_word(model: str) -> None:
    table = {row[0].replace("`", ""): " ".join(row) for row in rows("docs/configuration.md", "where")}
    text = " ".join(table[row.replace("`", "")] for row in ROWS[model])
    named = set(re.findall(r"[a-z_]+", " ".join([*re.findall(r"`([^`]*)`", text), text.replace("X.", "")])))
    assert set(DEFINED[model]["properties"]) <= named
