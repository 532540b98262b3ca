"""The bench in small: each scene gives its figures, and they are sane; nothing about how fast anything is."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bench import figures, scenes
from bench.__main__ import Bench
from bench.contenders.bare_chain import CHAIN
from bench.contenders.bellcrank import BELLCRANK
from bench.contenders.contender import Contender
from bench.contenders.noop import NOOP
from bench.contenders.paho_requests import PAHO_REQUESTS
from bench.figures import Figure
from bench.size import Size

SMALL = Size(
    warm=2,
    flood=32,
    paced=5,
    killed=300,
    unchanged=400,
    limits_s=0.01,
    idle_s=0.1,
    lone=1,
    away=5,
    waiting=50,
    begun_s=0.1,
    calm_s=0.1,
    quiet_s=30.0,
)


def played(name: str, contender: Contender, peers: Path, size: Size = SMALL) -> Mapping[Figure, float]:
    bench = Bench(size, peers, concurrency=8)
    bench.round(1, [contender], [scene for scene in scenes.SCENES if scene.name == name])
    assert not bench.failed
    return {figure: rounds[1] for figure, rounds in bench.results[contender.name].items()}


def test_at_work_all_of_a_flood_comes_and_memory_cpu_and_bytes_are_told(tmp_path: Path) -> None:
    found = played("work", BELLCRANK, tmp_path)
    assert found[figures.WEBHOOKS] > 0 < found[figures.P50] <= found[figures.P99]
    assert 20 < found[figures.RSS_FLOOD] < 500
    assert found[figures.CPU] >= 0 <= found[figures.WRITTEN_FLOOD]


def test_who_keeps_what_it_acknowledges_loses_nothing_by_a_kill(tmp_path: Path) -> None:
    assert played("kill", CHAIN, tmp_path) == {figures.LOST_KILL: 0}


def test_who_keeps_nothing_loses_all_that_came_while_the_receiver_was_away(tmp_path: Path) -> None:
    found = played("rest", PAHO_REQUESTS, tmp_path, replace(SMALL, quiet_s=0.3))
    assert found[figures.LOST_AWAY] == 100
    assert found[figures.WRITTEN_LONE] == 0 < found[figures.READY]
    assert 5 < found[figures.RSS_IDLE] < 500


def test_readings_that_change_nothing_are_heard_and_write_nothing(tmp_path: Path) -> None:
    found = played("readings", NOOP, tmp_path)
    assert found[figures.READINGS] > 0
    assert found[figures.WRITTEN_READINGS] == 0


def test_the_broker_tells_what_it_dropped(tmp_path: Path) -> None:
    assert played("limits", NOOP, tmp_path) == {figures.LOST_LIMITS: 0}


def test_bellcrank_starts_on_a_long_queue(tmp_path: Path) -> None:
    assert 20 < played("backlog", BELLCRANK, tmp_path)[figures.RSS_WAITING] < 500
