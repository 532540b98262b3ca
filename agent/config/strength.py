"""How hard a token is to guess, as far as its text shows: an estimate, made for refusing what people think up."""

import math
import re
from itertools import pairwise

TOKEN_BITS_MIN = 128
_PREFIX = "whsec_"
"""Of `bellcrank secret new`; it is no secret."""
_CLASSES = (
    (r"[0-9]*", 10),
    (r"[0-9a-f]*|[0-9A-F]*", 16),
    (r"[a-z]*|[A-Z]*", 26),
    (r"[a-z0-9]*|[A-Z0-9]*", 36),
    (r"[A-Za-z]*", 52),
    (r"[A-Za-z0-9]*", 62),
    (r"[A-Za-z0-9+/]*|[A-Za-z0-9_-]*", 64),
    (r"[!-~]*", 94),
)
"""Alphabets that tokens are made from, the smallest first: pattern and size."""
_WORD = re.compile(r"[A-Z]?[a-z]{4,}|[A-Z]{5,}")
_BITS_OF_A_LETTER_IN_WORDS = 2.0
"""Of English text about 1.3 (Shannon, 1951), of words drawn at random from a list about 2.5."""

_VOWELS_MIN = 0.28
"""Of words; of letters at random it is 0.19."""


def token_bits(token: str) -> float:
    """The bits of a token that was drawn at random from the alphabet that it shows; fewer where it is not random.

    What is repeated counts once, what goes on as one counts (abc, 321, aaa) not at all where it is more than half, and
    words by what words are worth where they are more than half.
    """
    text = _once(token.strip().removeprefix(_PREFIX).rstrip("="))
    if not text:
        return 0.0
    a_char = math.log2(_alphabet(text))
    followers = sum(abs(ord(this) - ord(before)) <= 1 for before, this in pairwise(text))
    if 2 * followers > len(text):
        return (len(text) - followers) * a_char
    words = "".join(_WORD.findall(text))
    in_words = len(words)
    if 2 * in_words > len(text) and _share_of_vowels(words) > _VOWELS_MIN:
        return in_words * _BITS_OF_A_LETTER_IN_WORDS + (len(text) - in_words) * a_char
    return len(text) * a_char


def _share_of_vowels(letters: str) -> float:
    return sum(letter in "aeiouAEIOU" for letter in letters) / len(letters)


def _once(text: str) -> str:
    """The part that a text repeats, to its end or not; all of it where there is none."""
    period = next((n for n in range(1, len(text)) if text.startswith(text[n:])), len(text))
    return text if 2 * period > len(text) else text[:period]


def _alphabet(text: str) -> int:
    """How many characters the alphabet has that a text was drawn from; only those seen, where they are far too few."""
    size = next((size for pattern, size in _CLASSES if re.fullmatch(pattern, text)), 94)
    seen = len(set(text))
    to_be_expected = size * (1 - (1 - 1 / size) ** len(text))
    return size if seen > 0.6 * to_be_expected else max(2, seen)
