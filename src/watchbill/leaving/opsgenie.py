"""Opsgenie's REST API v2: schedules with rotations, overrides, escalations, teams, users, services.

Format: https://docs.opsgenie.com/docs/schedule-api, -schedule-rotation-api, -schedule-override-api, -escalation-api.
All rotations of a schedule are on call at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

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
from watchbill.leaving.rendering import cut, possible, stand_in, turn_layer, turns, weekly

KINDS = ("schedules", "overrides", "escalations", "teams", "users", "services")
VERSIONS = ("2", "v2")
_UNITS = {"hourly": timedelta(hours=1), "daily": timedelta(days=1), "weekly": timedelta(days=7)}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SECONDS = {"minutes": 60, "hours": 3600, "days": 86_400}
_Rotation = tuple[list[list[str]], datetime, timedelta, datetime | None, list[tuple[int, int, int]]]


class _Book:
    """Who and what the export names."""

    def __init__(self, dump: Dump, found: Found) -> None:
        self.logins: dict[str, str] = {}
        for place, raw in dump.items["users"]:
            login = login_of(raw.get("username"), raw.get("fullName"), raw.get("id"))
            self.logins |= {str(raw.get(key)): login for key in ("id", "username") if raw.get(key)}
            for at, method in enumerate(raw.get("userContacts") or raw.get("contacts") or ()):
                channel = str(method.get("contactMethod") or method.get("method"))
                if channel in ("email", "sms", "voice") and method.get("to"):
                    address = str(method["to"])
                    address = address if channel == "email" else "+" + address.lstrip("+").replace("-", "")
                    found.contacts.append((login, channel, address))
                else:
                    found.note(f"{place}/contacts/{at}", f"a contact by {channel} cannot be carried over")
        self.teams: dict[str, list[str]] = {}
        for _, raw in dump.items["teams"]:
            people = [who for each in raw.get("members") or () if (who := self.person(each.get("user") or {}))]
            self.teams |= {str(raw.get(key)): people for key in ("id", "name") if raw.get(key)}

    def person(self, raw: Json) -> str | None:
        """The login of a user reference; None for one who is gone."""
        known = self.logins.get(str(raw.get("id"))) or self.logins.get(str(raw.get("username")))
        return known if known or self.logins else login_of(raw.get("username"), raw.get("id"))


def take(dump: Dump, found: Found) -> None:
    """Convert what was read. Raises `Invalid` with the place of what cannot be understood."""
    _no_cycle(dump)
    book = _Book(dump, found)
    for place, raw in dump.items["schedules"]:
        found.schedules.append(_schedule(place, raw, book, dump, found))
    owners: dict[str, str] = {}
    for place, raw in dump.items["escalations"]:
        policy = _policy(place, raw, book, found)
        found.policies.append(policy)
        owners.setdefault(str((raw.get("ownerTeam") or {}).get("id", "")), policy.key)
    for place, raw in dump.items["services"]:
        policy_key = owners.get(str(raw.get("teamId", "")), "")
        found.services.append(SourceService(name=str(raw.get("name", "")), place=place, policy=policy_key))


def _no_cycle(dump: Dump) -> None:
    """Schedules whose participants are escalations that ask the schedule again. Raises `Invalid`."""
    asks: dict[str, tuple[str, list[str]]] = {}
    for place, raw in dump.items["schedules"]:
        rotations = raw.get("rotations") or ()
        wanted = [str(each.get("id")) for turn in rotations for each in turn.get("participants") or ()]
        asks[str(raw.get("id"))] = place, wanted
    for place, raw in dump.items["escalations"]:
        wanted = [str((rule.get("recipient") or {}).get("id")) for rule in raw.get("rules") or ()]
        asks[str(raw.get("id"))] = place, wanted
    for origin, (place, _) in asks.items():
        seen: set[str] = set()
        waiting = [origin]
        while waiting:
            for name in asks.get(waiting.pop(), ("", []))[1]:
                if name == origin:
                    raise refuse(place, "it asks itself again, by way of those it names", "break the circle and export")
                if name not in seen:
                    seen.add(name)
                    waiting.append(name)


def _schedule(place: str, raw: Json, book: _Book, dump: Dump, found: Found) -> SourceSchedule:
    zone = zone_of(raw.get("timezone"), f"{place}/timezone")
    key, name = str(raw.get("id") or raw.get("name")), str(raw.get("name") or raw.get("id"))
    layers: list[Json] = []
    rotations: list[_Rotation] = []
    reasons: list[str] = []
    if raw.get("enabled") is False:
        found.note(place, f"the schedule '{name}' is switched off; it is carried over as if it were on")
    for at, each in enumerate(raw.get("rotations") or ()):
        here = f"{place}/rotations/{at}"
        layer, lost = _rotation(each, here, zone, book, rotations)
        for reason in lost:
            found.note(here, reason)
        reasons += [f"{here}: {reason}" for reason in lost]
        if layer:
            layers.append({**layer, "alongside": True} if layers else layer)
    covers: list[Cover] = []
    inside = [(f"{place}/overrides/{at}", each) for at, each in enumerate(raw.get("overrides") or ())]
    beside = [
        (where, each)
        for where, each in dump.items["overrides"]
        if str((each.get("_parent") or each.get("parent") or each.get("schedule") or {}).get("id")) == key
    ]
    for where, each in inside + beside:
        person = book.person(each.get("user") or {})
        if person is None:
            found.note(where, "the override is by somebody who is gone, or not by a user")
            continue
        start, end = (instant_of(each.get(k), f"{where}/{k}").astimezone(UTC) for k in ("startDate", "endDate"))
        if end <= start:
            raise refuse(f"{where}/endDate", "the override ends before it starts", "export again")
        if each.get("rotations"):
            found.note(where, "an override of some rotations covers all of them here")
            reasons.append(f"{where}: an override of some rotations covers all of them here")
        covers.append(Cover(person=person, start=start, end=end))
    return SourceSchedule(
        key=key,
        name=name,
        zone=zone,
        place=place,
        layers=layers,
        render=_renderer(rotations, covers, zone),
        covers=covers,
        reasons=reasons,
    )


def _rotation(raw: Json, place: str, zone: str, book: _Book, rotations: list[_Rotation]) -> tuple[Json, list[str]]:
    unit = _UNITS.get(str(raw.get("type")))
    if unit is None:
        raise refuse(f"{place}/type", f"'{raw.get('type')}' is not hourly, daily or weekly", "export again")
    length = unit * number_of(raw.get("length", 1), f"{place}/length", 1)
    first = instant_of(raw.get("startDate"), f"{place}/startDate", zone)
    until = instant_of(raw["endDate"], f"{place}/endDate", zone) if raw.get("endDate") else None
    windows = _windows(raw.get("timeRestriction"), f"{place}/timeRestriction")
    lost: list[str] = []
    crews: list[list[str]] = []
    shown: list[list[str]] = []
    for each in raw.get("participants") or ():
        crew, who = _participant(each, book)
        crews.append(crew)
        shown.append(who)
        if not crew:
            lost.append(f"a turn of {each.get('type')} {each.get('id', '')} has nobody here; the next takes it")
    rotations.append((shown, first, length, until, windows))
    members = stand_in(crews)
    if not members:
        return {}, [*lost, "the rotation has nobody; it is left out"]
    if not possible(length):
        return {}, [*lost, "turns of this length cannot be said; the rotation is left out"]
    if until is not None and until <= first:
        return {}, [*lost, "the rotation ends before it starts; it is left out"]
    name = str(raw.get("name") or raw.get("id") or "rotation")
    layer, more = turn_layer(
        name, members=members, first=first, length=length, zone=zone, begin=first, until=until, windows=windows
    )
    return layer, lost + more


def _participant(raw: Json, book: _Book) -> tuple[list[str], list[str]]:
    """(who can take the turn here, whom the source has on call)."""
    kind = raw.get("type")
    if kind == "user":
        login = book.person(raw)
        return ([login], [login]) if login else ([], [f"deleted {raw.get('id') or raw.get('username')}"])
    if kind == "team":
        people = book.teams.get(str(raw.get("id"))) or book.teams.get(str(raw.get("name"))) or []
        return people, people
    return [], ([] if kind == "none" else [f"{kind} {raw.get('id')}"])


def _windows(raw: Json | None, place: str) -> list[tuple[int, int, int]]:
    if not raw:
        return []
    if raw.get("type") == "time-of-day":
        each = raw.get("restriction") or {}
        begin, end = _time(each, "start", place), _time(each, "end", place)
        return [(day, begin, (end - begin) % 86_400 or 86_400) for day in range(7)]
    if raw.get("type") != "weekday-and-time-of-day":
        raise refuse(
            f"{place}/type", f"'{raw.get('type')}' is not a restriction", "time-of-day or weekday-and-time-of-day"
        )
    found: list[tuple[int, int, int]] = []
    for at, each in enumerate(raw.get("restrictions") or ()):
        here = f"{place}/restrictions/{at}"
        days = [str(each.get(key)).lower() for key in ("startDay", "endDay")]
        if any(day not in _DAYS for day in days):
            raise refuse(here, "startDay or endDay is not a weekday", "monday … sunday")
        first, last = (_DAYS.index(day) for day in days)
        begin, end = _time(each, "start", here), _time(each, "end", here)
        length = ((last - first) * 86_400 + end - begin) % 604_800 or 604_800
        found.append((first, begin, length))
    return found


def _time(raw: Json, edge: str, place: str) -> int:
    hour = number_of(raw.get(f"{edge}Hour"), f"{place}/{edge}Hour")
    minute = number_of(raw.get(f"{edge}Min", 0), f"{place}/{edge}Min")
    if hour > 24 or minute > 59:
        raise refuse(f"{place}/{edge}Hour", f"{hour}:{minute} is not a time", "0:00 to 24:00")
    return hour * 3600 + minute * 60


def _renderer(
    rotations: list[_Rotation], covers: list[Cover], zone: str
) -> Callable[[datetime, datetime], list[Entry]]:
    """Opsgenie: everybody of every rotation at once; an override replaces them, the one made last first."""

    def render(start: datetime, end: datetime) -> list[Entry]:
        found: list[Entry] = []
        for crews, first, length, until, windows in rotations:
            allowed = weekly(windows, zone, start, end) if windows else None
            low, high = max(start, first), min(end, until) if until else end
            for number, begins, ends in turns(first, length, zone, low, high) if crews and low < high else ():
                for opens, closes in cut(max(begins, low), min(ends, high), allowed):
                    who = frozenset(crews[number % len(crews)])
                    found.append(Entry(rank=0, start=opens, end=closes, people=who))
        for at, each in enumerate(covers):
            found.append(Entry(rank=1 + at, start=each.start, end=each.end, people=frozenset({each.person})))
        return found

    return render


def _policy(place: str, raw: Json, book: _Book, found: Found) -> Policy:
    key = str(raw.get("id") or raw.get("name"))
    steps: dict[int, list[str]] = {}
    for at, rule in enumerate(raw.get("rules") or ()):
        here = f"{place}/rules/{at}"
        delay = rule.get("delay") or {}
        unit = _SECONDS.get(str(delay.get("timeUnit", "minutes")).lower(), 60)
        seconds = unit * number_of(delay.get("timeAmount", 0), f"{here}/delay/timeAmount")
        if rule.get("condition", "if-not-acked") != "if-not-acked":
            found.note(here, f"the condition {rule['condition']} becomes: if not acknowledged")
        if rule.get("notifyType", "default") not in ("default", "all", "users"):
            found.note(here, f"the notifyType {rule['notifyType']} becomes: whoever is on call or named")
        recipient = rule.get("recipient") or {}
        kind, login = recipient.get("type"), book.person(recipient)
        to = steps.setdefault(seconds, [])
        if kind == "schedule":
            to.append(f"schedule:{recipient.get('id') or recipient.get('name')}")
        elif kind == "user" and login:
            to.append(f"person:{login}")
        elif kind == "team":
            to += [f"person:{each}" for each in book.teams.get(str(recipient.get("id")), [])]
        else:
            found.note(here, f"the recipient {recipient.get('id')} ({kind}) is gone or not known")
    delays = sorted(steps)
    if delays and delays[0]:
        found.note(place, f"the first step waits {delays[0]} s there; here it is taken at once")
    waits = [later - now for now, later in itertools.pairwise(delays)]
    repeat = raw.get("repeat") or {}
    last = 60 * number_of(repeat.get("waitInterval") or 5, f"{place}/repeat/waitInterval")
    made = [Step(notify=tuple(steps[at]), wait_seconds=w) for at, w in zip(delays, [*waits, last], strict=False)]
    loops = number_of(repeat.get("count") or 0, f"{place}/repeat/count")
    return Policy(key=key, name=str(raw.get("name") or key), place=place, steps=tuple(made), loops=loops)
