"""Handoffs by an explicit recurrence rule (RFC 5545 RRULE), for rhythms that no fixed length describes."""

from __future__ import annotations

import re
from bisect import bisect_right
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise

from watchbill.features.oncall.recurrence import occurrences, parts_of
from watchbill.features.oncall.walls import DAY, from_reading, reading
from watchbill.kernel.errors import Invalid, Problem

MOST_HANDOFFS = 20_000
"""How far one rule is counted: at an hour each, over two years; at a day each, fifty."""
_CHECKED = 500
_AHEAD = 500 * DAY
_ENDLESS = reading(datetime(9999, 1, 1))  # noqa: DTZ001  (a reading of a wall clock has no zone)
_ALLOWED = re.compile(r"[A-Z0-9=;,+\-]{6,200}")


class RuleHandoffs:
    """Turn 0 begins at the first occurrence on or after ``first``; before it there is no turn.

    After the last occurrence of a rule that ends (COUNT, UNTIL) the last turn goes on.
    """

    __slots__ = ("_known", "first", "rule")

    def __init__(self, rule: str, first: datetime) -> None:
        self.rule, self.first = rule, first
        self._known: tuple[list[int], int] = ([], reading(first))

    def turn(self, reached: int) -> tuple[int | None, int, int]:
        """See `cadence.Handoffs`."""
        line, until = self._known
        if reached >= until - DAY:
            until = reached + _AHEAD
            line = [reading(at) for at in _occurrences(self.rule, self.first, until)]
            self._known = (line, until)  # one assignment: other threads see the old line or the new one
        at = bisect_right(line, reached) - 1
        if at < 0:
            return None, reading(datetime(1, 1, 2)), line[0] if line else _ENDLESS  # noqa: DTZ001  (a reading)
        return at, line[at], line[at + 1] if at + 1 < len(line) else _ENDLESS


def _occurrences(rule: str, first: datetime, until: int) -> list[datetime]:
    end = from_reading(min(until, _ENDLESS))
    found: list[datetime] = []
    for at in occurrences(parts_of(rule), first):
        found.append(at)
        if at > end or len(found) >= MOST_HANDOFFS:  # one beyond the end, so that the last turn has its bound
            break
    return found


@lru_cache(maxsize=1024)
def rule_handoffs(rule: str, first: datetime) -> RuleHandoffs:
    """The handoffs of ``rule``, with ``first`` as its DTSTART on the wall clock.

    Raises:
        Invalid: it cannot be read, never occurs, or hands over more often than every hour.
    """
    hint = "write RFC 5545, such as FREQ=WEEKLY;BYDAY=MO,TH;BYHOUR=9;BYMINUTE=0;BYSECOND=0"
    text = rule.strip().upper().removeprefix("RRULE:")
    if not _ALLOWED.fullmatch(text) or "FREQ=" not in text:
        raise _refused(f"'{rule[:60]}' is not a recurrence rule", hint)
    if "FREQ=SECONDLY" in text or "FREQ=MINUTELY" in text:
        raise _refused("a rotation cannot hand over more often than every hour", hint)
    try:
        line = _occurrences(text, first, reading(first) + 3 * 366 * DAY)[:_CHECKED]
    except (ValueError, TypeError, OverflowError) as error:
        raise _refused(f"'{rule[:60]}' is not a recurrence rule: {error}", hint) from error
    if not line:
        raise _refused(f"'{rule[:60]}' never occurs after {first:%Y-%m-%d}", "widen the rule, or start it earlier")
    if any(after - before < timedelta(hours=1) for before, after in pairwise(line)):
        raise _refused("a rotation cannot hand over more often than every hour", hint)
    return RuleHandoffs(text, first)


def _refused(message: str, hint: str) -> Invalid:
    problem = Problem(code="rotation_invalid", message=message, field="rrule", hint=hint)
    return Invalid("the rotation cannot be followed", code="rotation_invalid", problems=[problem])
