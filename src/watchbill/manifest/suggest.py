"""'Did you mean': the nearest known word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like ``word``, or None when none is like it; letter case does not count."""
    by_lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The hint for a word that is not known, or None when nothing is near."""
    found = nearest(word, known)
    return None if found is None else f"did you mean '{found}'?"
