"""`body:` of a webhook: a YAML structure whose texts are templates, filled and then written as JSON.

So whatever a value holds, it stays in its string. A text that is one placeholder alone becomes the value itself.
"""

import math
from collections.abc import Iterator
from typing import Any

from agent.templates import Facts, Template
from agent.webhooks.envelope import cut, encode

FILLED_BYTES_MAX = 64 * 1024
"""Of all placeholders of one body together; behind that texts are cut and values are null."""
_LEAST_BYTES = 2
"""An empty text takes as many."""
Where = tuple[str | int, ...]


class Structure:
    """One body, made ready."""

    def __init__(self, document: Any) -> None:
        """Raises ValueError where `wrong_places` finds something."""
        self._root = _ready(document)

    def fill(self, facts: Facts) -> bytes:
        """The body with everything in it."""
        return encode(_Filling(facts).fill(self._root))


def wrong_places(document: Any) -> Iterator[tuple[Where, str]]:
    """What cannot be filled or is no JSON, and where it stands."""
    waiting: list[tuple[Where, Any]] = [((), document)]
    while waiting:
        where, node = waiting.pop()
        if isinstance(node, dict):
            yield from (((*where, key), "a key has to be text: put it in quotes") for key in node if not _is_text(key))
            waiting += [((*where, key), member) for key, member in node.items()]
        elif isinstance(node, list):
            waiting += [((*where, i), member) for i, member in enumerate(node)]
        elif why := _wrong_leaf(node):
            yield where, why


def wrong_text(text: str) -> str | None:
    """Why a text cannot be filled; None: it can."""
    try:
        Template(text)
    except ValueError as error:
        return str(error)
    return None


def _wrong_leaf(node: Any) -> str | None:
    if isinstance(node, float) and not math.isfinite(node):
        return "JSON has no such number"
    if not isinstance(node, str | int | float | bool | None):
        return "no value of JSON: put it in quotes"
    return wrong_text(node) if isinstance(node, str) else None


class _Filling:
    """One filling, and what there is still room for."""

    def __init__(self, facts: Facts) -> None:
        self._facts, self._left = facts, FILLED_BYTES_MAX

    def fill(self, node: Any) -> Any:
        if isinstance(node, dict):
            return {key: self.fill(member) for key, member in node.items()}
        if isinstance(node, list):
            return [self.fill(member) for member in node]
        return self._filled(node) if isinstance(node, Template) else node

    def _filled(self, template: Template) -> Any:
        if self._left < _LEAST_BYTES:
            return None
        value, _ = cut(template.fill(self._facts, self._left), self._left)
        self._left -= len(encode(value))
        return value


def _ready(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _ready(member) for key, member in node.items()}
    if isinstance(node, list):
        return [_ready(member) for member in node]
    return Template(node) if isinstance(node, str) else node


def _is_text(key: Any) -> bool:
    return isinstance(key, str)
