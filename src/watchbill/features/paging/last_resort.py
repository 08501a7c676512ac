"""Who hears of what nobody owns: the fallback team, else the administrators, else nobody, which is said loudly."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from watchbill.features import catalog, identity
from watchbill.kernel.errors import Problem
from watchbill.runtime.db import Tx

_HINT = (
    "set fallback: true on one team and apply it again, or give somebody the role admin and a contact method"
    " (`watchbill person`, `watchbill contact add`)"
)


def last_resort_problem(tx: Tx, *, fallback: bool = True) -> Problem | None:
    """A warning when an alert that nobody owns, or a page that nobody answers, would reach nobody at last.

    ``fallback=False`` asks as if there were no fallback team: the one there is, is about to go.
    """
    if _reachable(tx, {person.id for person in identity.administrators(tx)}):
        return None
    team = catalog.fallback_team(tx) if fallback else None
    if team is None:
        message = "alerts that nobody owns reach nobody: no team says fallback: true, and no admin can be reached"
        return _problem(message, _HINT)
    members = catalog.members(tx, team_ids=[team.id])[team.id]
    if _reachable(tx, {member.person_id for member in members if member.role != "shadow"}):
        return None
    message = f"alerts that nobody owns reach nobody: neither the fallback team {team.name} nor an admin can be reached"
    return _problem(message, "add a contact method for one of them: `watchbill contact add`, or under My account")


def _problem(message: str, hint: str) -> Problem:
    return Problem(code="paging.no_last_resort", message=message, hint=hint, severity="warning")


def _reachable(tx: Tx, ids: Iterable[UUID]) -> bool:
    """Whether any of these people is active and has a way to be reached."""
    people = identity.people(tx, ids=ids)
    methods = identity.contact_methods(tx, person_ids=people)
    return any(person.active and methods[id] for id, person in people.items())
