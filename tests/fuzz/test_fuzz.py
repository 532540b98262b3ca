"""Each target on its seeds and on some changes of them; the coverage guides only `python -m tests.fuzz`."""

from collections.abc import Iterator
from random import Random

import pytest

from tests.fuzz.mutants import MUTANTS
from tests.fuzz.targets import TARGETS, Target

CHANGES = {"decoding": 3000, "framing": 2000, "answers": 500, "config": 60, "discovery": 25}


def changed(target: Target, count: int) -> Iterator[bytes]:
    """The seeds, and so many texts that are cut, glued, flipped and repeated from them."""
    random = Random(1)
    yield from target.seeds
    for _ in range(count):
        data = bytearray(random.choice(target.seeds))
        for _ in range(random.randrange(1, 6)):
            i, j = sorted(random.randrange(len(data) + 1) for _ in range(2))
            other = random.choice(target.seeds)
            data[i:j] = random.choice([b"", data[i:j] * 2, random.randbytes(j - i), other[i:j], b"\xff", b"\0", b"\n"])
        yield bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_unexpected_comes_of_what_is_near_to_sense(name: str) -> None:
    for data in changed(TARGETS[name], CHANGES[name]):
        TARGETS[name].run(data)


@pytest.mark.parametrize("name", TARGETS)
def test_a_mistake_is_found(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    MUTANTS[name](monkeypatch.setattr)
    with pytest.raises(Exception):  # noqa: B017  # whatever it breaks
        for data in changed(TARGETS[name], CHANGES[name]):
            TARGETS[name].run(data)
