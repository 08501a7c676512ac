"""Reading what people wrote, with the path of everything that is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from watchbill.kernel.errors import Problem


def mapping(raw: object, path: str, known: Sequence[str], problems: list[Problem]) -> Mapping[str, Any]:
    """``raw`` as a mapping with known keys only."""
    if not isinstance(raw, Mapping):
        problems.append(problem(path, f"{path} is not a mapping", f"write keys: {', '.join(known)}"))
        return {}
    for key in raw:
        if key not in known:
            problems.append(problem(f"{path}.{key}", f"'{key}' is not known here", f"known: {', '.join(known)}"))
    return raw


def text_of(fields: Mapping[str, Any], name: str, default: str, path: str, problems: list[Problem]) -> str:
    """A text, or its default where nothing is written."""
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, str):
        return value
    problems.append(problem(f"{path}.{name}", f"{name} is not text", f'write {name}: "{default}"'))
    return default


def logins_of(raw: object, path: str, problems: list[Problem]) -> tuple[str, ...]:
    """A list of logins, each once, in the one spelling."""
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        problems.append(problem(path, "members is not a list", "write one login a line"))
        return ()
    if not raw:
        problems.append(problem(path, "a turn needs somebody", "name somebody, or leave the turn out"))
    logins: list[str] = []
    for position, login in enumerate(raw):
        place = f"{path}[{position}]"
        if not isinstance(login, str) or not login.strip():
            problems.append(problem(place, "a member is a login", "write a login such as alice@example.org"))
            continue
        cleaned = login.strip().lower()
        if cleaned in logins:
            problems.append(problem(place, f"{cleaned} is named twice", "name each member once"))
        logins.append(cleaned)
    return tuple(logins)


def problem(field: str, message: str, hint: str) -> Problem:
    """Something wrong with a rotation."""
    return Problem(code="rotation_invalid", message=message, field=field, hint=hint)
