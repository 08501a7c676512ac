"""Who is on call by the source's own rules, and by ours on the converted manifest: every minute, in ranges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import msgspec

from watchbill.features import oncall
from watchbill.leaving.model import Entry, Imported, Json, Pair

MINUTE = timedelta(minutes=1)
_SPACE = UUID(int=0)
Segment = tuple[int, int, frozenset[str]]
"""From a minute until before another (counted from the start), who."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """In these minutes the two do not say the same, and why as far as is known."""

    schedule: str
    team: str
    slot: str
    start_at: datetime
    end_at: datetime
    minutes: int
    source: list[str]
    watchbill: list[str]
    reason: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """``minutes`` were compared, schedule by schedule."""

    minutes: int
    differences: list[Difference]


def compare(imported: Imported, start: datetime, *, days: int = 90) -> Comparison:
    """Compare ``days`` from ``start`` (aware; cut to its minute)."""
    start = start.astimezone(UTC).replace(second=0, microsecond=0)
    total = days * 1440
    specs = {team["metadata"]["name"]: team["spec"] for team in imported.teams}
    found = [each for pair in imported.pairs for each in _pair(pair, specs[pair.team], start, total)]
    return Comparison(minutes=total * len(imported.pairs), differences=found)


def _pair(pair: Pair, spec: Json, start: datetime, total: int) -> Iterator[Difference]:
    theirs = source_minutes(pair, start, total)
    ours = our_minutes(pair, spec, start, total)
    for begins, ends, source, here in _apart(theirs, ours):
        since, until = start + begins * MINUTE, start + ends * MINUTE
        yield Difference(
            schedule=pair.schedule.name,
            team=pair.team,
            slot=pair.slot,
            start_at=since,
            end_at=until,
            minutes=ends - begins,
            source=sorted(source),
            watchbill=sorted(here),
            reason=_reason(pair, since, until),
        )


def _apart(theirs: list[Segment], ours: list[Segment]) -> list[tuple[int, int, frozenset[str], frozenset[str]]]:
    found: list[tuple[int, int, frozenset[str], frozenset[str]]] = []
    left = right = 0
    while left < len(theirs) and right < len(ours):
        begins, ends = max(theirs[left][0], ours[right][0]), min(theirs[left][1], ours[right][1])
        source, here = theirs[left][2], ours[right][2]
        if begins < ends and source != here:
            if found and found[-1][1] == begins and found[-1][2:] == (source, here):
                found[-1] = (found[-1][0], ends, source, here)
            else:
                found.append((begins, ends, source, here))
        done = ends
        left += theirs[left][1] == done
        right += ours[right][1] == done
    return found


def source_minutes(pair: Pair, start: datetime, total: int) -> list[Segment]:
    """The source's answer: what the export rendered where it did, else its rules."""
    schedule = pair.schedule
    end = start + total * MINUTE
    entries = schedule.render(start, end)
    if schedule.rendered is not None and schedule.rendered_within is not None:
        low, high = schedule.rendered_within
        entries = [part for each in entries for part in _outside(each, low, high)] + schedule.rendered
    return _flat(entries, start, total)


def _outside(entry: Entry, low: datetime, high: datetime) -> Iterator[Entry]:
    if entry.start < low:
        yield msgspec.structs.replace(entry, end=min(entry.end, low))
    if entry.end > high:
        yield msgspec.structs.replace(entry, start=max(entry.start, high))


def _flat(entries: Iterable[Entry], start: datetime, total: int) -> list[Segment]:
    """At each minute, all people of the highest rank that has somebody."""
    changes: dict[int, list[tuple[bool, int, Entry]]] = {0: [], total: []}
    for number, entry in enumerate(entries):
        begins, ends = (min(max(-((start - at) // MINUTE), 0), total) for at in (entry.start, entry.end))
        if begins < ends and entry.people:
            changes.setdefault(begins, []).append((True, number, entry))
            changes.setdefault(ends, []).append((False, number, entry))
    points = sorted(changes)
    active: dict[int, Entry] = {}
    found: list[Segment] = []
    for at, until in pairwise(points):
        for opens, number, entry in changes[at]:
            if opens:
                active[number] = entry
            else:
                active.pop(number, None)
        top = max((entry.rank for entry in active.values()), default=0)
        who = frozenset(person for entry in active.values() if entry.rank == top for person in entry.people)
        found.append((at, until, who))
    return found


def our_minutes(pair: Pair, spec: Json, start: datetime, total: int) -> list[Segment]:
    """The answer of the schedule that Watchbill would run by the converted manifest and its overrides."""
    members: list[str] = spec["members"]
    ids = {login: uuid5(_SPACE, login) for login in members}
    logins = {person: login for login, person in ids.items()}
    rotation = oncall.parse_rotation(spec.get("onCall"), members, spec["timeZone"]).for_team(_SPACE, ids)
    overrides = [
        oncall.Override(
            id=UUID(int=number),
            team_id=_SPACE,
            person_id=ids[cover.person],
            start_at=cover.start,
            end_at=cover.end,
            reason="",
            created_by="",
            created_at=start + number * MINUTE,
            slot=pair.slot,
        )
        for number, cover in enumerate(pair.schedule.covers)
    ]
    who = oncall.calculator(rotation, overrides=overrides).slot(pair.slot)
    found: list[Segment] = []
    for span in oncall.spans(who, start, start + total * MINUTE):
        begins, ends = (min(max(-((start - at) // MINUTE), 0), total) for at in (span.start_at, span.end_at))
        if begins < ends:
            found.append((begins, ends, frozenset(logins[person] for person in span.people)))
    return found


def _reason(pair: Pair, since: datetime, until: datetime) -> str:
    zone = ZoneInfo(pair.schedule.zone)
    near = {(at.astimezone(zone)).utcoffset() for at in (since - timedelta(hours=3), until + timedelta(hours=3))}
    if len(near) > 1 and until - since <= timedelta(hours=3):
        return f"the clocks of {pair.schedule.zone} change: a skipped time is due here at the first time that exists"
    if pair.schedule.reasons:
        return "; ".join(dict.fromkeys(pair.schedule.reasons))
    if pair.schedule.rendered is not None:
        return "the export's final schedule says otherwise than its layers and overrides"
    return "not known; please report it with the export's schedule"
