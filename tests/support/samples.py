"""What devices publish, from `tests/samples`."""

import json
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent.parent / "samples"


class Sample(NamedTuple):
    topic: str | None
    """None: a line of a serial port."""
    payload: bytes
    retained: bool


def samples(device: str) -> list[Sample]:
    """All that one device says, in its order."""
    lines = (FOLDER / f"{device}.jsonl").read_text(encoding="utf-8").splitlines()
    return [_sample(**json.loads(line)) for line in lines]


def _sample(payload: str = "", line: str = "", topic: str | None = None, *, retained: bool = False) -> Sample:
    return Sample(topic, (payload or line).encode(), retained)
