"""Measures bellcrank beside its peers, in one run: `python -m bench [--rounds N] [--count N] [--write docs/bench.md]`.

Needs mosquitto and the extra `bench`. The peers that are no part of that it installs into a folder of its own
(`--peers`); one that cannot be had is told as missing. All use the same broker and the same receiver, in turn and in an
order that differs from round to round, so that ratios mean something where absolute figures do not. The temporary
folder (TMPDIR) has to be on a disk: what is written to a tmpfs is not counted.
"""

import argparse
import os
import random
import shlex
import signal
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import platformdirs

from bench.contenders.contender import Contender, Missing
from bench.contenders.registry import ALL
from bench.figures import Figure
from bench.processes import Failed
from bench.report import Report, write
from bench.running import Setting
from bench.scenes import SCENES, Scene
from bench.size import Size
from bench.surroundings import Surroundings


def installed(contenders: Sequence[Contender], peers: Path) -> tuple[dict[Contender, str], dict[Contender, str]]:
    """Those that can be measured with their versions, and those that cannot with the reason."""
    peers.mkdir(parents=True, exist_ok=True)
    here, missing = {}, {}
    for contender in contenders:
        try:
            here[contender] = contender.install(peers)
        except Missing as why:
            missing[contender] = str(why)
    return here, missing


class Bench:
    """Measures scene by scene, over some rounds."""

    def __init__(self, size: Size, peers: Path, concurrency: int) -> None:
        self._size, self._peers, self._concurrency = size, peers, concurrency
        self.results: dict[str, dict[Figure, dict[int, float]]] = {}
        self.failed: list[str] = []

    def round(self, number: int, contenders: Collection[Contender], scenes: Sequence[Scene]) -> None:
        """Measure each contender once in each scene; what fails is noted, and the rest goes on."""
        for scene in scenes:
            who = [contender for contender in scene.who if contender in contenders]
            random.shuffle(who)
            for group in [who] if scene.together else [[contender] for contender in who]:
                try:
                    self._play(number, scene, group)
                except (Failed, OSError) as why:
                    self.failed.append(f"{scene.name} of {', '.join(c.name for c in group)} in round {number}: {why}")
                    print(self.failed[-1], flush=True)

    def _play(self, number: int, scene: Scene, who: Sequence[Contender]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            surroundings = Surroundings(Path(folder), *scene.broker)
            with surroundings.open():
                setting = Setting(surroundings, self._peers, self._concurrency)
                for contender, found in scene.measure(setting, who, self._size):
                    for figure, value in found.items():
                        self.results.setdefault(contender.name, {}).setdefault(figure, {})[number] = value
                        print(f"{contender.name:18} {figure.name:50} {value:12,.2f} {figure.unit}", flush=True)


def arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    options.add_argument("--rounds", type=int, default=3, help="times that each is measured")
    options.add_argument("--count", type=int, default=Size.flood, help="readings in a flood")
    options.add_argument("--scenes", nargs="+", choices=[s.name for s in SCENES], default=[s.name for s in SCENES])
    options.add_argument("--contenders", nargs="+", choices=[c.key for c in ALL], default=[c.key for c in ALL])
    options.add_argument("--concurrency", type=int, default=8, help="POSTs at once, of bellcrank and the bare chain")
    options.add_argument("--peers", type=Path, default=platformdirs.user_cache_path("bellcrank-bench"))
    options.add_argument(
        "--write", type=Path, metavar="FILE.md", help="write the tables, and images/FILE.svg beside it"
    )
    return options.parse_args()


def command(said: Sequence[str]) -> str:
    """What makes the same on another machine: without the folder of the peers."""
    kept = list(said)
    if "--peers" in kept:
        place = kept.index("--peers")
        del kept[place : place + 2]
    return shlex.join(("python", "-m", "bench", *kept))


def main() -> None:
    given = arguments()
    for ending in (signal.SIGINT, signal.SIGTERM):  # what was started is ended, and what was measured is told
        signal.signal(ending, signal.default_int_handler)
    here, missing = installed([c for c in ALL if c.key in given.contenders], given.peers.resolve())
    bench = Bench(replace(Size(), flood=given.count), given.peers.resolve(), given.concurrency)
    load = os.getloadavg()[0]
    try:
        for number in range(1, given.rounds + 1):
            print(f"round {number} of {given.rounds}", flush=True)
            bench.round(number, here, [scene for scene in SCENES if scene.name in given.scenes])
    except KeyboardInterrupt:
        bench.failed.append(f"what was left when round {number} of {given.rounds} was interrupted")
    found = Report(bench.results, here, missing, bench.failed, command(sys.argv[1:]), given.rounds, load)
    print(found)
    if given.write:
        write(given.write, found)


if __name__ == "__main__":
    main()
