"""Did you mean: the nearest of the words that are known."""

from collections.abc import Iterable


def unknown(what: str, given: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """A sentence about a word that is not known: the nearest one, else `otherwise`, else all of them."""
    known = sorted(known)
    from difflib import get_close_matches  # only who mistypes needs it

    near = get_close_matches(given, known, 1, 0.6)
    hint = f"did you mean {near[0]}?" if near else otherwise or f"known: {', '.join(known) or 'none'}"
    return f"unknown {what} {given!r}: {hint}"
