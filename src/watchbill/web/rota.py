"""A rota as a calendar strip: weeks in the reader's zone, each shift where it falls in percent of its week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from watchbill.features.identity import Person
from watchbill.features.oncall import Shift
from watchbill.web.view import day_name, hue, name_of

WEEKS = 4
_BY_HAND = frozenset({"override", "swap", "taken"})


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Part of one shift (or gap) in one week; ``left`` and ``width`` are percents of the week."""

    left: float
    width: float
    kind: str
    label: str
    hue: str
    start_at: datetime
    end_at: datetime
    note: str


class Week(msgspec.Struct, frozen=True, kw_only=True):
    """Seven days. ``now`` is where the present falls, in percent, or None."""

    label: str
    start_at: datetime
    end_at: datetime
    days: list[tuple[float, str]]
    pieces: list[Piece]
    now: float | None


def strip(
    shifts: Sequence[Shift],
    gaps: Sequence[tuple[datetime, datetime]],
    people: Mapping[UUID | None, Person],
    *,
    now: datetime,
    zone: ZoneInfo,
    weeks: int = WEEKS,
) -> list[Week]:
    """Weeks, the first beginning on the Monday of this week. A day of 23 or 25 hours has its true width."""
    today = now.astimezone(zone).date()
    monday = today - timedelta(days=today.weekday())
    return [_week(monday + timedelta(weeks=i), shifts, gaps, people=people, now=now, zone=zone) for i in range(weeks)]


def first_instant(now: datetime, zone: ZoneInfo) -> datetime:
    """When the strip begins."""
    today = now.astimezone(zone).date()
    return _midnight(today - timedelta(days=today.weekday()), zone)


def last_instant(now: datetime, zone: ZoneInfo) -> datetime:
    """When it ends."""
    today = now.astimezone(zone).date()
    return _midnight(today - timedelta(days=today.weekday()) + timedelta(weeks=WEEKS), zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(ZoneInfo("UTC"))


def _week(
    monday: date,
    shifts: Sequence[Shift],
    gaps: Sequence[tuple[datetime, datetime]],
    *,
    people: Mapping[UUID | None, Person],
    now: datetime,
    zone: ZoneInfo,
) -> Week:
    start, end = _midnight(monday, zone), _midnight(monday + timedelta(days=7), zone)

    def place(instant: datetime) -> float:
        inside = min(max(instant, start), end)
        return round(100 * (inside - start) / (end - start), 3)

    def piece(begin: datetime, stop: datetime, *, kind: str, label: str, colour: str = "", note: str = "") -> Piece:
        left = place(begin)
        width = round(place(stop) - left, 3)
        return Piece(left=left, width=width, kind=kind, label=label, hue=colour, start_at=begin, end_at=stop, note=note)

    pieces = [
        piece(
            s.start_at,
            s.end_at,
            kind="override" if s.reason in _BY_HAND else s.reason,
            label=" + ".join(name_of(people.get(person_id)) for person_id in s.people),
            colour=hue(s.person_id),
            note=s.note,
        )
        for s in shifts
        if s.start_at < end and s.end_at > start
    ]
    pieces += [piece(a, b, kind="gap", label="Nobody") for a, b in gaps if a < end and b > start]
    days = [monday + timedelta(days=i) for i in range(7)]
    return Week(
        start_at=start,
        end_at=end,
        label=f"{day_name(monday)} – {day_name(days[-1])}",
        days=[(place(_midnight(day, zone)), f"{day:%a} {day.day}") for day in days],
        pieces=[p for p in pieces if p.width > 0],
        now=place(now) if start <= now < end else None,
    )
