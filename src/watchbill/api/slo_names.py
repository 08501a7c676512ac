"""Who promised, excluded and signed, in names as they are now: entries keep ids."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from watchbill.features import identity, slo
from watchbill.features.slo import Slo
from watchbill.runtime.db import Tx


def people(tx: Tx, ids: Collection[UUID | None]) -> dict[UUID | None, str]:
    """The names of people."""
    found = identity.people(tx, ids=[id for id in ids if id is not None])
    return {id: person.name for id, person in found.items()}


def actors(tx: Tx, found: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """(kind, id) of the ledger's actors as people say them."""
    names = people(tx, {UUID(id) for kind, id in found if kind == "person"})
    return {
        (kind, id): names.get(UUID(id), "somebody") if kind == "person" else id if kind == "system" else f"a {kind}"
        for kind, id in found
    }


def excluded(tx: Tx, one: Slo, start: datetime, end: datetime) -> list[str]:
    """What of [start, end) is left out: "12 minutes excluded by Alice and Bob: database upgrade"; the oldest first."""
    held = [
        each for each in slo.exclusions(tx, slo=one) if each.holds and each.start_at < end and start < each.until_at
    ]
    names = people(tx, {id for each in held for id in (each.first_by, each.second_by)})
    said = []
    for each in reversed(held):
        minutes = int((min(each.until_at, end) - max(each.start_at, start)).total_seconds()) // 60
        who = " and ".join(names.get(id, "somebody") for id in (each.first_by, each.second_by) if id is not None)
        said.append(f"{minutes} minute{'' if minutes == 1 else 's'} excluded by {who or 'a token'}: {each.reason}")
    return said
