"""Regular expressions of the configuration, which must not stall the agent whatever a sensor sends.

`re` tries every way in which the quantifiers may share out a text, and nothing can interrupt it. So the ways
are counted before a pattern is taken. A quantifier that ends where the next part begins (`[^,]*,`) has one
way. One whose next part it could take itself (`.*,`) has as many as the text has characters, and several of
them multiply. A quantifier within a repeated group has exponentially many and is refused, as are
lookarounds and references, which cannot be counted so. The texts that are searched are as short as the ways
ask for; a pattern that could only be searched in very short ones is refused.
"""

import importlib
import math
import re
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

_STEPS_MAX = 2_000_000
"""Of the worst search: some hundredths of a second."""
_TEXT_MAX, _TEXT_MIN = 1024, 64
_PATTERN_MAX = 512
_parser: Any = importlib.import_module("re._parser")  # the public name for it, sre_parse, is deprecated

_LATIN = frozenset(map(chr, range(256)))
_BEYOND = frozenset("Ā٣\u2003€")
"""One for each kind of characters beyond Latin-1: a letter, a digit, a blank, any other."""
_SAMPLE = _LATIN | _BEYOND
_KINDS = {
    _parser.CATEGORY_DIGIT: r"\d",
    _parser.CATEGORY_NOT_DIGIT: r"\D",
    _parser.CATEGORY_SPACE: r"\s",
    _parser.CATEGORY_NOT_SPACE: r"\S",
    _parser.CATEGORY_WORD: r"\w",
    _parser.CATEGORY_NOT_WORD: r"\W",
}
_OF_KIND = {
    category: frozenset(char for char in _SAMPLE if re.fullmatch(kind, char)) for category, kind in _KINDS.items()
}
_REPEATS = (_parser.MAX_REPEAT, _parser.MIN_REPEAT, _parser.POSSESSIVE_REPEAT)
_NONE: frozenset[str] = frozenset()


class Pattern(NamedTuple):
    """A pattern that was found to be harmless."""

    compiled: re.Pattern[str]
    text_max: int
    """Longer texts must not be searched."""


class _Ways(NamedTuple):
    """In how many ways a part can match: `fixed` times the text's length to the power of `open`."""

    first: frozenset[str]
    """What it can begin with."""
    empty: bool
    """Whether it can match nothing."""
    fixed: int = 1
    open: int = 0


def compile_pattern(text: str) -> Pattern:
    """Compile a pattern. Raises ValueError that says what would be valid."""
    if len(text) > _PATTERN_MAX:
        raise ValueError(f"a pattern has at most {_PATTERN_MAX} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compiled, tree = re.compile(text), _parser.parse(text)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    ways = _sequence(tree, _NONE, bool(compiled.flags & re.IGNORECASE))
    text_max = _longest(ways)
    if text_max < _TEXT_MIN:
        raise ValueError(
            "could take very long: let each quantifier end where the next part begins, such as `[^,]*,` for `.*,`"
        )
    return Pattern(compiled, text_max)


def _longest(ways: _Ways) -> int:
    """How long a text may be: where a match starts, each open part and the rest end one behind the other."""
    choices = min(ways.open, 8) + 2
    return min(_TEXT_MAX, int((_STEPS_MAX * math.factorial(choices) / ways.fixed) ** (1 / choices)))


def _sequence(items: Sequence[Any], follow: frozenset[str], fold: bool) -> _Ways:
    """The ways of a sequence, before what can begin with `follow`."""
    first, empty, fixed, open_ = _NONE, True, 1, 0
    for item in reversed(items):
        ways = _item(item, first | follow if empty else first, fold)
        first, empty = (first | ways.first if ways.empty else ways.first), empty and ways.empty
        fixed, open_ = fixed * ways.fixed, open_ + ways.open
    return _Ways(first, empty, fixed, open_)


def _item(item: Any, follow: frozenset[str], fold: bool) -> _Ways:
    kind, value = item
    if kind in _REPEATS:
        return _repeat(item, follow, fold)
    if kind is _parser.AT:
        return _Ways(_NONE, empty=True)
    if kind is _parser.BRANCH:
        return _either([_sequence(branch, follow, fold) for branch in value[1]], follow)
    if kind is _parser.ATOMIC_GROUP:
        return _sequence(value, follow, fold)
    if kind is _parser.SUBPATTERN and not value[1] and not value[2]:
        return _sequence(value[3], follow, fold)
    if kind in (_parser.LITERAL, _parser.NOT_LITERAL, _parser.ANY, _parser.IN):
        return _Ways(_characters(kind, value, fold), empty=False)
    raise ValueError("lookarounds, references and flags within a group cannot be used here")


def _repeat(item: Any, follow: frozenset[str], fold: bool) -> _Ways:
    kind, (least, most, body) = item
    inner = _sequence(body, follow, fold)
    if most == 1:
        return _either([inner, _Ways(_NONE, empty=True)], follow) if least == 0 else inner
    shortest, longest = body.getwidth()
    if inner.fixed > 1 or shortest != longest:
        raise ValueError(
            "a repeated group with a quantifier or with alternatives in it could take very long: write it without"
        )
    ways = _Ways(inner.first, least == 0 or inner.empty)
    if least == most or kind is _parser.POSSESSIVE_REPEAT or not inner.first & follow:
        return ways
    return ways._replace(open=1) if most is _parser.MAXREPEAT else ways._replace(fixed=most - least + 1)


def _either(branches: Sequence[_Ways], follow: frozenset[str]) -> _Ways:
    """The ways of alternatives: they multiply where more than one can begin with the same."""
    beginnings = [branch.first | follow if branch.empty else branch.first for branch in branches]
    union = _NONE.union(*beginnings)
    clear = len(union) == sum(map(len, beginnings))
    return _Ways(
        _NONE.union(*(branch.first for branch in branches)),
        any(branch.empty for branch in branches),
        max(branch.fixed for branch in branches) * (1 if clear else len(branches)),
        max(branch.open for branch in branches),
    )


def _characters(kind: Any, value: Any, fold: bool) -> frozenset[str]:
    """Those of the sample that one character of a pattern can be."""
    if kind is _parser.ANY:
        return _SAMPLE
    members = value if kind is _parser.IN else [(kind, value)]
    if members[0][0] not in (_parser.NEGATE, _parser.NOT_LITERAL):
        return _folded(_NONE.union(*(_member(*member) for member in members)), fold)
    # What is excluded beyond Latin-1 excludes one character, not its kind.
    excluded = _NONE.union(
        *(
            found if kind is _parser.CATEGORY else found & _LATIN
            for kind, found in ((kind, _member(kind, value)) for kind, value in members if kind is not _parser.NEGATE)
        )
    )
    return _SAMPLE - _folded(excluded, fold)


def _member(kind: Any, value: Any) -> frozenset[str]:
    if kind is _parser.CATEGORY:
        return _OF_KIND[value]
    if kind is _parser.RANGE:
        low, high = value
        return frozenset(char for char in _LATIN if low <= ord(char) <= high) | (_BEYOND if high > 255 else _NONE)
    return frozenset(chr(value)) if value < 256 else _BEYOND


def _folded(characters: frozenset[str], fold: bool) -> frozenset[str]:
    if not fold:
        return characters
    return characters | {other for char in characters for other in (char.lower(), char.upper()) if other in _SAMPLE}
