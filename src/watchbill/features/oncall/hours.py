"""Hours of the week on a wall clock, for whoever decides by them: inside or outside, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from watchbill.features.oncall.model import FOREVER, Window
from watchbill.features.oncall.section_layers import windows_of
from watchbill.features.oncall.walls import from_us, to_us, wall_clock
from watchbill.features.oncall.windows import restriction
from watchbill.kernel.errors import Invalid, Problem


class Stretch(NamedTuple):
    """Whether an instant is inside the hours, and the first instant at which that changes (`FOREVER`: never)."""

    inside: bool
    until: datetime


def stretch_at(
    windows: Sequence[Window], *, time_zone: str, at: datetime, without: frozenset[date] = frozenset()
) -> Stretch:
    """The stretch around ``at``. Windows that start on a day of ``without`` do not count; no windows is always.

    Hours that a clock skips begin at the first valid instant; those that come twice count once (`walls`).
    """
    clock = wall_clock(time_zone)
    rule = restriction(tuple(windows), "never" if without else "", without)
    inside, _, end = rule.piece(clock.reached(to_us(at)))
    until = from_us(clock.first_instant(end))
    return Stretch(inside, FOREVER if until.year > at.year + 20 else until)


def parse_hours(raw: Any, field: str) -> tuple[Window, ...]:
    """Read ``[{days, from, to}, …]`` as manifests write hours.

    Raises:
        Invalid: every problem at once, each with its path below ``field``.
    """
    problems: list[Problem] = []
    found = windows_of(raw, field, problems)
    if problems:
        raise Invalid("these hours cannot be followed", code="hours_invalid", problems=problems)
    return found
