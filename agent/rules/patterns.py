"""Regular expressions that cannot hang the agent.

`re` backtracks: of a wrong choice it tries every other one, so a pattern such as `(a+)+b` may take for ever on
a short text. So only the beginning of a text is judged, and a pattern is refused that has a repetition inside
a repetition, or more choices than can be tried in a moment.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

JUDGED_CHARS = 256
"""Of a text; what stands behind is not looked at."""
_STEPS_MAX = JUDGED_CHARS**3
"""The place to begin at is a choice among 256, and so is the end of each `.*`: two of them may stand in a pattern."""
_TOKEN = re.compile(
    r"""(?P<escaped>\\.)                          # a backslash takes the next character with it
    | (?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])          # [...]: what stands in it is no operator
    | (?P<open>\((?:\?(?:P?<?[=!:>]|P<\w+>|[aiLmsux-]*:)?)?)
    | (?P<close>\))
    | (?P<quantifier>(?:[*+?]|\{(?P<least>\d*)(?P<comma>,?)(?P<most>\d*)\})[?+]?)
    | (?P<bar>\|)
    | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


class _Level(NamedTuple):
    """What was read of one group, or of the whole pattern."""

    ways: int = 1
    """How many ways there are through it."""
    steps: int = 1
    """The same, with what is repeated a fixed number of times."""
    last: int = 1
    """The ways through its last item, which a quantifier would repeat."""
    branches: int = 1


def check_pattern(text: str) -> str:
    """A pattern that may be used. Raises ValueError that says why it may not."""
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if _steps(text) * JUDGED_CHARS > _STEPS_MAX:
        raise ValueError("this regular expression could take too long: use fewer of `*`, `+`, `?`, `{}` and `|`")
    return text


def _steps(text: str) -> int:
    """How many steps it may take to try all ways from one place. Raises ValueError where there is no end of them."""
    levels = [_Level()]
    for kind, token in _tokens(text):
        level = levels[-1]
        if kind == "open":
            levels.append(_Level())
        elif kind == "close" and len(levels) > 1:
            levels.pop()
            levels[-1] = _with_group(levels[-1], level)
        elif kind == "quantifier":
            levels[-1] = _repeated(level, token)
        elif kind == "bar":
            levels[-1] = level._replace(branches=level.branches + 1, last=1)
        else:
            levels[-1] = level._replace(last=1)
    return levels[0].steps * levels[0].branches


def _with_group(level: _Level, inner: _Level) -> _Level:
    ways = inner.ways * inner.branches
    return level._replace(ways=level.ways * ways, steps=level.steps * inner.steps * inner.branches, last=ways)


def _repeated(level: _Level, token: re.Match[str]) -> _Level:
    """Count what a quantifier does to the item before it."""
    least, comma, most = token["least"], token["comma"], token["most"]
    operator = token["quantifier"][0]
    if operator == "?":
        return level._replace(ways=level.ways * 2, steps=level.steps * 2, last=1)
    open_end = operator in "*+" or (comma and not most)
    end = JUDGED_CHARS if open_end else int(most or least or 1)
    if end > 1 and level.last > 1:
        raise ValueError("a regular expression with a repetition or a choice inside a repetition could take for ever")
    ways = 1 if operator == "{" and not comma else max(1, end)
    return level._replace(ways=level.ways * ways, steps=level.steps * max(1, end), last=1)


def _tokens(text: str) -> Iterator[tuple[str, re.Match[str]]]:
    for token in _TOKEN.finditer(text):
        yield next(name for name in _KINDS if token[name] is not None), token


_KINDS = ("escaped", "set", "open", "close", "quantifier", "bar", "other")
