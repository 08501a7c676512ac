"""The manifest's ``spec.onCall``: what people write, checked without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from watchbill.features.oncall.cadence import cadence, zone_exists
from watchbill.features.oncall.holidays import check_calendar
from watchbill.features.oncall.model import EVERY, HANDOFF, Rest, RotationSpec
from watchbill.features.oncall.section_layers import parse_layers
from watchbill.features.oncall.section_words import logins_of, mapping
from watchbill.kernel.durations import parse_duration
from watchbill.kernel.errors import Invalid, Problem

_FIELDS = ("every", "handoff", "members", "startsAt")
_KEYS = ("rotation", "layers", "shadows", "holidays", "rest")
_PATH = "spec.onCall.rotation"


def parse_rotation(raw: Mapping[str, Any] | None, default_members: Sequence[str], time_zone: str) -> RotationSpec:
    """Read ``spec.onCall`` of one team: ``rotation`` (``{every, handoff, members, startsAt}``) or ``layers``.

    ``raw`` None or empty is the default: a weekly rotation of ``default_members`` (logins, without shadows),
    Monday 09:00 in ``time_zone``.

    Raises:
        Invalid: every problem at once; `Problem.field` is the path from ``spec``.
    """
    problems: list[Problem] = []
    written = mapping(raw or {}, "spec.onCall", _KEYS, problems)
    holidays = _holidays(written.get("holidays"), problems)
    shadows = logins_of(written["shadows"], "spec.onCall.shadows", problems) if written.get("shadows") else ()
    rest = _rest(written.get("rest"), problems)
    spec = RotationSpec(time_zone=time_zone)
    if written.get("layers") is not None:
        if written.get("rotation"):
            hint = "move the rotation into a layer, or leave layers out"
            problems.append(_problem(_PATH, "a schedule is one rotation or layers, not both", hint))
        if not zone_exists(time_zone):
            hint = "write an IANA name such as Europe/Berlin"
            problems.append(_problem("spec.timeZone", f"'{time_zone}' is not a time zone", hint))
        else:
            layers, found = parse_layers(written["layers"], time_zone, holidays=holidays)
            problems.extend(found)
            everybody = dict.fromkeys(login for layer in layers for crew in layer.crews for login in crew)
            spec = RotationSpec(time_zone=time_zone, members=tuple(everybody), layers=tuple(layers))
    else:
        spec = _simple(written.get("rotation") or {}, default_members, time_zone, problems)
    if problems:
        raise Invalid("spec.onCall cannot be followed", code="rotation_invalid", problems=problems)
    return msgspec.structs.replace(spec, shadows=shadows, holidays=holidays, rest=rest)


def _simple(raw: object, default_members: Sequence[str], time_zone: str, problems: list[Problem]) -> RotationSpec:
    fields = mapping(raw, _PATH, _FIELDS, problems)
    every = _text(fields, "every", EVERY, problems)
    handoff = _text(fields, "handoff", _default_handoff(every), problems)
    members = _members(fields.get("members"), default_members, problems)
    starts_at = _day(fields.get("startsAt"), problems)
    try:
        cadence(every, handoff, starts_at, time_zone)
    except Invalid as invalid:
        problems.extend(_placed(problem) for problem in invalid.problems)
    return RotationSpec(time_zone=time_zone, members=members, every=every, handoff=handoff, starts_at=starts_at)


def _holidays(raw: object, problems: list[Problem]) -> str:
    if raw is None:
        return ""
    try:
        return check_calendar(str(raw))
    except Invalid as invalid:
        problems.append(_problem("spec.onCall.holidays", invalid.problem.message, invalid.problem.hint or ""))
        return ""


def _rest(raw: object, problems: list[Problem]) -> Rest:
    if raw is None:
        return Rest()
    fields = mapping(raw, "spec.onCall.rest", ("between", "nights"), problems)
    hours, nights = 0, fields.get("nights", Rest().nights)
    if fields.get("between") is not None:
        try:
            hours = int(parse_duration(str(fields["between"])).total_seconds() // 3600)
        except ValueError:
            hint = "write hours such as 11h"
            problems.append(_problem("spec.onCall.rest.between", f"'{fields['between']}' is not a rest", hint))
    if not isinstance(nights, int) or not 1 <= nights <= 366:
        hint = "write a number from 1 to 366"
        problems.append(_problem("spec.onCall.rest.nights", f"'{nights}' is not a number of nights", hint))
        nights = 1
    return Rest(hours_between=hours, nights=nights)


def _default_handoff(every: str) -> str:
    """Without its weekday where the period is not whole weeks, since it could not be kept."""
    return HANDOFF if every.endswith("w") else HANDOFF.split()[-1]


def _text(fields: Mapping[str, Any], name: str, default: str, problems: list[Problem]) -> str:
    value = fields.get(name, default)
    if isinstance(value, str):
        return value
    problems.append(_problem(f"{_PATH}.{name}", f"{name} is not text", f'write {name}: "{default}"'))
    return default


def _members(raw: object, default: Sequence[str], problems: list[Problem]) -> tuple[str, ...]:
    if raw is None:
        return tuple(default)
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        problems.append(_problem(f"{_PATH}.members", "members is not a list", "write one login a line"))
        return ()
    if not raw:
        hint = "name somebody, or leave members out to rotate through the team"
        problems.append(_problem(f"{_PATH}.members", "a rotation needs members", hint))
        return ()
    return logins_of(raw, f"{_PATH}.members", problems)


def _day(raw: object, problems: list[Problem]) -> date | None:
    if raw is None or (isinstance(raw, date) and not isinstance(raw, datetime)):
        return raw
    try:
        if isinstance(raw, str):
            return date.fromisoformat(raw)
    except ValueError:
        pass  # said below, like any other thing that is not a day
    problems.append(_problem(f"{_PATH}.startsAt", f"'{raw}' is not a day", "write a day such as 2026-01-05"))
    return None


def _placed(problem: Problem) -> Problem:
    path = "spec.timeZone" if problem.field == "timeZone" else f"{_PATH}.{problem.field}"
    return _problem(path, problem.message, problem.hint or "")


def _problem(field: str, message: str, hint: str) -> Problem:
    return Problem(code="rotation_invalid", message=message, field=field, hint=hint)
