"""Grafana OnCall's HTTP API v1: schedules, on_call_shifts, escalation chains and policies, integrations, users.

Format: https://grafana.com/docs/oncall/latest/oncall-api-reference. Of the shifts at once the highest ``level``
counts, all its users together; a shift of type ``override`` counts above all.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

from watchbill.leaving.model import (
    Cover,
    Entry,
    Found,
    Json,
    Policy,
    SourceSchedule,
    SourceService,
    Step,
    instant_of,
    login_of,
    number_of,
    refuse,
    zone_of,
)
from watchbill.leaving.reading import Dump
from watchbill.leaving.rendering import DAY, instant, possible, stand_in, turn_layer, wall

KINDS = ("schedules", "on_call_shifts", "escalation_chains", "escalation_policies", "integrations", "users", "teams")
VERSIONS = ("1", "v1")
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_UNITS = {"hourly": timedelta(hours=1), "daily": DAY, "weekly": 7 * DAY}
_MOST_REPEATS = 5


class _Shift:
    """One shift, parsed: periods of ``every`` from ``first`` (a wall time), and events of ``duration`` in them."""

    def __init__(self, raw: Json, place: str, schedule_zone: str, logins: dict[str, str]) -> None:
        self.place, self.raw = place, raw
        self.zone = zone_of(raw.get("time_zone") or schedule_zone, f"{place}/time_zone")
        started = instant_of(raw.get("start"), f"{place}/start", self.zone)
        self.start = wall(started, self.zone)
        self.duration = timedelta(seconds=number_of(raw.get("duration"), f"{place}/duration", 1))
        self.rank = int(raw.get("level") or 0)
        self.kind = str(raw.get("type"))
        groups = raw.get("rolling_users") if self.kind in ("rolling_users", "override") else [raw.get("users") or []]
        self.crews = [[self._known(user, logins) for user in group] for group in groups or ()]
        turned = number_of(raw.get("start_rotation_from_user_index") or 0, f"{place}/start_rotation_from_user_index")
        self.crews = self.crews[turned:] + self.crews[:turned]
        until = raw.get("until")
        self.until = instant_of(until, f"{place}/until", self.zone).astimezone(UTC) if until else None
        begun = raw.get("rotation_start")
        self.begun = instant_of(begun, f"{place}/rotation_start", self.zone).astimezone(UTC) if begun else None
        frequency = raw.get("frequency")
        self.interval = number_of(raw.get("interval") or 1, f"{place}/interval", 1)
        self.single = self.kind in ("single_event", "override") or frequency is None
        self.unit = _UNITS.get(str(frequency))
        if not self.single and self.unit is None and frequency != "monthly":
            raise refuse(f"{place}/frequency", f"'{frequency}' is not hourly, daily, weekly or monthly", "export again")
        by_day = [str(day).upper() for day in raw.get("by_day") or ()]
        if any(day not in _DAYS for day in by_day):
            raise refuse(f"{place}/by_day", "a day is not one of MO … SU", "export again")
        self.days = sorted({_DAYS.index(day) for day in by_day})
        week_start = str(raw.get("week_start") or "MO").upper()
        self.week_start = _DAYS.index(week_start) if week_start in _DAYS else 0

    @staticmethod
    def _known(user: object, logins: dict[str, str]) -> str:
        return logins.get(str(user)) or (f"deleted {user}" if logins else login_of(user))

    @property
    def first(self) -> datetime:
        """When the first period begins, by the clock of the zone: weeks begin on week_start."""
        if self.unit == 7 * DAY and self.days:
            return self.start - (self.start.weekday() - self.week_start) % 7 * DAY
        return self.start

    def render(self, start: datetime, end: datetime) -> list[Entry]:
        """The events of the shift, by its recurrence rule."""
        begins = instant(self.start, self.zone)
        if self.single:
            return [self._entry(0, begins, begins + self.duration)] if self.crews else []
        found: list[Entry] = []
        if self.unit is None or not self.crews:
            return found
        every = self.unit * self.interval
        where = self.zone if self.unit >= DAY else "UTC"
        first = self.first if self.unit >= DAY else wall(begins, "UTC")
        number = max((wall(start, where) - self.duration - first) // every - 1, 0)
        while instant(opens := first + number * every, where) < end:
            offsets = [(day - opens.weekday()) % 7 for day in self.days] or [0]
            if self.unit == DAY and self.days:
                offsets = [0] if opens.weekday() in self.days else []
            for offset in sorted(offsets):
                at = opens + offset * DAY
                if at >= first and instant(at, where) >= begins:
                    since = instant(at, where)
                    until = instant(at + self.duration, where)
                    found.append(self._entry(number, since, until))
            number += 1
        return [each for each in found if each.start < each.end]

    def _entry(self, number: int, start: datetime, end: datetime) -> Entry:
        low, high = max(start, self.begun or start), min(end, self.until or end)
        return Entry(rank=self.rank, start=low, end=high, people=frozenset(self.crews[number % len(self.crews)]))

    def layer(self) -> tuple[Json, list[str]]:
        """The layer of a manifest, and what it cannot say."""
        crews = [[user for user in crew if not user.startswith("deleted ")] for crew in self.crews]
        lost = [f"a turn of {self.crews[at]} has nobody here; the next takes it" for at, c in enumerate(crews) if not c]
        members = stand_in(crews)
        name = str(self.raw.get("name") or self.raw.get("id") or "shift")
        begins = instant(self.start, self.zone)
        begin, until = max(begins, self.begun or begins), self.until
        if not members:
            return {}, [*lost, "the shift has nobody; it is left out"]
        if self.single:
            until = begins + self.duration
            begin = max(begin, begins)
            layer, more = turn_layer(
                name, members=members[:1], first=begins, length=DAY, zone=self.zone, begin=begin, until=until
            )
            return layer, lost + more
        if self.unit is None:
            return {}, [*lost, "monthly shifts cannot be said with their duration; the shift is left out"]
        every = self.unit * self.interval
        if not possible(every) or (until is not None and until <= begin):
            return {}, [*lost, "the shift has no time, or turns that cannot be said; it is left out"]
        second = self.start.hour * 3600 + self.start.minute * 60 + self.start.second
        length = int(self.duration.total_seconds())
        days = self.days or (range(7) if self.unit == DAY else [self.start.weekday()])
        windows = [(day, second, length) for day in days] if self.duration < every or self.days else []
        if windows and (self.unit < DAY or (self.interval > 1 and len(self.crews) >= 1)):
            return {}, [*lost, "pauses between turns of several days or of hours cannot be said; the shift is left out"]
        if self.duration > every:
            lost.append("events that overlap the next one are cut at the turn")
        layer, more = turn_layer(
            name,
            members=members,
            first=instant(self.first, self.zone),
            length=every,
            zone=self.zone,
            begin=begin,
            until=until,
            windows=windows,
        )
        return layer, lost + more


def take(dump: Dump, found: Found) -> None:
    """Convert what was read. Raises `Invalid` with the place of what cannot be understood."""
    logins: dict[str, str] = {}
    for _, raw in dump.items["users"]:
        login = logins[str(raw.get("id"))] = login_of(raw.get("email"), raw.get("username"), raw.get("id"))
        if raw.get("email"):
            found.contacts.append((login, "email", str(raw["email"])))
    shifts = {str(raw.get("id")): (place, raw) for place, raw in dump.items["on_call_shifts"]}
    used: set[str] = set()
    for place, raw in dump.items["schedules"]:
        found.schedules.append(_schedule(place, raw, shifts, logins, found))
        used |= {str(each) for each in raw.get("shifts") or ()}
    for key in shifts.keys() - used:
        found.note(shifts[key][0], "no schedule has this shift")
    for place, raw in dump.items["teams"]:
        found.note(place, f"the team '{raw.get('name')}' only groups; teams here come from chains and their people")
    by_chain: dict[str, list[tuple[str, Json]]] = {}
    for place, raw in dump.items["escalation_policies"]:
        by_chain.setdefault(str(raw.get("escalation_chain_id")), []).append((place, raw))
    for place, raw in dump.items["escalation_chains"]:
        listed = sorted(by_chain.pop(str(raw.get("id")), []), key=lambda each: each[1].get("position") or 0)
        found.policies.append(_policy(place, raw, listed, logins, found))
    for orphans in by_chain.values():
        found.note(orphans[0][0], "the escalation chain of this step is missing")
    for place, raw in dump.items["integrations"]:
        chain = str((raw.get("default_route") or {}).get("escalation_chain_id") or "")
        found.services.append(SourceService(name=str(raw.get("name", "")), place=place, policy=chain))


def _schedule(
    place: str, raw: Json, shifts: dict[str, tuple[str, Json]], logins: dict[str, str], found: Found
) -> SourceSchedule:
    zone = zone_of(raw.get("time_zone"), f"{place}/time_zone")
    key, name = str(raw.get("id")), str(raw.get("name") or raw.get("id"))
    reasons: list[str] = []
    parsed: list[_Shift] = []
    covers: list[Cover] = []

    def lose(where: str, reason: str) -> None:
        found.note(where, reason)
        reasons.append(f"{where}: {reason}")

    for field in ("ical_url_primary", "ical_url_overrides"):
        if raw.get(field):
            lose(f"{place}/{field}", "a calendar elsewhere is not in the export; import it as layers by hand")
    for each in raw.get("shifts") or ():
        if str(each) not in shifts:
            lose(place, f"the shift {each} is missing in the export")
            continue
        shift = _Shift(shifts[str(each)][1], shifts[str(each)][0], zone, logins)
        if shift.kind != "override":
            parsed.append(shift)
            continue
        begins = instant(shift.start, shift.zone)
        people = [user for crew in shift.crews for user in crew]
        if not people or people[0].startswith("deleted ") or len(people) > 1:
            lose(shift.place, "an override is by one person here; of several the first, of somebody gone nobody")
        if people and not people[0].startswith("deleted "):
            covers.append(Cover(person=people[0], start=begins, end=begins + shift.duration))
    layers: list[Json] = []
    rank: int | None = None
    for shift in sorted(parsed, key=lambda each: -each.rank):
        layer, lost = shift.layer()
        for reason in lost:
            lose(shift.place, reason)
        if layer:
            layers.append({**layer, "alongside": True} if rank == shift.rank else layer)
            rank = shift.rank
    return SourceSchedule(
        key=key,
        name=name,
        zone=zone,
        place=place,
        layers=layers,
        render=_renderer(parsed, covers),
        covers=covers,
        reasons=reasons,
    )


def _renderer(shifts: list[_Shift], covers: list[Cover]) -> Callable[[datetime, datetime], list[Entry]]:
    above = max((shift.rank for shift in shifts), default=0) + 1

    def render(start: datetime, end: datetime) -> list[Entry]:
        found = [entry for shift in shifts for entry in shift.render(start, end)]
        for at, each in enumerate(covers):
            found.append(Entry(rank=above + at, start=each.start, end=each.end, people=frozenset({each.person})))
        return found

    return render


def _policy(place: str, raw: Json, listed: list[tuple[str, Json]], logins: dict[str, str], found: Found) -> Policy:
    steps: list[Step] = []
    loops = 0
    during: tuple[str, str, str] | None = None
    for here, each in listed:
        kind = str(each.get("type"))
        people = [logins.get(str(user)) for user in each.get("persons_to_notify") or ()]
        notify = tuple(f"person:{login}" for login in people if login)
        if kind == "wait" and steps:
            seconds = number_of(each.get("duration"), f"{here}/duration", 1)
            steps[-1] = Step(notify=steps[-1].notify, wait_seconds=seconds, during=steps[-1].during)
        elif kind == "notify_on_call_from_schedule":
            target = f"schedule:{each.get('notify_on_call_from_schedule')}"
            steps.append(Step(notify=(target,), wait_seconds=10, during=during))
        elif kind == "notify_persons" and notify:
            steps.append(Step(notify=notify, wait_seconds=10, during=during))
        elif kind == "notify_team_members":
            steps.append(Step(notify=("team",), wait_seconds=10, during=during))
        elif kind == "notify_if_time_from_to":
            since, until = (str(each.get(k, ""))[:5] for k in ("notify_if_time_from", "notify_if_time_to"))
            _clock(since, here)
            _clock(until, here)
            during = since, until, "UTC"
            found.note(here, "at other times the steps below are skipped here; there the escalation stops")
        elif kind == "repeat_escalation":
            loops = _MOST_REPEATS
        else:
            found.note(here, f"a step '{kind}' cannot be carried over, or names nobody who is known")
    key = str(raw.get("id"))
    return Policy(key=key, name=str(raw.get("name") or key), place=place, steps=tuple(steps), loops=loops)


def _clock(text: str, place: str) -> None:
    try:
        time.fromisoformat(text)
    except ValueError:
        raise refuse(place, f"'{text}' is not a time", "08:00:00Z") from None
