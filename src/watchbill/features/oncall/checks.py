"""What is about to go wrong with a rota, decided from what is planned. Pure: no clock, no database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from watchbill.features.oncall.absence import TimeOff, overlaps
from watchbill.features.oncall.model import PRIMARY, Override, Rest, Shift, TeamRotation
from watchbill.kernel.durations import rough_duration
from watchbill.kernel.errors import Problem

LEAST_MEMBERS = 3
"""Fewer than three people cannot share nights and holidays (playbook)."""
LEAST_AROUND_THE_CLOCK = 8
"""For one site that answers around the clock (Google, Site Reliability Engineering, chapter 11)."""
LEAST_A_SITE = 6
"""For each of two or more sites that follow the sun (the same chapter)."""
NIGHT_ENDS = time(6)
_MOST_OF_A_KIND = 5


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What one team's checks look at: its schedule, what is planned of each slot, and its people.

    ``reachable`` have a way to be reached, ``verified`` one that has proved itself; ``free_days`` are each person's
    own public holidays.
    """

    rotation: TeamRotation
    zone: str
    shifts: Mapping[str, Sequence[Shift]]
    gaps: Mapping[str, Sequence[tuple[datetime, datetime]]]
    overrides: Sequence[Override]
    away: frozenset[UUID]
    logins: Mapping[UUID, str]
    reachable: frozenset[UUID]
    verified: frozenset[UUID]
    time_off: Mapping[UUID, Sequence[TimeOff]]
    free_days: Mapping[UUID, Mapping[date, str]]

    @property
    def members(self) -> tuple[UUID, ...]:
        """Everybody who takes turns; shadows do not."""
        if not self.rotation.layers:
            return self.rotation.members
        crews = (crew for layer in self.rotation.layers if not layer.shadow for crew in layer.crews)
        return tuple(dict.fromkeys(person for crew in crews for person in crew))

    def name(self, person_id: UUID) -> str:
        return self.logins.get(person_id, "somebody unknown")

    def when(self, instant: datetime) -> str:
        return f"{instant.astimezone(ZoneInfo(self.zone)):%a %d %b %H:%M %Z}"


def warnings(facts: Facts) -> list[Problem]:
    """What needs a person before it hurts, gaps apart."""
    return [
        *_members(facts),
        *_overlaps(facts),
        *_conflicts(facts),
        *_rest(facts),
    ]


def gaps(facts: Facts) -> list[Problem]:
    """Time in which nobody holds a slot."""
    found: list[Problem] = []
    for slot, holes in facts.gaps.items():
        of_slot = "" if slot == PRIMARY else f" in the slot '{slot}'"
        for start, end in holes[:_MOST_OF_A_KIND]:
            message = f"nobody is on call{of_slot} from {facts.when(start)} to {facts.when(end)}"
            found.append(_warn("oncall_gap", message, "add members, a layer or an override", "spec.onCall"))
        if len(holes) > _MOST_OF_A_KIND:
            more = f"and {len(holes) - _MOST_OF_A_KIND} more times{of_slot} nobody is on call"
            found.append(_warn("oncall_gap", more, "see `watchbill oncall gaps`", "spec.onCall"))
    return found


def advice(facts: Facts) -> list[Problem]:
    """What would make the rota more humane; nothing is broken."""
    found: list[Problem] = []
    rotation = facts.rotation
    present = [person for person in facts.members if person not in facts.away]
    sites = {layer.time_zone for layer in rotation.layers if not layer.shadow}
    wanted = LEAST_A_SITE * len(sites) if len(sites) > 1 else LEAST_AROUND_THE_CLOCK
    if LEAST_MEMBERS <= len(present) < wanted and not facts.gaps.get(PRIMARY):
        each = f"{LEAST_A_SITE} at each of {len(sites)} sites" if len(sites) > 1 else f"{wanted} people"
        message = f"{len(present)} people answer around the clock; {each} leave time to follow up on what happened"
        hint = "share the rota with a neighbouring team, or cover nights from another site"
        found.append(_warn("oncall_lean_rota", message, hint, "spec.members"))
    for person_id, days in facts.free_days.items():
        for shift in _mine(facts, person_id):
            hit = [(day, name) for day, name in sorted(days.items()) if _touches(shift, day, facts.zone)]
            for day, name in hit[:2]:
                message = f"{facts.name(person_id)} is on call on {day:%a %d %b}, {name}"
                found.append(_warn("oncall_on_holiday", message, "share public holidays: swap, or add a layer", "swap"))
    return found


def _touches(shift: Shift, day: date, zone: str) -> bool:
    tz = ZoneInfo(zone)
    midnight = datetime.combine(day, time(), tz)
    return shift.start_at < midnight + timedelta(days=1) and shift.end_at > midnight


def _members(facts: Facts) -> list[Problem]:
    members = facts.members
    present = [person_id for person_id in members if person_id not in facts.away]
    problems = [_size(len(present))] if len(present) < LEAST_MEMBERS else []
    for position, person_id in enumerate(members):
        login = facts.name(person_id)
        field = "spec.onCall.layers" if facts.rotation.layers else f"spec.onCall.rotation.members[{position}]"
        if person_id in facts.away:
            hint = "replace them in the rotation; until then the next member stands in"
            problems.append(_warn("oncall_member_inactive", f"{login} has left but is in the rotation", hint, field))
        elif person_id not in facts.reachable:
            hint = "add a contact method: `watchbill contact add`, or under My account"
            problems.append(_warn("oncall_member_unreachable", f"{login} cannot be reached", hint, field))
    unproved = [p for p in present if p in facts.reachable and p not in facts.verified]
    if unproved:
        names = ", ".join(facts.name(person_id) for person_id in unproved[:_MOST_OF_A_KIND])
        more = f" and {len(unproved) - _MOST_OF_A_KIND} more" if len(unproved) > _MOST_OF_A_KIND else ""
        hint = "each of them verifies a contact method on their own page; unverified ones are tried all the same"
        message = f"no way to reach {names}{more} has proved itself"
        problems.append(_warn("oncall_member_unverified", message, hint, "spec.members"))
    return problems


def _size(present: int) -> Problem:
    if present == 0:
        return _warn("oncall_empty", "nobody is in the rotation", "add members to the team", "spec.members")
    who = "one person is" if present == 1 else f"{present} people are"
    code = "oncall_single_member" if present == 1 else "oncall_small_rota"
    hint = f"add people: below {LEAST_MEMBERS} nobody can be ill or on holiday"
    return _warn(code, f"only {who} in the rotation", hint, "spec.members")


def _overlaps(facts: Facts) -> list[Problem]:
    """Overrides of one slot over the same time, of which one is not seen; swaps of different people are none."""
    line = sorted((o for o in facts.overrides if o.start_at < o.until), key=lambda o: o.start_at)
    found: list[Problem] = []
    for position, second in enumerate(line):
        for first in line[:position]:
            clash = first.until > second.start_at and first.slot == second.slot
            if clash and (first.instead_of is None) == (second.instead_of is None):
                if first.instead_of != second.instead_of:
                    continue
                message = f"two overrides overlap from {facts.when(second.start_at)}"
                found.append(
                    _warn(
                        "oncall_overrides_overlap", message, "the one made last counts; cancel the other", "overrides"
                    )
                )
                break
    return found[:_MOST_OF_A_KIND]


def _conflicts(facts: Facts) -> list[Problem]:
    """Shifts of people who are away then; and time in which all who could stand in are away as well."""
    found: list[Problem] = []
    members = [person for person in facts.members if person not in facts.away]
    for person_id, off in facts.time_off.items():
        for shift in _mine(facts, person_id):
            for start, end in overlaps(off, shift.start_at, shift.end_at):
                others = [person for person in members if person != person_id]
                free = [p for p in others if not _is_away(facts.time_off.get(p, ()), start, end)]
                span = f"from {facts.when(start)} to {facts.when(end)}"
                if free:
                    hint = f"swap or override: {', '.join(facts.name(p) for p in free[:3])} could take it"
                    message = f"{facts.name(person_id)} is away but on call {span}"
                    found.append(_warn("oncall_time_off", message, hint, "swap"))
                else:
                    message = f"{facts.name(person_id)} is on call and everybody of the rotation is away {span}"
                    hint = "somebody has to stay, or another team takes over by an override"
                    found.append(_warn("oncall_all_away", message, hint, "swap"))
    return sorted(found, key=lambda problem: problem.code != "oncall_all_away")[: 2 * _MOST_OF_A_KIND]


def _is_away(off: Sequence[TimeOff], start: datetime, end: datetime) -> bool:
    return any(each.start_at < end and each.end_at > start for each in off)


def _rest(facts: Facts) -> list[Problem]:
    found: list[Problem] = []
    rules: Rest = facts.rotation.rest
    everybody = {person for line in facts.shifts.values() for shift in line for person in shift.people}
    if len(everybody) < 2:
        return []  # alone on the rota: said already
    for person_id in sorted(everybody, key=facts.name):
        stretches = overlaps_of(_mine(facts, person_id))
        short = [
            (before[1], after[0])
            for before, after in pairwise(stretches)
            if after[0] - before[1] < timedelta(hours=rules.hours_between)
        ]
        if short:
            end, start = short[0]
            message = (
                f"{facts.name(person_id)} has {rough_duration(start - end)} of rest before {facts.when(start)}; "
                f"the team asks for {rules.hours_between}h"
            )
            found.append(_warn("oncall_rest", message, "swap one of the two shifts", "spec.onCall.rest.between"))
        run = _longest_run(_nights(stretches, facts.zone))
        if len(run) > rules.nights:
            message = (
                f"{facts.name(person_id)} is on call {len(run)} nights in a row from {run[0]:%a %d %b}; "
                f"{rules.nights} at most"
            )
            found.append(_warn("oncall_nights", message, "swap some of them", "spec.onCall.rest.nights"))
    return found


def overlaps_of(line: Iterable[Shift]) -> list[tuple[datetime, datetime]]:
    """Shifts as stretches on call: those that touch or overlap are one."""
    found: list[tuple[datetime, datetime]] = []
    for shift in sorted(line, key=lambda s: s.start_at):
        if found and shift.start_at <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], shift.end_at))
        else:
            found.append((shift.start_at, shift.end_at))
    return found


def _nights(stretches: Sequence[tuple[datetime, datetime]], zone: str) -> list[date]:
    """The days whose night (midnight to 06:00 in ``zone``) is touched, in order."""
    tz = ZoneInfo(zone)
    found: list[date] = []
    for start, end in stretches:
        day = start.astimezone(tz).date()
        while datetime.combine(day, time(), tz) < end:
            if datetime.combine(day, NIGHT_ENDS, tz) > start and (not found or found[-1] < day):
                found.append(day)
            day += timedelta(days=1)
    return found


def _longest_run(days: Sequence[date]) -> list[date]:
    longest: list[date] = []
    run: list[date] = []
    for day in days:
        run = [*run, day] if run and day - run[-1] == timedelta(days=1) else [day]
        longest = run if len(run) > len(longest) else longest
    return longest


def _mine(facts: Facts, person_id: UUID) -> list[Shift]:
    return [shift for line in facts.shifts.values() for shift in line if person_id in shift.people]


def _warn(code: str, message: str, hint: str, field: str) -> Problem:
    return Problem(code=code, message=message, field=field, hint=hint, severity="warning")
