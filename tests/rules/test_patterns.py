"""Regular expressions: which are refused, since they might hang the agent."""

import re

import pytest

from agent.rules import patterns
from agent.rules.patterns import JUDGED_CHARS, check_pattern
from tests.support.backtracking import Search


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "open|ajar",
        "^(open|ajar)$",
        r"^error: \d+ .*",
        "a.*b.*c",
        r"[(+*]+x",
        r"[]a+]+",
        r"[^]a+]*",
        r"\(\)+\*+",
        "(ab)+",
        "(ab)?c",
        "((a?)?)?",
        "([0-9a-f]{2}:){5}[0-9a-f]{2}",
        r"(?P<major>\d+)\.(?P<minor>\d+)",
        "(?i)on",
        "(?:a|b)c",
        "x{,5}",
        "a{2",
    ],
)
def test_what_people_write_is_taken(pattern: str) -> None:
    assert check_pattern(pattern) == pattern


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "not a regular expression"),
        ("[a", "not a regular expression"),
        ("*", "not a regular expression"),
        ("a{99999999999}", "not a regular expression"),
        ("(a+)+b", "for ever"),
        ("(a*)*", "for ever"),
        ("(a|aa)+b", "for ever"),
        ("(?:a?)*b", "for ever"),
        ("((a)+b?)*", "for ever"),
        ("(a{1,9}){1,9}", "for ever"),
        (r"([a-z]+\d*)+", "for ever"),
        ("(x+x+)+y", "for ever"),
        (".*.*.*=.*", "too long"),
        ("a?" * 40 + "a" * 40, "too long"),
        ("(a|b)" * 30, "too long"),
        ("((){6000}){6000}", "too long"),
        ("(" * 2000 + ")" * 2000, "not a regular expression"),
    ],
)
def test_what_might_hang_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_pattern(pattern)


@pytest.mark.parametrize("pattern", [".*a.*b", "a.*a.*b", "(a|b)(a|b)(a|b).*c", "a?a?a?a?a?a?a?a?.*c"])
def test_the_worst_that_is_taken_has_no_more_steps_than_were_counted(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert re.search(check_pattern(pattern), "a" * JUDGED_CHARS + "d") is None
    judged_chars = 24
    steps_max = 256 * judged_chars**2
    monkeypatch.setattr(patterns, "JUDGED_CHARS", judged_chars)
    monkeypatch.setattr(patterns, "_STEPS_MAX", steps_max)
    assert Search(check_pattern(pattern), "a" * judged_chars + "d").steps <= steps_max
