"""`/metrics` of the real agent, and what is built on its names: the alerts, and the table in the docs."""

import asyncio
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client.core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from agent.cli import main
from agent.status.metrics import SENSORS_MAX
from tests.faults.oracle import SECRET
from tests.support.agent import AgentProcess, free_port
from tests.support.mosquitto import Mosquitto, Said
from tests.support.receiver import Receiver, answer, first
from tests.support.waiting import until

ROOT = Path(__file__).parent.parent.parent
PROMETHEUS = ROOT / "config" / "prometheus"
ROOMS = SENSORS_MAX + 3
WARM = 5
"""So many warm rooms make as many deliveries that fail at once, and the webhook rests."""
HOSTILE_ROOM = '"} 1 {\\n\u202e'
CONFIG = f"""
version: 1
agent: {{events_to: [ops], heartbeat: {{every: 1h, send_to: [ops]}}}}
brokers:
  house: {{url: "%(broker)s"}}
sources:
  rooms: {{driver: mqtt, topic: "rooms/{{room}}", sensors: {{t: {{type: number, unit: "°C"}}}}}}
  meter: {{driver: simulated, every: 1h, sensors: {{tide: {{wave: {{sine: {{min: 1, max: 2, period: 1h}}}}}}}}}}
rules:
  warm: {{sensor: "rooms.*.t", when: {{above: 100}}, severity: critical, send_to: [ops, gone]}}
  change: {{sensor: "rooms.1.t", each: {{reading: true}}, event: room.changed, send_to: [ops]}}
webhooks:
  ops: {{url: "%(ops)s", secrets: [{SECRET}], delays: [0, 50ms]}}
  gone: {{url: "http://127.0.0.1:%(gone)d/", secrets: [{SECRET}]}}
status: {{listen: "{{status}}"}}
"""


@dataclass(frozen=True)
class Scraped:
    """One agent in one quiescent state: its status, and both formats."""

    status: dict[str, Any]
    text: str
    openmetrics: str

    def families(self) -> list[Metric]:
        return list(text_string_to_metric_families(self.text))

    def names(self) -> set[str]:
        """Of the series, and of the families, which may have none now."""
        families = self.families()
        own = {f"{one.name}_total" if one.type == "counter" else one.name for one in families}
        return own | {sample.name for family in families for sample in family.samples}

    def of(self, name: str) -> dict[tuple[str, ...], float]:
        """Of one metric: the values of the labels, in the order of the labels' names -> the value."""
        found = [sample for family in self.families() for sample in family.samples if sample.name == name]
        return {tuple(text for _, text in sorted(sample.labels.items())): float(sample.value) for sample in found}


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Scraped:
    return asyncio.run(_scrape(tmp_path_factory.mktemp("metrics")))


async def _scrape(folder: Path) -> Scraped:
    with Mosquitto(folder) as broker:
        async with Receiver(first(2, answer(503), answer(204))) as receiver:
            settings = {"broker": broker.url, "ops": receiver.url, "gone": free_port()}
            agent = AgentProcess(folder, CONFIG % settings)
            agent.start()
            try:
                await agent.ready()
                await _drive(broker)
                await until(lambda: _is_quiet(agent.status()), 30, what=lambda: str(agent.status().get("webhooks")))
                return Scraped(
                    await asyncio.to_thread(agent.status),
                    await asyncio.to_thread(fetch, agent.port),
                    await asyncio.to_thread(fetch, agent.port, "application/openmetrics-text"),
                )
            finally:
                agent.stop()


async def _drive(broker: Mosquitto) -> None:
    """Many rooms, one of them hostile, some too warm, and one that says what is no number."""
    await broker.publish(*(Said(f"rooms/{n}", f"{n / 100}", 1) for n in range(1, ROOMS)))
    await broker.publish(Said(f"rooms/{HOSTILE_ROOM}", "7.5"), Said("rooms/1", "<no JSON>"), Said("rooms/1", '"nan"'))
    await broker.publish(*(Said(f"rooms/{n}", "101") for n in range(2, 2 + WARM)))


def _is_quiet(status: dict[str, Any]) -> bool:
    """Whether all has come that was sent, `ops` has got all of it, and `gone` rests."""
    ops, gone = status["webhooks"]["ops"], status["webhooks"]["gone"]
    read = status["sources"]["rooms"]["messages"] == ROOMS + 2 + WARM
    told = ops["owed"] >= WARM + 2 and ops["owed"] == ops["delivered"] and ops["succeeded"] == ops["delivered"]
    return bool(read and told and gone["state"] == "resting" and gone["in_flight"] == 0)


def fetch(port: int, accept: str = "") -> str:
    headers = {"Accept": accept} if accept else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith(accept or "text/plain; version=0.0.4")
        return str(answer.read().decode())


def test_deliveries_and_attempts_agree_with_the_status(scraped: Scraped) -> None:
    for name, webhook in scraped.status["webhooks"].items():
        for count, metric in (("owed", "owed_total"), ("delivered", "delivered_total"), ("pending", "pending")):
            assert scraped.of(f"bellcrank_deliveries_{metric}")[name,] == webhook[count], (name, count)
        assert scraped.of("bellcrank_deliveries_dead")[name,] == webhook["dead"]
        attempts = {key: n for key, n in scraped.of("bellcrank_attempts_total").items() if key[1] == name and n}
        assert attempts == {(outcome, name): n for outcome, n in webhook["attempts_by"].items()}
        assert sum(attempts.values()) == webhook["succeeded"] + webhook["failed"]
        assert scraped.of("bellcrank_attempt_duration_seconds_count")[name,] == sum(attempts.values())
        assert scraped.of("bellcrank_webhook_state")[webhook["state"], name] == 1
    assert scraped.status["webhooks"]["ops"]["attempts_by"]["unavailable"] >= 1
    assert scraped.status["webhooks"]["gone"]["attempts_by"].keys() == {"refused"}
    assert scraped.of("bellcrank_oldest_pending_seconds")["gone",] > 0
    assert scraped.of("bellcrank_webhook_resting_seconds")["gone",] > 0


def test_within_one_scrape_the_counts_balance(scraped: Scraped) -> None:
    dropped = Counter[str]()
    for (_, webhook), n in scraped.of("bellcrank_deliveries_dropped_total").items():
        dropped[webhook] += int(n)
    for (webhook,), owed in scraped.of("bellcrank_deliveries_owed_total").items():
        parts = ("delivered_total", "pending", "dead")
        assert owed == sum(scraped.of(f"bellcrank_deliveries_{part}")[webhook,] for part in parts) + dropped[webhook]
    assert scraped.of("bellcrank_outbox_balanced") == {(): 1}


def test_sources_and_events_agree_with_the_status(scraped: Scraped) -> None:
    sources = scraped.status["sources"]
    assert scraped.of("bellcrank_messages_total") == {(name,): one["messages"] for name, one in sources.items()}
    assert scraped.of("bellcrank_messages_repeated_total") == {(name,): one["repeats"] for name, one in sources.items()}
    assert scraped.of("bellcrank_refused_total") == {
        (reason, name): n for name, one in sources.items() for reason, n in one["refused_by"].items()
    }
    assert sources["rooms"]["refused_by"] == {"not_json": 1, "not_finite": 1}
    assert scraped.of("bellcrank_source_up") == {("rooms",): 1, ("meter",): 1}
    told = scraped.of("bellcrank_events_total")
    assert told["warm", "sensor.alert.firing"] == WARM
    assert told["change", "room.changed"] == 1
    assert told["", "agent.started"] == 1
    assert sum(n for (rule, _), n in told.items() if rule == "warm") == scraped.status["rules"]["warm"]["told"]
    assert scraped.of("bellcrank_rule_alerts")["warm", "critical"] == WARM
    assert scraped.of("bellcrank_rule_memories")["warm", "firing"] == WARM
    assert sum(scraped.of("bellcrank_heartbeats_total").values()) == 1


def test_sensors_are_bounded_in_number_and_the_others_are_counted(scraped: Scraped) -> None:
    values = scraped.of("bellcrank_sensor_value")
    assert len(values) == len(scraped.of("bellcrank_sensor_age_seconds")) == SENSORS_MAX
    assert scraped.of("bellcrank_sensors") == {(): ROOMS}
    assert scraped.of("bellcrank_sensors_omitted") == {(): ROOMS - SENSORS_MAX}
    assert values["rooms.1.t", "°C"] == 0.01
    assert values[f"rooms.{HOSTILE_ROOM}.t", "°C"] == 7.5, "a hostile name stays within its label"


def test_the_outbox_agrees_with_the_status(scraped: Scraped) -> None:
    outbox = scraped.status["outbox"]
    assert scraped.of("bellcrank_outbox_degraded") == {(): 0}
    for name in ("size_bytes", "max_size_bytes", "max_events"):
        assert scraped.of(f"bellcrank_outbox_{name}") == {(): outbox[name]}
    assert scraped.of("bellcrank_outbox_free_disk_bytes")[()] > 0
    assert scraped.of("bellcrank_outbox_written_bytes_total")[()] > 0
    assert scraped.of("process_open_fds")[()] > 0


def test_both_formats_have_the_same_series(scraped: Scraped) -> None:
    text = scraped.families()
    families: list[Metric] = list(openmetrics.text_string_to_metric_families(scraped.openmetrics))  # type: ignore[no-untyped-call]
    series = {(one.name, *sorted(one.labels.items())) for family in text for one in family.samples}
    assert {(one.name, *sorted(one.labels.items())) for family in families for one in family.samples} == series


def test_what_makes_the_text_is_not_in_memory_before_it_is_asked_for() -> None:
    code = "import sys, agent.app; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


# -- what is built on the names


def alerts() -> list[dict[str, Any]]:
    (group,) = YAML(typ="safe").load(PROMETHEUS / "alerts.yml")["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def test_every_metric_that_an_alert_asks_for_is_in_a_scrape(scraped: Scraped) -> None:
    named = {name for alert in alerts() for name in re.findall(r"\b(?:bellcrank|process)_\w+", alert["expr"])}
    assert len(named) > 10
    assert named <= scraped.names()


def test_every_label_that_an_alert_asks_for_is_on_its_metric(scraped: Scraped) -> None:
    labels = {one.name: set(one.labels) for family in scraped.families() for one in family.samples}
    for alert in alerts():
        name = re.findall(r"bellcrank_\w+|\bup\b", alert["expr"])[0]
        named = set(re.findall(r"\$labels\.(\w+)", str(alert["annotations"])))
        named |= {label for _, within in re.findall(r"(\w+)\{(.*?)\}", alert["expr"]) for label in labels_of(within)}
        assert named <= labels.get(name, set()) | {"job", "instance"}, alert["alert"]


def labels_of(matchers: str) -> list[str]:
    return re.findall(r"(\w+)(?:=~?|!=)", matchers)


def test_every_alert_says_what_is_the_matter_and_what_to_do() -> None:
    for alert in alerts():
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert alert["annotations"]["summary"].endswith("."), alert["alert"]
        assert len(alert["annotations"]["description"]) > 80, alert["alert"]


def test_every_command_that_an_alert_names_exists() -> None:
    texts = " ".join(alert["annotations"]["description"] for alert in alerts())
    commands = re.findall(r"`bellcrank ([a-z]+(?: [a-z]+)?)", texts)
    assert len(commands) > 5
    for command in commands:
        assert CliRunner().invoke(main, [*command.split(), "--help"]).exit_code == 0, command


def test_the_scrape_configuration_names_the_job_that_the_alerts_ask_for() -> None:
    scrape = YAML(typ="safe").load(PROMETHEUS / "scrape.yml")
    assert [job["job_name"] for job in scrape["scrape_configs"]] == ["bellcrank"]
    assert scrape["scrape_configs"][0]["metrics_path"] == "/metrics"
    assert scrape["rule_files"] == ["alerts.yml"]


def test_the_table_in_the_docs_names_what_is_in_a_scrape(scraped: Scraped) -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = "".join(re.findall(r"^\| `bellcrank_.*?\|", text, re.MULTILINE))
    named = set(re.findall(r"`(\w+)`", table))
    own = {name for name in scraped.names() if name.startswith("bellcrank_")}
    assert named == {re.sub("(_duration_seconds)_(bucket|count|sum)$", r"\1", name) for name in own}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here")
def test_promtool_agrees(scraped: Scraped) -> None:
    for words in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        subprocess.run(["promtool", *words], cwd=PROMETHEUS, check=True, capture_output=True)
    scrape = ["promtool", "check", "config", "--syntax-only", "scrape.yml"]
    subprocess.run(scrape, cwd=PROMETHEUS, check=True, capture_output=True)
    found = subprocess.run(["promtool", "check", "metrics"], input=scraped.text, text=True, capture_output=True)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
