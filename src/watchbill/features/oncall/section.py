"""The manifest's ``spec.onCall``: what people write, checked without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from watchbill.features.oncall.cadence import cadence
from watchbill.features.oncall.model import EVERY, HANDOFF, RotationSpec
from watchbill.kernel.errors import Invalid, Problem

_FIELDS = ("every", "handoff", "members", "startsAt")
_PATH = "spec.onCall.rotation"


def parse_rotation(raw: Mapping[str, Any] | None, default_members: Sequence[str], time_zone: str) -> RotationSpec:
    """Read ``spec.onCall`` (``{rotation: {every, handoff, members, startsAt}}``) of one team.

    ``raw`` None or empty is the default: a weekly rotation of ``default_members`` (logins, without shadows),
    Monday 09:00 in ``time_zone``.

    Raises:
        Invalid: every problem at once; `Problem.field` is the path from ``spec``.
    """
    problems: list[Problem] = []
    rotation = _mapping(raw or {}, "spec.onCall", ("rotation",), problems).get("rotation") or {}
    fields = _mapping(rotation, _PATH, _FIELDS, problems)
    every = _text(fields, "every", EVERY, problems)
    handoff = _text(fields, "handoff", _default_handoff(every), problems)
    members = _members(fields.get("members"), default_members, problems)
    starts_at = _day(fields.get("startsAt"), problems)
    try:
        cadence(every, handoff, starts_at, time_zone)
    except Invalid as invalid:
        problems.extend(_placed(problem) for problem in invalid.problems)
    if problems:
        raise Invalid("spec.onCall cannot be followed", code="rotation_invalid", problems=problems)
    return RotationSpec(time_zone=time_zone, members=members, every=every, handoff=handoff, starts_at=starts_at)


def _default_handoff(every: str) -> str:
    """Without its weekday where the period is not whole weeks, since it could not be kept."""
    return HANDOFF if every.endswith("w") else HANDOFF.split()[-1]


def _mapping(raw: object, path: str, known: Sequence[str], problems: list[Problem]) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        problems.append(_problem(path, f"{path} is not a mapping", f"write keys: {', '.join(known)}"))
        return {}
    for key in raw:
        if key not in known:
            problems.append(_problem(f"{path}.{key}", f"'{key}' is not known here", f"known: {', '.join(known)}"))
    return raw


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
    logins: list[str] = []
    for position, login in enumerate(raw):
        path = f"{_PATH}.members[{position}]"
        if not isinstance(login, str) or not login.strip():
            problems.append(_problem(path, "a member is a login", "write a login such as alice@example.org"))
            continue
        cleaned = login.strip().lower()
        if cleaned in logins:
            problems.append(_problem(path, f"{cleaned} is named twice", "name each member once"))
        logins.append(cleaned)
    return tuple(logins)


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
