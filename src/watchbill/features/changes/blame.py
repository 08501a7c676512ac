"""When a dependency was to blame, and what each change spent; from PostgreSQL only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from watchbill.features import catalog, incidents, slo
from watchbill.features.changes import store
from watchbill.features.changes.model import Change
from watchbill.features.changes.spend import BEFORE, LONGEST, Span, Spent, spent_by_change, union
from watchbill.runtime.db import Tx

SUSPECT = timedelta(hours=1)
"""An outage of a dependency that began within this after the service itself changed exempts nothing: the change
may have caused it."""


class ChangeSpend(msgspec.Struct, frozen=True, kw_only=True):
    """The most that a change spent of any budget of its service."""

    change_id: UUID
    slo: str
    spent: Spent


def dependency_outages(
    tx: Tx, *, service_id: UUID, environment: str, start_at: datetime, end_at: datetime
) -> list[tuple[datetime, datetime, str]]:
    """(from, until, "incident 7 of db") while something the service depends on had a declared incident, oldest first.

    Left out: those that began within an hour after the service itself changed.
    """
    depends_on = catalog.dependencies(tx, service_id=service_id).depends_on
    if not depends_on:
        return []
    touched = incidents.incidents_touching(tx, service_ids=depends_on, start_at=start_at, end_at=end_at)
    touched = [each for each in touched if each[2].environment == environment and each[2].phase == "declared"]
    if not touched:
        return []
    names = {s.id: s.name for s in catalog.services(tx, ids=depends_on)}
    own = store.between(
        tx, start_at=start_at - SUSPECT, end_at=end_at, service_ids=[service_id], environment=environment
    )
    return [
        (joined_at, incident.resolved_at or end_at, f"incident {incident.number} of {names.get(member, '?')}")
        for member, joined_at, incident in touched
        if not any(one.started_at <= joined_at <= one.last_at + SUSPECT for one in own)
    ]


def spends(tx: Tx, *, changes: Sequence[Change]) -> dict[UUID, ChangeSpend]:
    """What each change spent, of the objective it hurt most; those of services without figures are left out.

    Reads each objective's buckets once for all changes of its service.
    """
    found: dict[UUID, ChangeSpend] = {}
    places = {(one.service_id, one.environment) for one in changes if one.service_id is not None}
    for service_id, environment in sorted(places, key=str):
        if service_id is not None:
            mine = [one for one in changes if (one.service_id, one.environment) == (service_id, environment)]
            _spends_of_service(tx, service_id, environment, mine, found)
    return found


def _spends_of_service(
    tx: Tx, service_id: UUID, environment: str, mine: Sequence[Change], found: dict[UUID, ChangeSpend]
) -> None:
    views = [view for view in slo.slos(tx, service_id=service_id) if view.slo.environment == environment]
    views = [view for view in views if view.state is not None and view.state.total > 0]
    if not views:
        return
    start_at = min(one.started_at for one in mine) - BEFORE
    until = min(tx.now, max(one.last_at for one in mine) + LONGEST)
    outages = dependency_outages(tx, service_id=service_id, environment=environment, start_at=start_at, end_at=until)
    exempt: list[Span] = union([(since, ended) for since, ended, _ in outages])
    starts = sorted(
        one.started_at
        for one in store.between(tx, start_at=start_at, end_at=until, service_ids=[service_id], environment=environment)
    )
    for view in views:
        counts = slo.buckets(tx, slo_id=view.slo.id, start=start_at, end=until)
        for one in mine:
            following = next((at for at in starts if at > one.started_at), None)
            near = [each for each in counts if one.started_at - 2 * BEFORE <= each[0] <= one.last_at + LONGEST]
            spent = spent_by_change(
                near,
                started_at=one.started_at,
                ended_at=one.finished_at,
                next_at=following,
                now=tx.now,
                budget_share=float(view.slo.budget_share),
                window_total=view.state.total if view.state else 0,
                exempt=exempt,
            )
            before = found.get(one.id)
            if before is None or spent.share > before.spent.share:
                name = f"{view.operation} · {view.slo.name}"
                found[one.id] = ChangeSpend(change_id=one.id, slo=name, spent=spent)
