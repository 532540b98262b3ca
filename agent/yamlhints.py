"""What people did where a text is no YAML: the parser's words with a hint, or better ones.

Nothing of the text itself is in them, as it may be a secret; the path is for those who know which keys hold one.
"""

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ruamel.yaml.error import MarkedYAMLError

FORGOTTEN_SPACE = re.compile(r"(?:- +)?([A-Za-z_]\w*):(?!//)[^\s:].*")
"""What somebody types who means `key: value`."""
_BEGINNING = re.compile(r"(\s*)((?:- +)*)(?:([\w-]+):(?:\s+(.*))?$)?")
_KEY_AND_TEXT = re.compile(r"\s*(?:- +)*[\w-]+:\s+\S.*")
_ONE_WORD = re.compile(r"\s*[\w-]+\s*")


class Hint(NamedTuple):
    """What is wrong, its line and column from 1, and the keys on the way there, as far as the indentation tells."""

    message: str
    line: int
    column: int
    path: tuple[str, ...] = ()


class _Line(NamedTuple):
    """How a line begins; columns from 1."""

    number: int
    """From 1."""
    start: float
    """Where it begins. An item of a list half a column further, as the key of its list may stand above its dash."""
    dash: int | None
    """The first one; None: it is no item of a list."""
    column: int
    """Of its key, or of what stands in its place."""
    key: str | None
    is_open: bool
    """Whether what belongs to its key is still to come, on the lines below."""


def explain(error: MarkedYAMLError, lines: Sequence[str]) -> Hint:
    """What the parser has found, for people."""
    mark = error.problem_mark or error.context_mark
    problem = str(error.problem or error.context or "not YAML")
    if "alias" in problem or "anchor" in problem:
        problem = problem.partition(" '")[0].partition("; first")[0]
    if mark is None or not 0 <= mark.line < len(lines):
        return Hint(problem, 1 if mark is None else mark.line + 1, 1 if mark is None else mark.column + 1)
    near = {mark.line, mark.line - 1, getattr(error.context_mark, "line", mark.line)}
    before, char = lines[mark.line][: mark.column], lines[mark.line][mark.column : mark.column + 1]
    hint = _forgotten_space(lines, near)
    if hint is None and "\t" in before + char:
        hint = Hint("a tab; YAML is indented with spaces", mark.line + 1, mark.column + 1)
    if hint is None and "mapping values" in problem:
        hint = _forgotten_colon(lines, mark.line + 1)
    if hint is None and ("mapping values" in problem or "<block end>" in problem):
        hint = _wrong_indentation(lines, mark.line + 1, before)
    if hint is None:
        advice = _advice(problem, before, char) or _unclosed(error)
        hint = Hint(problem + advice, mark.line + 1, mark.column + 1)
    return hint._replace(path=_path(lines, hint.line))


# -- what was forgotten


def _forgotten_space(lines: Sequence[str], indexes: set[int]) -> Hint | None:
    for i in sorted(indexes, reverse=True):
        found = FORGOTTEN_SPACE.fullmatch(lines[i].strip()) if 0 <= i < len(lines) else None
        if found:
            column = len(lines[i]) - len(lines[i].lstrip()) + 1
            return Hint(f"is a space missing behind the colon of {found[1]}:?", i + 1, column)
    return None


def _forgotten_colon(lines: Sequence[str], number: int) -> Hint | None:
    """A line of one word, which YAML takes for the beginning of a text that goes on below."""
    above = next(_above(lines, number), None)
    if above is None or not _ONE_WORD.fullmatch(lines[above.number - 1]):
        return None
    return Hint("is a colon missing at the end of this line?", above.number, above.column)


def _advice(problem: str, before: str, char: str) -> str:
    """What has to be in quotes."""
    if before.endswith(("}", "]")) and char.strip(",}] "):
        return f": a text that begins with {'{' if before.endswith('}') else '['} has to be in quotes"
    if char in ("{", "[") and before[-1:].strip(" ,:[{-"):
        return f": a text with {char} has to be in quotes"
    if (char and char in "*&@`%!|>") or "alias" in problem:
        return f": a text that begins with {char or '*'} has to be in quotes"
    if "mapping values" in problem and _KEY_AND_TEXT.fullmatch(before):
        return ": a text with a colon and a space behind it has to be in quotes"
    if "sequence entries" in problem:
        return ": items begin on the lines below their key, or stand in [ ]"
    return ""


def _unclosed(error: MarkedYAMLError) -> str:
    if "flow" in str(error.context) and error.context_mark is not None:
        return f": is the bracket of line {error.context_mark.line + 1} closed?"
    if "quoted" in str(error.context) and error.context_mark is not None:
        return f": is the quote of line {error.context_mark.line + 1} closed?"
    return ""


# -- columns


def _wrong_indentation(lines: Sequence[str], number: int, before: str) -> Hint | None:
    """A line that begins in a column where it belongs to nothing; `before` is what stands before the parser's mark."""
    here = _line(lines, number)
    if here is None or _KEY_AND_TEXT.fullmatch(before):
        return None
    right = _columns_of_items(lines, number) if here.dash is not None else _columns_of_keys(lines, here)
    column = here.dash or here.column
    if not right:
        return Hint("an item of a list, where the lines around are `key: value`", number, column)
    message = f"wrong indentation: it begins in column {column}; {' or '.join(right)} would be right"
    return Hint(message, number, column)


def _columns_of_items(lines: Sequence[str], number: int) -> list[str]:
    items = (line for line in _above(lines, number) if line.dash is not None)
    return [f"column {line.dash} (as line {line.number})" for line in items][:1]


def _columns_of_keys(lines: Sequence[str], here: _Line) -> list[str]:
    """The two nearest, and a dash where the line above has one in this column."""
    above = list(_above(lines, here.number))
    keys = {line.column: line.number for line in reversed(above) if line.key is not None}
    nearest = sorted(keys, key=lambda column: (abs(column - here.column), -column))[:2]
    right = [f"column {column} (as line {keys[column]})" for column in nearest if column != here.column]
    return right + (["a dash before it"] if above and above[0].dash == here.column else [])


def _path(lines: Sequence[str], number: int) -> tuple[str, ...]:
    """The key of a line, below those that it belongs to."""
    here = _line(lines, number)
    if here is None:
        return ()
    keys = [] if here.key is None else [here.key]
    start = here.start
    for line in _above(lines, number):
        if line.key is not None and line.is_open and line.column < start:
            keys.append(line.key)
            start = line.start
    return tuple(reversed(keys))


def _above(lines: Sequence[str], number: int) -> Iterator[_Line]:
    """The lines above this one, from below, that begin further out than all between: what is still open, and more."""
    limit = math.inf
    for n in range(number - 1, 0, -1):
        line = _line(lines, n)
        if line is not None and line.start < limit:
            yield line
            limit = line.start


def _line(lines: Sequence[str], number: int) -> _Line | None:
    """How a line begins; None: it is empty, or a comment. Behind a tab nobody knows in which column it does."""
    found = _BEGINNING.match(lines[number - 1])
    if found is None or lines[number - 1].strip()[:1] in ("", "#"):
        return None
    indent, dashes, key, value = found.groups()
    dash = len(indent) + 1 if dashes else None
    start = math.inf if "\t" in indent else dash + 0.5 if dash else len(indent) + 1
    return _Line(number, start, dash, len(indent + dashes) + 1, key, not value or value[0] in "#&")
