"""What is about to go wrong with a rota, said before it does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from uuid import UUID

from watchbill.features import identity
from watchbill.features.oncall import plans
from watchbill.kernel.errors import Problem
from watchbill.runtime.db import Tx

LEAST_MEMBERS = 3
"""Fewer than three people cannot share nights and holidays (playbook; Google's SRE book asks for eight)."""


def warnings(tx: Tx, *, team_ids: Iterable[UUID] | None = None) -> dict[UUID, list[Problem]]:
    """Warnings by team (None: all that have a rotation); a team without any is left out."""
    loaded = plans.load(tx, team_ids)
    named = {person_id for plan in loaded.values() for person_id in plan.stored.rotation.members}
    people = identity.people(tx, ids=named)
    reachable = {person_id for person_id, methods in identity.contact_methods(tx, person_ids=named).items() if methods}
    logins = {person_id: person.login for person_id, person in people.items()}
    found = {team_id: _of(plan, logins, reachable) for team_id, plan in loaded.items()}
    return {team_id: problems for team_id, problems in found.items() if problems}


def _of(plan: plans.Plan, logins: dict[UUID, str], reachable: set[UUID]) -> list[Problem]:
    members = plan.stored.rotation.members
    present = [person_id for person_id in members if person_id not in plan.away]
    problems = [_size(len(present))] if len(present) < LEAST_MEMBERS else []
    for position, person_id in enumerate(members):
        login = logins.get(person_id, "somebody unknown")
        field = f"spec.onCall.rotation.members[{position}]"
        if person_id in plan.away:
            hint = "replace them in the rotation; until then the next member stands in"
            problems.append(_warn("oncall_member_inactive", f"{login} has left but is in the rotation", hint, field))
        elif person_id not in reachable:
            hint = "add a contact method: `watchbill contact add`, or under My account"
            problems.append(_warn("oncall_member_unreachable", f"{login} cannot be reached", hint, field))
    problems.extend(_overlaps(plan))
    return problems


def _size(present: int) -> Problem:
    if present == 0:
        return _warn("oncall_empty", "nobody is in the rotation", "add members to the team", "spec.members")
    who = "one person is" if present == 1 else f"{present} people are"
    code = "oncall_single_member" if present == 1 else "oncall_small_rota"
    hint = f"add people: below {LEAST_MEMBERS} nobody can be ill or on holiday"
    return _warn(code, f"only {who} in the rotation", hint, "spec.members")


def _overlaps(plan: plans.Plan) -> Sequence[Problem]:
    line = sorted((o for o in plan.overrides if o.start_at < o.until), key=lambda o: o.start_at)
    return [
        _warn(
            "oncall_overrides_overlap",
            f"two overrides overlap from {second.start_at:%Y-%m-%d %H:%M} UTC",
            "the one made last counts; cancel the other",
            "overrides",
        )
        for first, second in pairwise(line)
        if second.start_at < first.until
    ]


def _warn(code: str, message: str, hint: str, field: str) -> Problem:
    return Problem(code=code, message=message, field=field, hint=hint, severity="warning")
