"""Gathering the facts that the gate is asked about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from watchbill.features import catalog, changes, incidents, slo
from watchbill.features.gates import logic, store
from watchbill.features.gates.model import BudgetRule, Facts, IncidentFact, Override, Policy, SloFact
from watchbill.kernel.errors import Invalid
from watchbill.runtime.db import Tx

_SLACK = timedelta(minutes=10)
"""A burn that begins this long before the dependency's incident was opened is still that outage."""


def policy_of(service: catalog.Service, team: catalog.Team) -> Policy:
    """The tier's defaults, then the team's ``gate``, then the service's; freezes of both hold."""
    values: dict[str, Any] = msgspec.to_builtins(logic.default_policy(service.tier))
    freezes: list[Any] = []
    for spec in (team.spec.get("gate"), service.spec.get("gate")):
        if spec:
            values |= {key: value for key, value in spec.items() if key != "freeze"}
            freezes += spec.get("freeze", [])
    if values.get("budgetBelow") == "never":
        values["budgetBelow"] = None
    elif isinstance(values.get("budgetBelow"), str):
        values["budgetBelow"] = float(values["budgetBelow"])
    values["freeze"] = freezes
    try:
        return msgspec.convert(values, Policy)
    except msgspec.ValidationError as error:
        raise Invalid(
            f"the gate policy of {service.name} cannot be read: {error}", hint="apply its manifest again"
        ) from error


def facts_of(
    tx: Tx,
    *,
    service: catalog.Service,
    environment: str,
    version: str | None = None,
    is_fix: bool = False,
    is_rollback: bool = False,
) -> Facts:
    """What is known now; a handful of indexed reads however large the catalog is."""
    policy = policy_of(service, catalog.team(tx, id=service.team_id))
    return Facts(
        service=service.name,
        tier=service.tier,
        environment=environment,
        version=version,
        is_rollback=is_rollback,
        is_fix=is_fix,
        policy=policy,
        slos=_slo_facts(tx, service, environment, policy),
        incidents=_incident_facts(tx, service, environment),
        overrides=tuple(overrides(tx, service_id=service.id, environment=environment)),
        stale=slo.observer_note(tx),
    )


def overrides(
    tx: Tx, *, service_id: UUID, environment: str | None = None, all_of_them: bool = False
) -> Sequence[Override]:
    """Overrides that hold now, the newest first; with ``all_of_them`` also those that are over."""
    table = store.gate_override
    query = sa.select(table).where(table.c.service_id == service_id)
    if environment is not None:
        query = query.where(table.c.environment == environment)
    if not all_of_them:
        query = query.where(table.c.expires_at > tx.now, table.c.withdrawn_at.is_(None))
    rows = tx.execute(query.order_by(table.c.created_at.desc()).limit(100))
    return [msgspec.convert(row, Override, from_attributes=True) for row in rows]


def _slo_facts(tx: Tx, service: catalog.Service, environment: str, policy: Policy) -> tuple[SloFact, ...]:
    views = [view for view in slo.slos(tx, service_id=service.id) if view.slo.environment == environment]
    held = slo.rules_in_force(tx, service_id=service.id)
    facts = [(view, _slo_fact(tx, service, view, policy)) for view in views]
    return tuple(msgspec.structs.replace(fact, rules=_rules(held.get(view.slo.id, ()))) for view, fact in facts)


def _rules(held: Sequence[slo.Stance]) -> tuple[BudgetRule, ...]:
    """Those of the error budget policy that stop a deploy; of several freezes or approvals the strictest."""
    found = []
    for action in ("freeze", "approval"):
        asking = [one for one in held if action in one.rule.do]
        if asking:
            lowest = min(asking, key=lambda one: one.rule.remaining)
            found.append(
                BudgetRule(remaining=float(lowest.rule.remaining), freeze=action == "freeze", since_at=lowest.since_at)
            )
    return tuple(found)


def _slo_fact(tx: Tx, service: catalog.Service, view: slo.SloView, policy: Policy) -> SloFact:
    state = view.state
    name = f"{view.operation} · {view.slo.name}"
    if state is None:
        return SloFact(name=name, state=None)
    remaining = None if state.budget_remaining is None else float(state.budget_remaining)
    fact = SloFact(
        name=name,
        state=state.state,
        tier=state.tier,
        burn=state.burn,
        remaining=remaining,
        reason=state.reason,
        traffic_lost=state.state == "firing" and state.cause == "traffic",
    )
    limit = None if policy.budget_below is None else policy.budget_below / 100
    spent = remaining is not None and limit is not None and remaining <= limit
    if not spent and state.state != "firing":
        return fact
    window = timedelta(seconds=view.slo.window_seconds)
    outages = changes.dependency_outages(
        tx, service_id=service.id, environment=view.slo.environment, start_at=tx.now - window, end_at=tx.now
    )
    exempt = next(
        (what for since, until, what in outages if until >= tx.now and state.since_at >= since - _SLACK), None
    )
    own, back_at = remaining, None
    if spent:
        counts = slo.buckets(tx, slo_id=view.slo.id, start=tx.now - window, end=tx.now)
        allowed = float(view.slo.budget_share) * state.total
        theirs = changes.exempt_bad(counts, changes.union([(since, until) for since, until, _ in outages]))
        if allowed > 0 and remaining is not None:
            own = remaining + theirs / allowed
            back_at = _back_at(counts, bad=state.bad, allowed=allowed * (1 - (limit or 0.0)), window=window, now=tx.now)
    return msgspec.structs.replace(fact, own_remaining=own, exempt=exempt, back_at=back_at)


def _back_at(
    counts: Sequence[tuple[datetime, int, int, int]], *, bad: int, allowed: float, window: timedelta, now: datetime
) -> datetime | None:
    """When enough bad events will have left the window, if no new ones come and traffic stays as it is.

    The newest are in no bucket yet: they leave last.
    """
    for at, width, failed, _ in counts:
        bad -= failed
        if bad < allowed:
            return at + timedelta(seconds=width) + window
    return now + window if allowed > 0 else None


def _incident_facts(tx: Tx, service: catalog.Service, environment: str) -> tuple[IncidentFact, ...]:
    depends_on = catalog.dependencies(tx, service_id=service.id).depends_on
    open_ones = incidents.incidents_touching(
        tx, service_ids={service.id, *depends_on}, start_at=tx.now, end_at=tx.now + timedelta(seconds=1)
    )
    here = [each for each in open_ones if each[2].state == "open" and each[2].environment == environment]
    # An incident that began at a dependency and has reached this service is the dependency's.
    own = {i.id for member, _, i in here if member == service.id and i.service_id not in depends_on}
    names = {s.id: s.name for s in catalog.services(tx, ids=depends_on)} if here else {}
    found: dict[UUID, IncidentFact] = {}
    for member, _, incident in here:
        dependency = incident.id not in own
        at = incident.service_id if incident.service_id in names else member
        found[incident.id] = IncidentFact(
            number=incident.number,
            title=incident.title,
            severity=incident.severity,
            declared=incident.phase == "declared",
            service=names.get(at, service.name) if dependency and at is not None else service.name,
            dependency=dependency,
        )
    return tuple(sorted(found.values(), key=lambda each: each.number))
