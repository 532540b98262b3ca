"""Ports for tests that run beside one another."""

import subprocess
import sys
from contextlib import ExitStack

_TAKES = """
import os, sys
from tests.support.agent import free_port
ports = [free_port() for _ in range(50)]
if not os.fork():
    ports = []
ports += [free_port() for _ in range(250)]
os.write(1, (" ".join(map(str, ports)) + "\\n").encode())
sys.stdin.read()
"""
"""A process and its child, which live until they are told to end. Of 1,100 ports by chance some 50 were given twice."""


def test_no_two_processes_are_given_the_same_port_not_even_a_parent_and_its_child() -> None:
    with ExitStack() as stack:
        takers = []
        for _ in range(2):
            taker = subprocess.Popen([sys.executable, "-c", _TAKES], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            takers.append(stack.enter_context(taker))
        given: list[bytes] = []
        for taker in takers:
            assert taker.stdout is not None
            given += (taker.stdout.readline() + taker.stdout.readline()).split()
    assert len(given) == 1100
    assert len(set(given)) == len(given)
