"""Who is in a team and whether anybody there can be reached. Contributed by *identity* and *catalog*."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING
from uuid import UUID

from watchbill.features import catalog, identity
from watchbill.kernel.errors import Problem
from watchbill.manifest.suggest import did_you_mean
from watchbill.runtime.db import Tx

if TYPE_CHECKING:
    from watchbill.manifest.bundle import Applying, Bundle, TeamItem, World

UNREACHABLE = "manifest.unreachable"


def check(bundle: Bundle, _world: World) -> Iterator[Problem]:
    """Everybody is named once, the time zone exists, and there is somebody."""
    for item in bundle.teams:
        zone = item.manifest.spec.time_zone
        if zone not in _zones():
            hint = did_you_mean(zone, _zones()) or "write an IANA name such as Europe/Berlin"
            yield item.problem("manifest.value", f"there is no time zone '{zone}'", ("spec", "timeZone"), hint)
        seen: set[str] = set()
        for at, login in enumerate(item.logins):
            if login in seen:
                yield item.problem(
                    "manifest.duplicate",
                    f"{login} is in the team twice",
                    ("spec", "members", at),
                    "name each member once",
                )
            seen.add(login)
        if not item.rotating:
            yield unreachable(item, f"nobody can be paged for the team {item.name}: it has no members")


def unreachable(item: TeamItem, message: str) -> Problem:
    """The loud warning; the fallback team is paged meanwhile."""
    return item.problem(
        UNREACHABLE,
        message,
        ("spec", "members"),
        "add members who can be reached; a login that is a work e-mail is enough."
        " Until then the fallback team is paged",
        severity="warning",
    )


def apply(tx: Tx, applying: Applying) -> None:
    """Make everybody known whom the written teams name."""
    applying.people.update(
        identity.ensure_people(
            tx, logins=sorted({login for item in applying.teams for login in item.logins}), actor=applying.actor
        )
    )


def reachability(tx: Tx, bundle: Bundle, team_ids: Mapping[str, UUID]) -> Iterator[Problem]:
    """A warning for each team, and each service whose owner is not in the bundle, that reaches nobody.

    Somebody new is reachable when the login is an e-mail address: it becomes their first contact method.
    """
    ids = identity.ids_of(tx, logins=[login for item in bundle.teams for login in item.rotating])
    here = {item.name for item in bundle.teams}
    owners = {item.manifest.spec.owner for item in bundle.services} - here
    elsewhere = {name: team_ids[name] for name in owners if name in team_ids}
    staff = catalog.members(tx, team_ids=list(elsewhere.values()))
    paged = {id: {each.person_id for each in members if each.role != "shadow"} for id, members in staff.items()}
    reachable = _reachable(tx, {*ids.values(), *(id for people in paged.values() for id in people)})
    for item in bundle.teams:
        if item.rotating and not any(
            ids[login] in reachable if login in ids else "@" in login for login in item.rotating
        ):
            names = ", ".join(item.rotating[:3])
            yield unreachable(item, f"nobody can be reached for the team {item.name}: no way to contact {names}")
    for service in bundle.services:
        owner = service.manifest.spec.owner
        if owner in elsewhere and paged.get(elsewhere[owner], set()).isdisjoint(reachable):
            message = f"nobody can be reached for the team {owner}, which owns {service.name}"
            hint = "add contact methods for its members; until then the fallback team is paged"
            yield service.problem(UNREACHABLE, message, ("spec", "owner"), hint, severity="warning")


def _reachable(tx: Tx, ids: set[UUID]) -> set[UUID]:
    methods = identity.contact_methods(tx, person_ids=ids)
    people = identity.people(tx, ids=ids)
    return {id for id, person in people.items() if person.active and methods[id]}


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
