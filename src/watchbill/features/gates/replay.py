"""What the gate would have said to the deploys of the past, and which incidents that would have avoided."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from watchbill.features import catalog, changes, incidents, slo
from watchbill.features.changes import Change
from watchbill.features.gates import logic, reads
from watchbill.features.gates.model import Decision, Facts, IncidentFact, Policy, SloFact
from watchbill.features.incidents import Incident
from watchbill.runtime.db import Tx

BLAMED_WITHIN = timedelta(hours=1)
_FAST = timedelta(hours=1)
_FAST_BURN = 14.4
"""A burn over the last hour that spends a thirty-day budget in two days (Google SRE workbook, chapter 5)."""


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """One deploy of the past, what the gate would have said when it began, and incidents it would have avoided."""

    change: Change
    decision: Decision
    avoided: list[int]


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """All deploys since ``since_at``, oldest first; ``avoided`` are numbers of incidents."""

    since_at: datetime
    deploys: list[Replayed]
    stopped: int
    unknown: int
    avoided: list[int]


def replay(
    tx: Tx, *, service: catalog.Service, environment: str, since: timedelta, policy: Policy | None = None
) -> Replay:
    """Ask the gate at the start of each past deploy, by today's policy or by the one that is tried.

    The budget is that of the window that ended then, under today's target; a burn counts as fast when the hour
    before spent at 14.4 times the sustainable rate. An incident counts as avoided when it opened within an hour
    of a stopped deploy and before the next one. Overrides of the past are left out: it is the policy that is tried.
    """
    since_at = tx.now - since
    found = changes.changes_between(
        tx, start_at=since_at, end_at=tx.now, service_ids=[service.id], environment=environment
    )
    deploys = sorted((c for c in found if c.kind == "deploy" and c.started_at >= since_at), key=lambda c: c.started_at)
    policy = policy or reads.policy_of(service, catalog.team(tx, id=service.team_id))
    views = [view for view in slo.slos(tx, service_id=service.id) if view.slo.environment == environment]
    longest = max((timedelta(seconds=view.slo.window_seconds) for view in views), default=timedelta(0))
    counts = {view.slo.id: slo.buckets(tx, slo_id=view.slo.id, start=since_at - longest, end=tx.now) for view in views}
    outages = changes.dependency_outages(
        tx, service_id=service.id, environment=environment, start_at=since_at - longest, end_at=tx.now
    )
    depends_on = catalog.dependencies(tx, service_id=service.id).depends_on
    troubles = incidents.incidents_touching(tx, service_ids={service.id, *depends_on}, start_at=since_at, end_at=tx.now)
    names = {s.id: s.name for s in catalog.services(tx, ids=depends_on)}
    lines: list[Replayed] = []
    for place, one in enumerate(deploys):
        at = one.started_at
        facts = Facts(
            service=service.name,
            tier=service.tier,
            environment=environment,
            version=one.version,
            is_rollback=False,
            is_fix=one.is_fix,
            policy=policy,
            slos=tuple(_slo_at(view, counts[view.slo.id], outages, at) for view in views),
            incidents=_open_at(troubles, at, service, names),
            overrides=(),
            stale=None,
        )
        decision = logic.decide(facts, now=at)
        until = deploys[place + 1].started_at if place + 1 < len(deploys) else tx.now
        latest = min(until, one.last_at + BLAMED_WITHIN)
        caused = sorted({i.number for member, _, i in troubles if member == service.id and at <= i.opened_at < latest})
        lines.append(Replayed(change=one, decision=decision, avoided=[] if decision.proceed else caused))
    return Replay(
        since_at=since_at,
        deploys=lines,
        stopped=sum(not line.decision.proceed for line in lines),
        unknown=sum(line.decision.answer == "unknown" for line in lines),
        avoided=sorted({number for line in lines for number in line.avoided}),
    )


def _slo_at(
    view: slo.SloView,
    counts: Sequence[tuple[datetime, int, int, int]],
    outages: Sequence[tuple[datetime, datetime, str]],
    at: datetime,
) -> SloFact:
    window = timedelta(seconds=view.slo.window_seconds)
    share = float(view.slo.budget_share)
    inside = [each for each in counts if at - window <= each[0] and each[0] + timedelta(seconds=each[1]) <= at]
    bad, total = sum(each[2] for each in inside), sum(each[3] for each in inside)
    name = f"{view.operation} · {view.slo.name}"
    if not total:
        return SloFact(name=name, state="unmeasured", reason="no events were counted before it")
    fast = [each for each in inside if each[0] >= at - _FAST]
    fast_total = sum(each[3] for each in fast)
    burn = sum(each[2] for each in fast) / fast_total / share if fast_total else 0.0
    theirs = changes.exempt_bad(inside, changes.union([(since, until) for since, until, _ in outages]))
    exempt = next((what for since, until, what in outages if since <= at < until), None)
    return SloFact(
        name=name,
        state="firing" if burn > _FAST_BURN else "ok",
        tier="page" if burn > _FAST_BURN else None,
        burn=burn,
        remaining=1 - bad / (share * total),
        own_remaining=1 - (bad - theirs) / (share * total),
        exempt=exempt,
    )


def _open_at(
    troubles: Sequence[tuple[UUID, datetime, Incident]], at: datetime, service: catalog.Service, names: dict[UUID, str]
) -> tuple[IncidentFact, ...]:
    found: dict[UUID, IncidentFact] = {}
    for member, joined_at, one in troubles:
        if joined_at < at and (one.resolved_at is None or one.resolved_at > at):
            dependency = member != service.id or one.service_id in names
            found[one.id] = IncidentFact(
                number=one.number,
                title=one.title,
                severity=one.severity,
                declared=one.declared_at is not None and one.declared_at <= at,
                service=names.get(member, service.name),
                dependency=dependency,
            )
    return tuple(sorted(found.values(), key=lambda each: each.number))
