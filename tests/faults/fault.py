"""What a fault of the campaign is, and what a run of it came to."""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass
class Result:
    """What a fault came to: the counts of the campaign's table, figures to read, and what was broken."""

    strikes: int = 0
    """How often the fault struck, in its own unit: kills, states, cut links (`Fault.unit`)."""
    lost: int = 0
    """Told never, though the agent had acknowledged it."""
    duplicates: int = 0
    """Told under more than one `webhook-id`. A repeat under the same id is none: receivers know it by that."""
    figures: dict[str, float] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)
    """A sentence for each broken promise."""

    @property
    def good(self) -> bool:
        return not (self.bad or self.lost or self.duplicates)

    def demand(self, what: object, sentence: str) -> None:
        """Note a promise that is broken where it does not hold."""
        if not what and sentence not in self.bad:
            self.bad.append(sentence)

    def __str__(self) -> str:
        counts = {"strikes": self.strikes, "lost": self.lost, "duplicates": self.duplicates, **self.figures}
        lines = [f"{name}: {value:g}" for name, value in counts.items()]
        return "\n".join([*lines, *self.bad, "good" if self.good else "BROKEN"])


class Run(Protocol):
    """One run of a fault."""

    def __call__(self, folder: Path, /, *, seconds: float, seed: int, mutant: str | None = None) -> Awaitable[Result]:
        """Strike for some `seconds` an agent that lives in `folder`; `mutant` is one of `tests.faults.mutants`."""
        ...


@dataclass(frozen=True)
class Fault:
    """A row of the campaign's table."""

    name: str
    """As in `python -m tests.faults NAME`: `kill-storm`."""
    what: str
    """What happens to the agent, in one sentence without its full stop."""
    unit: str
    """What `Result.strikes` counts: "kills"."""
    run: Run
    mutants: tuple[str, ...] = ()
    """The broken agents that it must catch."""
    can_reload: bool = True
    """Whether the agent is a process whose configuration can be changed meanwhile (`tests.faults.reloads`).

    Not where the fault is of one connection, which a reload ends, or changes the configuration itself.
    """
