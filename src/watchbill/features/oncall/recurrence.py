"""Recurrence rules (RFC 5545, 3.3.10) as lines of wall-clock readings, with a search that ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

_CYCLE_YEARS = 400
"""The Gregorian calendar repeats after 400 years, weekdays included: 146,097 days are 20,871 weeks."""
_CYCLE = timedelta(days=146_097)


def parts_of(rule: str) -> dict[str, str]:
    """The parts of a rule in upper case, each once.

    Raises:
        ValueError: something between semicolons is not ``NAME=VALUE``, or a part is given twice.
    """
    parts: dict[str, str] = {}
    for part in rule.strip().upper().removeprefix("RRULE:").split(";"):
        name, equals, value = part.partition("=")
        if not equals or not value or name in parts:
            raise ValueError(f"'{part}'")
        parts[name] = value
    return parts


def occurrences(parts: dict[str, str], first: datetime, *, zone: tzinfo | None = None) -> Iterator[datetime]:
    """The occurrences of a rule with DTSTART ``first`` (a reading of a wall clock), until its COUNT or UNTIL.

    The library behind it searches on until the year 9999, three seconds for a daily rule that never comes true
    again. So the search takes place in the last centuries of its calendar, where it ends after a twentieth of that.

    ``zone`` is what an UNTIL in UTC is read in; without it as the wall clock.

    Raises:
        ValueError: it is not a rule.
    """
    from dateutil.rrule import rrulestr

    shift = _CYCLE * ((9999 - first.year - 30) // _CYCLE_YEARS)
    kept = {name: value for name, value in parts.items() if name not in {"COUNT", "UNTIL"}}
    until = until_of(parts["UNTIL"], zone) if "UNTIL" in parts else None
    most = int(parts["COUNT"]) if "COUNT" in parts else None
    try:
        line = rrulestr(";".join(f"{name}={value}" for name, value in kept.items()), dtstart=first + shift)
    except (TypeError, OverflowError, KeyError) as error:
        raise ValueError(str(error)) from error
    for number, at in enumerate(line):
        if (most is not None and number >= most) or (until is not None and at - shift > until):
            return
        yield at - shift


def until_of(text: str, zone: tzinfo | None = None) -> datetime:
    """UNTIL as a reading of the wall clock; a day counts wholly.

    Raises:
        ValueError: it is neither a day nor a time.
    """
    matched = re.fullmatch(r"(\d{8})(?:T(\d{6})(Z?))?", text)
    if matched is None:
        raise ValueError(f"UNTIL={text}")
    if matched[2] is None:
        return datetime.strptime(matched[1], "%Y%m%d") + timedelta(days=1, seconds=-1)  # noqa: DTZ007  (a reading)
    said = datetime.strptime(matched[1] + matched[2], "%Y%m%d%H%M%S")  # noqa: DTZ007  (a reading)
    if matched[3] and zone is not None:
        return said.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
    return said
