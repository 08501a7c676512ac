"""Use-cases of rollback: begin one (alone or by a person), cancel, switch automation off and on.

By screen, link, CLI or API they are these same functions; what happens to a run afterwards is in `running`.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features import catalog, incidents
from watchbill.features.catalog import Service
from watchbill.features.identity import Caller
from watchbill.features.incidents import Incident
from watchbill.features.rollback import facts as gathering
from watchbill.features.rollback import logic, running, store
from watchbill.features.rollback.facts import Undoable
from watchbill.features.rollback.model import Decision, Mode, Run, Switch
from watchbill.features.rollback.plans import unfit
from watchbill.features.suspects import Ranking
from watchbill.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from watchbill.kernel.ids import new_id
from watchbill.runtime import due, ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor, system

_LOCK = 0x57426C6C


def consider(tx: Tx, incident: Incident, ranking: Ranking) -> Run | None:
    """A ranking was written: act alone on its top suspect when every rule agrees.

    Only ever one at a time in the whole organisation decides (an advisory lock), so that the breaker counts right.
    Why it did not act is an entry in the timeline, once for each reason.
    """
    if not ranking.suspects or ranking.suspects[0].service_id is None:
        return None
    tx.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    top = ranking.suspects[0]
    undoable = gathering.undoable(tx, change_id=top.change_id)
    if undoable is None:
        return None
    decision = decide(tx, undoable=undoable, incident=incident, ranking=ranking)
    if decision.action == "automatic":
        return _begin(
            tx,
            undoable,
            incident=incident,
            mode="automatic",
            actor=system("rollback"),
            reason=decision.reasons[0],
            confidence=top.confidence,
        )
    acted = any(run.mode == "automatic" for run in store.runs(tx, incident_id=incident.id))
    if undoable.rules.automatic and not acted:
        _say_why_not(tx, incident, undoable, decision)
    return None


def decide(tx: Tx, *, undoable: Undoable, incident: Incident | None, ranking: Ranking | None) -> Decision:
    """What the rules allow now for this change, with every reason."""
    return logic.decide(gathering.gather(tx, undoable=undoable, incident=incident, ranking=ranking))


def press(tx: Tx, *, change_id: UUID, incident: Incident | None, caller: Caller, via: str) -> Run:
    """A person undoes a change: the button of a page, of a screen, the CLI or the API.

    Pressing twice is once: while the change's own run is busy, or is looked at for a recovery, it is returned.

    Raises:
        NotFound: no such change, or nobody owns its service. Forbidden: not their service.
        Conflict: another run holds the service, or it cannot be undone (with the reasons).
    """
    undoable = gathering.undoable(tx, change_id=change_id)
    if undoable is None:
        raise NotFound("there is no such change, or nobody owns its service", hint="see `watchbill deploy list`")
    _may(tx, service=undoable.service, caller=caller)
    known = store.busy_run(tx, service_id=undoable.service.id) or _verifying(tx, change_id)
    if known is not None and known.change_id == change_id:
        return known
    decision = decide(tx, undoable=undoable, incident=incident, ranking=None)
    if decision.action == "nothing":
        raise Conflict("; ".join(decision.reasons), code="cannot_roll_back", hint="undo it the way it was done")
    return _begin(
        tx, undoable, incident=incident, mode="button", actor=caller.actor, reason=f"by {via}", confidence=None
    )


def _verifying(tx: Tx, change_id: UUID) -> Run | None:
    return next((run for run in store.runs_of_change(tx, change_id=change_id) if run.state == "verifying"), None)


def start(tx: Tx, *, service: Service, environment: str, mode: Mode, caller: Caller, version: str | None = None) -> Run:
    """Without an incident: roll a service back to what was before (or to ``version``), rehearse it, or run it dry.

    Raises:
        Conflict: nothing to go back to, no way to do it, another run holds the service, or a rehearsal in an incident.
    """
    _may(tx, service=service, caller=caller)
    undoable = gathering.newest_of(tx, service=service, environment=environment, version=version)
    if undoable.rules.executor is None:
        raise Conflict(
            f"{service.name} does not say how it is rolled back",
            code="no_executor",
            hint="add spec.rollback to its manifest; see the guide 'Undo a deploy'",
        )
    change = undoable.change
    against = unfit(
        undoable.rules.executor,
        undoable.rules.plan,
        version=change.version if change else None,
        previous_version=undoable.previous_version,
    )
    if against is not None:
        raise Conflict(against, code="unfit_version", hint="name a version with --to")
    if mode == "rehearsal" and incidents.incident_list(tx, state="open", service_id=service.id, limit=1):
        raise Conflict(f"{service.name} is in an open incident", code="incident_open", hint="rehearse in calm")
    return _begin(
        tx, undoable, incident=None, mode=mode, actor=caller.actor, reason=f"{mode} asked for", confidence=None
    )


def cancel(tx: Tx, *, number: int, caller: Caller, why: str = "") -> Run:
    """Stop a run. One that waits ends at once; one that works is told at its next breath, and says how it ended.

    Raises:
        Conflict: it is over.
    """
    found = run_by_number(tx, number=number)
    _may(tx, service=catalog.service(tx, id=found.service_id), caller=caller)
    locked = store.run_by_id(tx, id=found.id, lock=True)
    if locked is None or locked.state not in ("queued", "running"):
        raise Conflict(f"rollback {number} is {found.state.replace('_', ' ')} already", code="run_over")
    return running.stop(tx, locked, why=why.strip() or "a person stopped it", actor=caller.actor)


def set_switch(tx: Tx, *, automation: bool, why: str, caller: Caller) -> Switch:
    """Switch all automation off or on. Off: whoever responds may; what waits on its own is cancelled at once.

    Raises:
        Forbidden: switching on is for administrators. Invalid: without a reason.
    """
    if automation and (caller.role != "admin" or caller.token_team_id is not None):
        raise Forbidden("only an administrator switches automation on again", hint="ask one")
    if caller.role == "viewer" and not caller.team_ids:
        raise Forbidden("a viewer does not switch automation off", hint="ask a responder")
    if not why.strip():
        raise Invalid("say why", field="why", hint="one sentence for whoever wonders later")
    known = store.read_switch(tx)
    if known.automation == automation:
        return known
    values: dict[str, Any] = {"automation": automation, "why": why.strip()[:500], "changed_at": tx.now}
    statement = insert(store.switch).values(id=1, **values)
    tx.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))
    name = f"automation.switched_{'on' if automation else 'off'}"
    ledger.append(tx, name=name, actor=caller.actor, subject=("automation", "rollback"), why=why.strip())
    if not automation:
        waiting = tx.execute(
            sa.select(store.run)
            .where(store.run.c.state == "queued", store.run.c.mode == "automatic")
            .order_by(store.run.c.id)
            .with_for_update()
        )
        for row in waiting.all():
            running.stop(tx, store.to_run(row), why="automation was switched off", actor=caller.actor)
    return store.read_switch(tx)


def run_by_number(tx: Tx, *, number: int) -> Run:
    """The run that people call by this number.

    Raises:
        NotFound: there is none.
    """
    found = store.run_by_number(tx, number=number)
    if found is None:
        raise NotFound(f"there is no rollback {number}", hint="see `watchbill rollback list`")
    return found


def _begin(
    tx: Tx,
    undoable: Undoable,
    *,
    incident: Incident | None,
    mode: Mode,
    actor: Actor,
    reason: str,
    confidence: float | None,
) -> Run:
    """Queue it. The database holds that a service has one at a time; the second is told who is at it."""
    busy = store.busy_run(tx, service_id=undoable.service.id)
    if busy is not None and mode != "dry_run":
        raise Conflict(f"rollback {busy.number} is at it already", code="busy", hint=f"see rollback {busy.number}")
    rules, change = undoable.rules, undoable.change
    run = Run(
        id=new_id(),
        number=0,
        service_id=undoable.service.id,
        incident_id=incident.id if incident else None,
        change_id=change.id if change else None,
        mode=mode,
        state="queued",
        executor=rules.executor or "",
        plan=rules.plan,
        runner_name=rules.runner,
        environment=undoable.environment,
        version=change.version if change else None,
        previous_version=undoable.previous_version,
        confidence=confidence,
        reason=reason,
        requested_by_kind=actor.kind,
        requested_by_id=actor.id,
        timeout_seconds=int(rules.timeout.total_seconds()),
        verify_seconds=int(rules.verify_for.total_seconds()),
        created_at=tx.now,
        claimed_by=None,
        lease=None,
        lease_until=None,
        started_at=None,
        finished_at=None,
        verify_until=None,
        ended_at=None,
        end_reason=None,
        exit_code=None,
        output="",
        output_bytes=0,
        cancel_requested=None,
    )
    try:
        with tx.savepoint():
            run = store.insert_run(tx, run)
    except sa.exc.IntegrityError as error:
        first = store.busy_run(tx, service_id=undoable.service.id)
        if first is not None and change is not None and first.change_id == change.id and mode == "button":
            return first  # two pressed at the same moment: it is one
        raise Conflict("another rollback began at this very moment", code="busy", hint="look at it first") from error
    due.schedule(tx, kind=running.WATCH, subject=run.id, due_at=tx.now + logic.UNCLAIMED_FOR)
    running.explain(tx, run, "rollback.queued", actor=actor, why=reason)
    tx.hint(running.QUEUED)
    return run


def _say_why_not(tx: Tx, incident: Incident, undoable: Undoable, decision: Decision) -> None:
    """Once for each set of reasons: a ranking comes every few seconds."""
    why = "; ".join(decision.reasons)
    data = {"change_id": str(undoable.change.id) if undoable.change else None, "reasons": decision.reasons}
    kept = [reason.split(" ")[0:4] for reason in decision.reasons]  # numbers in it move with every look
    for entry in ledger.entries(tx, incident_id=incident.id, name="rollback.not_automatic", limit=500):
        known = [reason.split(" ")[0:4] for reason in entry.data.get("reasons", [])]
        if known == kept and entry.data.get("change_id") == data["change_id"]:
            return
    incidents.explain(tx, incident, "rollback.not_automatic", actor=system("rollback"), why=why, data=data)


def _may(tx: Tx, *, service: Service, caller: Caller) -> None:
    """The owning team, an administrator; or a responder's token of that team. Being paged for another is not enough.

    Raises:
        Forbidden: anybody else, with who may.
    """
    if caller.role == "admin" and caller.token_team_id is None:
        return
    if caller.kind == "token" and caller.role == "responder" and caller.token_team_id in (None, service.team_id):
        return
    if caller.person_id is not None:
        members = catalog.members(tx, team_ids=[service.team_id])[service.team_id]
        if any(m.person_id == caller.person_id and m.role != "shadow" for m in members):
            return
    team = catalog.team(tx, id=service.team_id).name
    raise Forbidden(
        f"only team {team} and administrators roll {service.name} back", hint=f"ask whoever is on call for {team}"
    )
