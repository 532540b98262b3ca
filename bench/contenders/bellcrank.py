"""bellcrank itself: as it is installed, and with the extra `fast`."""

import sys
from collections.abc import Sequence
from functools import partial

from bench.contenders.contender import Contender, Place
from bench.processes import free_port, python

CONFIG = """
version: 1
agent: {{name: bench, events_to: [], state_dir: "{folder}/state"}}
brokers: {{house: {{url: "mqtt://127.0.0.1:{mqtt}"}}}}
sources:
  meter:
    driver: mqtt
    topic: bench/{{unit}}
    sensors: {{t: {{path: t}}}}
rules:
  each_one: {{sensor: "meter.*.t", each: {{above: 0}}}}
webhooks:
  here: {{url: "{hook}", unsigned: true, concurrency: {concurrency}, rest: {{min: 2s, max: 2s}}}}
outbox: {{max_size: 1GB}}
status: {{listen: "127.0.0.1:{status}"}}
"""
"""The defaults, but for what would need more time or events than the bench has.

`rest` (30 s) says when a receiver that was away is tried again; 100,000 events are more than `max_size` (64 MB).
"""

_WITHOUT_FAST = """
import sys
sys.modules["uvloop"] = sys.modules["orjson"] = None  # an import of them fails
from agent.cli import main
main(prog_name="bellcrank")
"""


def command(place: Place, *, fast: bool, status: int = 0) -> Sequence[str]:
    """Start it by `python -m agent`; without `fast` neither uvloop nor orjson can be imported."""
    config = place.folder / "bellcrank.yaml"
    places = {"folder": place.folder, "mqtt": place.mqtt, "hook": place.hook, "concurrency": place.concurrency}
    config.write_text(CONFIG.format(**places, status=status or free_port()), encoding="utf-8")
    program = python("agent") if fast else (sys.executable, "-c", _WITHOUT_FAST)
    return (*program, "run", "--config", str(config))


BELLCRANK = Contender("bellcrank", "as it is installed", partial(command, fast=False))
BELLCRANK_FAST = Contender("bellcrank[fast]", "with the extra `fast` (uvloop, orjson)", partial(command, fast=True))
