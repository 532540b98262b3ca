"""What a condition says of one value: yes, no, or that it cannot judge it."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.rules.conditions import compile_condition, overlap
from drivers.base import Value


@pytest.mark.parametrize(
    ("words", "value", "holds"),
    [
        ({"above": 5}, 5.1, True),
        ({"above": 5}, 5, False),
        ({"below": 5}, 4.9, True),
        ({"below": 5}, 5, False),
        ({"at_least": 5}, 5.0, True),
        ({"at_least": 5}, 4.9, False),
        ({"at_most": 5}, 5, True),
        ({"at_most": 5}, 5.1, False),
        ({"above": 5}, "6", None),
        ({"above": 0}, True, None),
        ({"at_most": 1}, False, None),
        ({"below": 5}, "", None),
        ({"equals": 5}, 5.0, True),
        ({"equals": 5}, "5", False),
        ({"equals": "5"}, 5, False),
        ({"equals": 1}, True, False),
        ({"equals": True}, 1, False),
        ({"equals": True}, 1.0, False),
        ({"equals": True}, True, True),
        ({"equals": False}, 0, False),
        ({"equals": False}, False, True),
        ({"equals": "open"}, "open", True),
        ({"equals": "open"}, "Open", False),
        ({"equals": ""}, "", True),
        ({"not_equals": "closed"}, "open", True),
        ({"not_equals": "closed"}, "closed", False),
        ({"not_equals": 1}, True, True),
        ({"not_equals": 0}, 0.0, False),
        ({"one_of": ["a", 2]}, "a", True),
        ({"one_of": ["a", 2]}, 2.0, True),
        ({"one_of": ["a", 2]}, "2", False),
        ({"one_of": [1, 0]}, True, False),
        ({"one_of": [True]}, True, True),
        ({"inside": [2, 8]}, 2, True),
        ({"inside": [2, 8]}, 8.0, True),
        ({"inside": [2, 8]}, 8.1, False),
        ({"inside": [0, 1]}, True, None),
        ({"inside": [2, 8]}, "5", None),
        ({"outside": [2, 8]}, 2, False),
        ({"outside": [2, 8]}, 8, False),
        ({"outside": [2, 8]}, 1.9, True),
        ({"outside": [2, 8]}, 8.1, True),
        ({"outside": [2, 8]}, "x", None),
        ({"matches": "^err"}, "error 5", True),
        ({"matches": "^err"}, "no error", False),
        ({"matches": "5$"}, "error 5", True),
        ({"matches": "5"}, 5, None),
        ({"matches": "true"}, True, None),
        ({"matches": "end"}, "x" * 256 + "end", False),
        ({"matches": "^x+$"}, "x" * 256 + "end", True),
        ({"above": 5, "below": 10}, 7, True),
        ({"above": 5, "below": 10}, 10, False),
        ({"above": 5, "below": 10}, 5, False),
        ({"above": 5, "not_equals": 85}, 85, False),
        ({"above": 5, "not_equals": 85}, 84, True),
        ({"above": 5, "not_equals": 85}, "84", None),
    ],
)
def test_a_condition_judges_a_value(words: dict[str, Any], value: Value, holds: bool | None) -> None:
    assert compile_condition(words)(value) is holds


NUMBERS = st.integers(-3, 3)
WORDS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("above", "below", "at_least", "at_most"), NUMBERS),
        **dict.fromkeys(("inside", "outside"), st.lists(NUMBERS, min_size=2, max_size=2).map(sorted)),
        "equals": NUMBERS,
        "one_of": st.lists(NUMBERS, min_size=1, max_size=3),
    },
).filter(bool)


@given(WORDS, WORDS, st.sampled_from([n / 4 for n in range(-16, 17)]))
def test_two_conditions_that_some_value_fulfils_do_overlap(
    one: dict[str, Any], other: dict[str, Any], value: float
) -> None:
    if compile_condition(one)(value) and compile_condition(other)(value):
        assert overlap(one, other)
        assert overlap(other, one)


@pytest.mark.parametrize(
    ("one", "other", "overlapping"),
    [
        ({"below": 5}, {"above": 6.5}, False),
        ({"below": 5}, {"at_least": 5}, False),
        ({"at_most": 5}, {"at_least": 5}, True),
        ({"below": 5}, {"above": 4}, True),
        ({"above": 5}, {"above": 100}, True),
        ({"equals": "open"}, {"equals": "closed"}, False),
        ({"equals": "open"}, {"one_of": ["shut", "open"]}, True),
        ({"equals": True}, {"equals": 1}, False),
        ({"equals": "error"}, {"below": 5}, False),
        ({"equals": 4}, {"below": 5}, True),
        ({"above": 5}, {"one_of": [1, 6]}, True),
        ({"not_equals": "closed"}, {"equals": "closed"}, False),
        ({"not_equals": "closed"}, {"equals": "open"}, True),
        ({"not_equals": "closed"}, {"not_equals": "open"}, True),
        ({"above": -math.inf}, {"below": 0}, True),
        ({"outside": [2, 8]}, {"inside": [2, 8]}, False),
        ({"outside": [2, 8]}, {"inside": [3, 9]}, True),
        ({"outside": [2, 8]}, {"at_most": 8, "above": 3}, False),
        ({"inside": [2, 8]}, {"above": 8}, False),
        ({"inside": [2, 8]}, {"at_least": 8}, True),
        ({"matches": "^a"}, {"matches": "^b"}, False),
        ({"matches": "^a"}, {"equals": "abc"}, True),
        ({"matches": "^a"}, {"one_of": ["b", "c"]}, False),
    ],
)
def test_an_overlap_is_known_from_the_words(one: dict[str, Any], other: dict[str, Any], overlapping: bool) -> None:
    assert overlap(one, other) is overlapping
    assert overlap(other, one) is overlapping
