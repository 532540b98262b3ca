"""What is wrong in a configuration file: as lines for people, all of them at once, without a secret in any."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from agent.config.kinds import secret_places
from agent.config.values import Where, value_at
from agent.yamlfile import Document, Place

_TELLING_CHARS = 8


class Problem(NamedTuple):
    """One thing that is wrong, for people."""

    file: Path
    place: Place
    path: str
    message: str

    def __str__(self) -> str:
        path = f"{self.path}: " if self.path else ""
        return _printable(f"{self.file}:{self.place.line}:{self.place.column}: {path}{self.message}")


class ConfigErrors(Exception):
    """All that is wrong, one a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: (problem.place, problem.path))
        super().__init__("\n".join(map(str, self.problems)))


class Report:
    """Gathers what is wrong in one file, beginning with what its reading as YAML has told."""

    def __init__(self, file: Path, document: Document) -> None:
        self._file = file
        self._document = document
        self.secrets = frozenset(secret_places(document.value))
        """Where the file has what the models keep as a secret."""
        self.problems = [
            Problem(file, problem.place, self._dotted(path), problem.message) for path, problem in document.problems
        ]

    def add(self, where: Where, message: str) -> None:
        """Tell that something is wrong there; a message that would show what came from a tag is not shown."""
        if any(self._tells(message, path) for path in self._document.tagged if path[: len(where)] == where):
            message = "what its tag stands for is not valid here; it is not shown, as it may be a secret"
        self.problems.append(Problem(self._file, self._place(where), self._dotted(where), message))

    def _tells(self, message: str, path: Where) -> bool:
        """Whether a message shows a telling part of what came from a tag."""
        text = str(value_at(path, self._document.value))
        n = min(len(text), _TELLING_CHARS)
        return n > 0 and any(text[i : i + n] in message for i in range(len(text) - n + 1))

    def _dotted(self, where: Where) -> str:
        """The path for people; of `password:hunter2`, which somebody took for a key, only the first word."""
        for n in range(len(where)):
            if where[:n] in self.secrets:
                where = where[:n]
                break
        return ".".join(str(step).partition(":")[0] for step in where)

    def _place(self, where: Where) -> Place:
        while where and where not in self._document.places:
            where = where[:-1]
        return self._document.places.get(where, Place(1, 1))


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
