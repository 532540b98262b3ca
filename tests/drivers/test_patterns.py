"""A pattern is taken only if no text can make its search slow."""

import re

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from drivers import patterns
from drivers.patterns import compile_pattern
from tests.support.backtracking import Search


@pytest.mark.parametrize(
    "pattern",
    [
        r"T=(?P<t>[-.0-9]+)",
        r"(?P<t>-?\d+(?:[.,]\d+)?) ?°C",
        r"(?P<t>[^,]*),(?P<u>[^,]*),(?P<v>.*)",
        r"Humidity: (?P<h>[-.0-9]+) %\s+Temperature: (?P<t>[-.0-9]+) \*C",
        r"^(?P<t>\d+) +(?P<u>\d+)$",
        r"(?:\d\d:){2}(?P<s>\d\d)",
        r"(?:ab|cd)+(?P<x>e)",
        r"(?i)t=(?P<t>\d+)c",
        r"(?P<word>\w++)\w",
        r"(?P<x>[^\d]+)\d",
        r"(?P<x>(?>a+))b",
        r"(?P<x>a{3}a)",
        r"(?P<x>.)",
    ],
)
def test_what_ends_where_the_next_part_begins_may_search_long_texts(pattern: str) -> None:
    assert compile_pattern(pattern).text_max == 1024


@pytest.mark.parametrize(
    ("pattern", "text_max"),
    [
        (r".*T=(?P<t>\d+)", 228),
        (r"(?P<t>\d+\.?\d*)", 228),
        (r"(?P<t>\d+).*H=(?P<h>\d+)", 83),
        (r"(?P<t>.*?),(?P<u>.*?),(?P<v>.*)", 83),
        (r"(?i)(?P<t>[a-z]+)T", 228),
        (r"(?P<t>[ж-я]+)я", 228),
        (r"(?P<t>[^Ж]+)ж", 228),
        (r"(?P<t>a{0,100})a", 199),
        (r"(?P<t>a?a?a?a)", 707),
        (r"(?P<t>(?:ab|ac)?)(?:a|b)(?:b.|.c)(?:.d|x.)", 707),
    ],
)
def test_each_quantifier_that_shares_with_the_next_part_shortens_the_text(pattern: str, text_max: int) -> None:
    assert compile_pattern(pattern).text_max == text_max


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "not a regular expression: missing )"),
        ("[[a]", "not a regular expression: Possible nested set"),
        ("a{99999999999}", "not a regular expression"),
        ("(a+)+b", "a repeated group"),
        ("(a*)*", "a repeated group"),
        ("(a|a)*b", "a repeated group"),
        ("(?:a{0,20}){0,20}b", "a repeated group"),
        ("(?:ab?)+", "a repeated group"),
        ("(?:a+)++", "a repeated group"),
        ("a?" * 30 + "a" * 30, "could take very long"),
        ("(?:a|a)" * 30, "could take very long"),
        (".*.*.*x", "could take very long"),
        (".*" * 200, "could take very long"),
        ("a{0,9999}" * 50 + "b", "could take very long"),
        (r"(a+)\1", "references"),
        ("(?=a+)b", "lookarounds"),
        ("(?<!a)b", "lookarounds"),
        ("(a)?(?(1)b|c)", "references"),
        ("(?i:a)", "flags within a group"),
        ("x" * 513, "at most 512"),
    ],
)
def test_what_could_take_long_is_refused(pattern: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        compile_pattern(pattern)


PARTS = st.sampled_from(["a", "b", ".", r"\d", r"\s", "[ab]", "[^a]", "(?:ab|b)", "(?:a|b1)", "(?:a1)", " ", "(a+b)"])
QUANTIFIERS = st.sampled_from(["", "", "+", "*", "?", "{2}", "{0,9}", "*?", "++"])
STEPS_MAX = 2_000
"""Small, so that the texts are short in which a pattern is searched, and the steps soon counted."""
STEPS_OF_A_WAY = 10
"""At most: a way may end at any part of a pattern."""


@settings(phases=[Phase.explicit, Phase.generate])
@example([(".", "*"), ("a", "+")], "a", "")
@example([("a", "*"), ("[ab]", "*?"), (".", "*")], "a", "")
@example([("a", "?"), ("[ab]", "?"), ("a", "?"), (".", "{0,9}")], "a", "")
@example([("(?:a|b1)", "{2}"), ("(?:a1)", "*"), (".", "+")], "a1", "")
@given(
    st.lists(st.tuples(PARTS, QUANTIFIERS), min_size=1, max_size=7),
    st.text("ab1 ", min_size=1, max_size=5),
    st.text("ab1 x", max_size=2),
)
def test_no_text_makes_a_pattern_slow_that_was_taken(
    parts: list[tuple[str, str]], repeated: str, at_the_end: str
) -> None:
    text = "".join(part + quantifier for part, quantifier in parts) + "#"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(patterns, "_STEPS_MAX", STEPS_MAX)
        patched.setattr(patterns, "_TEXT_MIN", 4)
        try:
            pattern = compile_pattern(text)
        except ValueError:
            return
    length = min(pattern.text_max, 100)
    Search(text, (repeated * length)[: length - len(at_the_end)] + at_the_end, STEPS_OF_A_WAY * STEPS_MAX)
