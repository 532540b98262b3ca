"""A wire between two network namespaces that loses packets, as nftables(8) in one of them is told to.

Needs root, `ip` and `nft`, and a kernel that lets us; else the test is skipped.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from random import Random
from typing import Self

import pytest

_RULES = """
flush ruleset
table inet wire {{
    chain heard {{ type filter hook input priority 0; tcp sport {{ {ports} }} {hears} }}
    chain said {{ type filter hook output priority 0; tcp dport {{ {ports} }} {says} }}
}}
"""


class Wire:
    """`far` is our end, `near` that of whoever runs `within` the other namespace."""

    def __init__(self) -> None:
        net = Random(os.getpid()).randrange(2**14)
        block = f"10.{192 + (net >> 8)}.{net & 255}"
        self.far, self.near = f"{block}.1", f"{block}.2"
        self.name = f"bellcrank-{os.getpid()}"
        self.within = ("ip", "netns", "exec", self.name)
        self.dropped = 0
        """Packets."""

    def __enter__(self) -> Self:
        if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("nft")):
            pytest.skip("a wire that loses packets needs root, `ip` (iproute2) and `nft` (nftables)")
        ours, theirs = f"bc{os.getpid()}f", f"bc{os.getpid()}n"
        try:
            _run("ip", "netns", "add", self.name)
            _run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", self.name)
            _run("ip", "address", "add", f"{self.far}/30", "dev", ours)
            _run("ip", "link", "set", ours, "up")
            _run("ip", "-n", self.name, "address", "add", f"{self.near}/30", "dev", theirs)
            _run("ip", "-n", self.name, "link", "set", theirs, "up")
            _run("ip", "-n", self.name, "link", "set", "lo", "up")
            self.lose((1,), hears=0, says=0)
        except subprocess.CalledProcessError as error:
            self.__exit__()
            pytest.skip(f"no network namespace with nftables can be made here: {error.stderr.strip()}")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)

    def lose(self, ports: Iterable[int], *, hears: int, says: int) -> None:
        """Lose from now on so many percent of what the near end hears from our ports, and of what it says to them."""
        self._count()
        rules = _RULES.format(ports=", ".join(map(str, ports)), hears=_lost(hears), says=_lost(says))
        _run(*self.within, "nft", "-f", "-", given=rules)

    def _count(self) -> None:
        found = re.findall(r"counter packets (\d+)", _run(*self.within, "nft", "list", "ruleset"))
        self.dropped += sum(map(int, found))


def _lost(percent: int) -> str:
    """A share of none or all is none for nftables."""
    chance = f"numgen random mod 100 < {percent} " if 0 < percent < 100 else ""
    return f"{chance}counter drop;" if percent else "accept;"


def _run(*command: str, given: str = "") -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, input=given).stdout
