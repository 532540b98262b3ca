"""A regular expression searched as `re` does it, in Python, to count the steps: what is slow shows without a watch."""

import importlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

_parser: Any = importlib.import_module("re._parser")
_compiler: Any = importlib.import_module("re._compiler")
_CHARACTERS = (_parser.LITERAL, _parser.NOT_LITERAL, _parser.ANY, _parser.IN)


class TooManySteps(Exception):
    """The search was given up."""


class Search:
    """Searches a text until the pattern is found or all was tried; `steps`: how often a part of it was tried."""

    def __init__(self, pattern: str, text: str, steps_max: int = 2_000_000) -> None:
        """Raises TooManySteps."""
        self.text, self.steps, self._steps_max = text, 0, steps_max
        self._compiled: dict[str, re.Pattern[str]] = {}
        self._tree = _parser.parse(pattern)
        self.found = any(self._matches(self._tree, at) for at in range(len(text) + 1))

    def _matches(self, items: Sequence[Any], at: int) -> bool:
        return next(self._sequence(items, at), None) is not None

    def _sequence(self, items: Sequence[Any], at: int) -> Iterator[int]:
        """Where the items may end that begin at a place, in the order in which `re` tries it."""
        if not items:
            yield at
            return
        for end in self._item(items[0], at):
            yield from self._sequence(items[1:], end)

    def _item(self, item: Any, at: int) -> Iterator[int]:
        kind, value = item
        if kind is _parser.SUBPATTERN:
            yield from self._sequence(value[3], at)
        elif kind is _parser.BRANCH:
            for branch in value[1]:
                yield from self._sequence(branch, at)
        elif kind in (_parser.ASSERT, _parser.ASSERT_NOT):
            direction, items = value
            place = at - items.getwidth()[0] if direction < 0 else at
            if (place >= 0 and self._matches(items, place)) == (kind is _parser.ASSERT):
                yield at
        elif kind is _parser.MAX_REPEAT:
            yield from self._repeat(value, at)
        elif kind is _parser.MIN_REPEAT:
            yield from reversed(list(self._repeat(value, at)))
        elif kind is _parser.POSSESSIVE_REPEAT:
            yield from list(self._repeat(value, at))[:1]
        else:
            yield from self._try(item, at)

    def _repeat(self, times: Any, at: int) -> Iterator[int]:
        """The longest first. `times`: the least, the most, and of what."""
        least, most, body = times
        if len(body) == 1 and body[0][0] in _CHARACTERS:
            ends = [at]
            while len(ends) <= most and (end := next(self._try(body[0], ends[-1]), None)) is not None:
                ends.append(end)
            yield from reversed(ends[least:])
            return
        if most > 0:
            for end in self._sequence(body, at):
                if end > at or least > 0:
                    yield from self._repeat((max(0, least - 1), most - 1, body), end)
        if least == 0:
            yield at

    def _try(self, item: Any, at: int) -> Iterator[int]:
        """A character or a place such as `^`, judged by `re` itself."""
        self.steps += 1
        if self.steps > self._steps_max:
            raise TooManySteps(f"more than {self._steps_max} steps")
        name = repr(item)
        if name not in self._compiled:
            self._compiled[name] = _compiler.compile(_parser.SubPattern(self._tree.state, [item]))
        match = self._compiled[name].match(self.text, at)
        if match is not None:
            yield match.end()
