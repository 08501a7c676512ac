"""PagerDuty's REST API v2: schedules (with ``overrides``), escalation policies, services, users.

Format: https://developer.pagerduty.com/api-reference (schedule_layers, escalation_rules, contact_methods).
"""

from __future__ import annotations

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
from watchbill.leaving.rendering import cut, possible, seconds_of, stand_in, turn_layer, turns, weekly

KINDS = ("schedules", "overrides", "escalation_policies", "services", "teams", "users")
VERSIONS = ("2", "v2", "2.0")
_CONTACTS = {"email_contact_method": "email", "phone_contact_method": "voice", "sms_contact_method": "sms"}
_Layer = tuple[list[str], datetime, timedelta, datetime, datetime | None, list[tuple[int, int, int]]]


def take(dump: Dump, found: Found) -> None:
    """Convert what was read. Raises `Invalid` with the place of what cannot be understood."""
    logins = _users(dump, found)
    for place, raw in dump.items["schedules"]:
        found.schedules.append(_schedule(place, raw, logins, dump, found))
    for place, raw in dump.items["escalation_policies"]:
        found.policies.append(_policy(place, raw, logins, found))
    for place, raw in dump.items["services"]:
        policy = str((raw.get("escalation_policy") or {}).get("id", ""))
        found.services.append(SourceService(name=str(raw.get("name", "")), place=place, policy=policy))
    for place, raw in dump.items["teams"]:
        found.note(place, f"the team '{raw.get('name')}' only groups; teams here come from policies and their people")


def _users(dump: Dump, found: Found) -> dict[str, str]:
    logins: dict[str, str] = {}
    for place, raw in dump.items["users"]:
        if raw.get("deleted_at"):
            found.note(place, f"the user '{raw.get('name')}' is deleted")
            continue
        login = logins[str(raw.get("id"))] = login_of(raw.get("email"), raw.get("name"), raw.get("id"))
        for at, method in enumerate(raw.get("contact_methods") or ()):
            channel = _CONTACTS.get(str(method.get("type", "")).removesuffix("_reference"))
            if channel is None or not method.get("address"):
                found.note(f"{place}/contact_methods/{at}", f"a {method.get('type')} cannot be carried over")
                continue
            address = str(method["address"])
            if channel != "email":
                address = f"+{method.get('country_code', 1)}{address}"
            found.contacts.append((login, channel, address))
    return logins


def _person(raw: Json, logins: dict[str, str]) -> str | None:
    user = raw.get("user") or raw
    if user.get("deleted_at"):
        return None
    known = logins.get(str(user.get("id")))
    return known if known or logins else login_of(user.get("email"), user.get("summary"), user.get("id"))


def _schedule(place: str, raw: Json, logins: dict[str, str], dump: Dump, found: Found) -> SourceSchedule:
    zone = zone_of(raw.get("time_zone"), f"{place}/time_zone")
    key, name = str(raw.get("id", "")), str(raw.get("name") or raw.get("summary") or raw.get("id"))
    layers: list[Json] = []
    parsed: list[_Layer] = []
    reasons: list[str] = []
    if not isinstance(raw.get("schedule_layers"), list):
        raise refuse(
            f"{place}/schedule_layers", "the schedule has no layers", "export it with include[]=schedule_layers"
        )
    for at, each in enumerate(raw["schedule_layers"]):
        here = f"{place}/schedule_layers/{at}"
        layer, lost = _layer(each, here, zone, logins, parsed)
        for reason in lost:
            found.note(here, reason)
        reasons.extend(f"{here}: {reason}" for reason in lost)
        layers.append(layer)
    covers = [
        cover
        for at, each in enumerate(raw.get("overrides") or ())
        if (cover := _cover(each, f"{place}/overrides/{at}", logins, found))
    ]
    for where, each in dump.items["overrides"]:
        if str((each.get("schedule") or {}).get("id")) == key and (cover := _cover(each, where, logins, found)):
            covers.append(cover)
    rendered, within = _rendered(raw, place, logins)
    first_wins = False
    if rendered and within and len(parsed) > 1:
        last, first = (_renderer(order, covers, zone) for order in (parsed, parsed[::-1]))
        first_wins = _apart(first(*within), rendered) < _apart(last(*within), rendered)
        if first_wins:
            found.note(
                place, "the export lists its layers from the top down, as its final schedule shows; so they are read"
            )
    winners = layers if first_wins else layers[::-1]
    return SourceSchedule(
        key=key,
        name=name,
        zone=zone,
        place=place,
        layers=[layer for layer in winners if layer],
        render=_renderer(parsed[::-1] if first_wins else parsed, covers, zone),
        covers=covers,
        rendered=rendered,
        rendered_within=within,
        reasons=reasons,
    )


def _apart(ours: list[Entry], theirs: list[Entry]) -> int:
    """Minutes of the final schedule, sampled at the middle of its entries, in which somebody else is on call."""
    apart = 0
    for entry in theirs:
        middle = entry.start + (entry.end - entry.start) / 2
        held = max((each for each in ours if each.start <= middle < each.end), key=lambda each: each.rank, default=None)
        if held is None or held.people != entry.people:
            apart += int((entry.end - entry.start).total_seconds()) // 60
    return apart


def _layer(raw: Json, place: str, zone: str, logins: dict[str, str], parsed: list[_Layer]) -> tuple[Json, list[str]]:
    lost: list[str] = []
    seconds = number_of(raw.get("rotation_turn_length_seconds"), f"{place}/rotation_turn_length_seconds", 1)
    length = timedelta(seconds=seconds)
    begin = instant_of(raw.get("start"), f"{place}/start", zone)
    first = instant_of(raw.get("rotation_virtual_start") or raw.get("start"), f"{place}/rotation_virtual_start", zone)
    until = instant_of(raw["end"], f"{place}/end", zone) if raw.get("end") else None
    windows = [
        window
        for at, each in enumerate(raw.get("restrictions") or ())
        for window in _windows(each, f"{place}/restrictions/{at}")
    ]
    crews: list[list[str]] = []
    people: list[str] = []
    for user in raw.get("users") or ():
        login = _person(user, logins)
        crews.append([login] if login else [])
        people.append(login or f"deleted {(user.get('user') or user).get('id')}")
        if not login:
            lost.append(f"the user {people[-1]} is gone; whoever comes next takes those turns")
    parsed.append((people, first, length, begin, until, windows))
    members = stand_in(crews)
    if not members:
        return {}, [*lost, "the layer has nobody; it is left out"]
    if not possible(length):
        return {}, [*lost, f"turns of {seconds} s cannot be said in whole hours; the layer is left out"]
    if until is not None and until <= begin:
        return {}, [*lost, "the layer ends before it starts; it is left out"]
    layer, more = turn_layer(
        str(raw.get("name") or raw.get("id") or "layer"),
        members=members,
        first=first,
        length=length,
        zone=zone,
        begin=begin,
        until=until,
        windows=windows,
    )
    return layer, lost + more


def _windows(raw: Json, place: str) -> list[tuple[int, int, int]]:
    try:
        begin = seconds_of(str(raw.get("start_time_of_day")))
    except ValueError:
        raise refuse(
            f"{place}/start_time_of_day", f"'{raw.get('start_time_of_day')}' is not a time", "09:00:00"
        ) from None
    length = number_of(raw.get("duration_seconds"), f"{place}/duration_seconds", 1)
    if raw.get("type") == "daily_restriction":
        return [(day, begin, length) for day in range(7)]
    if raw.get("type") == "weekly_restriction":
        day = number_of(raw.get("start_day_of_week"), f"{place}/start_day_of_week", 1)
        if day <= 7:
            return [(day - 1, begin, length)]
    raise refuse(place, "this is neither a daily nor a weekly restriction", "type and start_day_of_week (1 to 7)")


def _renderer(layers: list[_Layer], covers: list[Cover], zone: str) -> Callable[[datetime, datetime], list[Entry]]:
    """PagerDuty's final schedule: the last layer that has somebody, and overrides above all."""

    def render(start: datetime, end: datetime) -> list[Entry]:
        found: list[Entry] = []
        for rank, (people, first, length, begin, until, windows) in enumerate(layers):
            allowed = weekly(windows, zone, start, end) if windows else None
            low, high = max(start, begin), min(end, until) if until else end
            for number, begins, ends in turns(first, length, zone, low, high) if people and low < high else ():
                for opens, closes in cut(max(begins, low), min(ends, high), allowed):
                    who = frozenset({people[number % len(people)]})
                    found.append(Entry(rank=rank, start=opens, end=closes, people=who))
        for at, cover in enumerate(covers):
            who = frozenset({cover.person})
            found.append(Entry(rank=len(layers) + at, start=cover.start, end=cover.end, people=who))
        return found

    return render


def _cover(raw: Json, place: str, logins: dict[str, str], found: Found) -> Cover | None:
    person = _person(raw, logins)
    if person is None:
        found.note(place, "the override is by a user who is gone")
        return None
    start, end = (instant_of(raw.get(key), f"{place}/{key}").astimezone(UTC) for key in ("start", "end"))
    if end <= start:
        raise refuse(f"{place}/end", "the override ends before it starts", "export again")
    return Cover(person=person, start=start, end=end)


def _rendered(
    raw: Json, place: str, logins: dict[str, str]
) -> tuple[list[Entry] | None, tuple[datetime, datetime] | None]:
    listed = (raw.get("final_schedule") or {}).get("rendered_schedule_entries")
    if not listed:
        return None, None
    entries: list[Entry] = []
    for at, each in enumerate(listed):
        here = f"{place}/final_schedule/rendered_schedule_entries/{at}"
        start, end = (instant_of(each.get(key), f"{here}/{key}").astimezone(UTC) for key in ("start", "end"))
        user = each.get("user") or {}
        person = _person(each, logins) or f"deleted {user.get('id')}"
        entries.append(Entry(rank=0, start=start, end=end, people=frozenset({person})))
    return entries, (min(each.start for each in entries), max(each.end for each in entries))


def _policy(place: str, raw: Json, logins: dict[str, str], found: Found) -> Policy:
    steps: list[Step] = []
    for at, rule in enumerate(raw.get("escalation_rules") or ()):
        here = f"{place}/escalation_rules/{at}"
        notify: list[str] = []
        for target in rule.get("targets") or ():
            kind = str(target.get("type", "")).removesuffix("_reference")
            login = _person(target, logins) if kind == "user" else None
            if kind == "schedule":
                notify.append(f"schedule:{target.get('id')}")
            elif login:
                notify.append(f"person:{login}")
            else:
                found.note(here, f"the target {target.get('id')} ({kind}) is gone or not known")
        wait = 60 * number_of(rule.get("escalation_delay_in_minutes"), f"{here}/escalation_delay_in_minutes", 1)
        steps.append(Step(notify=tuple(notify), wait_seconds=wait))
    loops = number_of(raw.get("num_loops") or 0, f"{place}/num_loops")
    key = str(raw.get("id", ""))
    return Policy(key=key, name=str(raw.get("name") or key), place=place, steps=tuple(steps), loops=loops)
