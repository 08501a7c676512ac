"""Turn the queries people wrote for ratios and rates into queries that count the events of ``$window``.

Not a parser of PromQL: a scan of its words, strings and brackets, enough to find selectors and ranges. What it does not
understand is left alone and said.
"""

from __future__ import annotations

import re

from watchbill.features.slo import same_bounds

WINDOW = "$window"

_TOKEN = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
      | (?P<comment>\#[^\n]*)
      | (?P<range>\[[^\]]*\])
      | (?P<matchers>\{(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|[^}"'`])*\})
      | (?P<number>(?:0x[0-9a-fA-F]+|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+)[smhdwy]*)
      | (?P<word>[a-zA-Z_:][a-zA-Z0-9_:.]*)
      | (?P<space>\s+)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_RATES = {"rate": "increase", "irate": "increase"}
_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = {*_LISTS, "and", "or", "unless", "bool", "offset", "inf", "nan", "atan2", "start", "end"}


class NotCountable(ValueError):
    """This query cannot be turned into one that counts; the message says why."""


def counting(query: str, *, counter: bool) -> str:
    """The query that answers how many events there were in ``$window``.

    A rate over any range becomes the increase over ``$window``; a bare counter is wrapped into one.

    Raises:
        NotCountable: it is no counter and no rate of one.
    """
    tokens = [(match.lastgroup or "other", match.group()) for match in _TOKEN.finditer(query)]
    if WINDOW in query:
        return same_bounds("".join(_counted(tokens, index) for index in range(len(tokens))))
    if any(kind == "range" for kind, _ in tokens):
        return same_bounds(_over_window(tokens))
    if not counter:
        raise NotCountable("a value that goes up and down does not count events")
    return same_bounds(_wrapped(tokens))


def _over_window(tokens: list[tuple[str, str]]) -> str:
    written: list[str] = []
    for index, (kind, text) in enumerate(tokens):
        if kind == "range":
            if ":" in text:
                raise NotCountable("a subquery has no one window")
            written.append(f"[{WINDOW}]")
        elif kind == "word" and _calls(tokens, index):
            if text.endswith("_over_time") and text not in ("sum_over_time", "count_over_time"):
                raise NotCountable(f"{text} does not count events")
            written.append(_counted(tokens, index))
        else:
            written.append(text)
    return "".join(written)


def _counted(tokens: list[tuple[str, str]], index: int) -> str:
    """The token, with ``increase`` in place of a rate: events, not events a second."""
    kind, text = tokens[index]
    return _RATES.get(text, text) if kind == "word" and _calls(tokens, index) else text


def _wrapped(tokens: list[tuple[str, str]]) -> str:
    """Every selector of a counter inside an increase of its own, so that resets are seen."""
    written: list[str] = []
    index, labels = 0, 0
    found = False
    while index < len(tokens):
        kind, text = tokens[index]
        if labels:
            labels += (text == "(") - (text == ")")
            written.append(text)
            index += 1
            continue
        if kind == "word" and text.lower() in _LISTS and _calls(tokens, index):
            while tokens[index][1] != "(":
                written.append(tokens[index][1])
                index += 1
            written.append("(")
            labels, index = 1, index + 1
            continue
        named = (
            kind == "word" and text.lower() not in _WORDS and not _calls(tokens, index) and not _groups(tokens, index)
        )
        if named or kind == "matchers":
            selector = text
            if named and index + 1 < len(tokens) and tokens[index + 1][0] == "matchers":
                selector += tokens[index + 1][1]
                index += 1
            written.append(f"increase({selector}[{WINDOW}])")
            found = True
        else:
            written.append(text)
        index += 1
    if not found:
        raise NotCountable("it selects no metric")
    return "".join(written)


def _next(tokens: list[tuple[str, str]], index: int) -> str:
    for kind, text in tokens[index + 1 :]:
        if kind not in ("space", "comment"):
            return text
    return ""


def _calls(tokens: list[tuple[str, str]], index: int) -> bool:
    """Whether the word at ``index`` is followed by a parenthesis: a function, an aggregation or a list of labels."""
    return _next(tokens, index) == "("


def _groups(tokens: list[tuple[str, str]], index: int) -> bool:
    """Whether it is an aggregation whose labels come first: ``sum by (job) (…)``."""
    return _next(tokens, index).lower() in ("by", "without") and tokens[index][1].lower() not in _LISTS
