"""What the rules need to know, read in one transaction."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from watchbill.features import catalog, changes, incidents, suspects
from watchbill.features.catalog import Service
from watchbill.features.changes import Change
from watchbill.features.incidents import Incident
from watchbill.features.rollback import logic, store
from watchbill.features.rollback.logic import Facts
from watchbill.features.rollback.model import DONE, Rules
from watchbill.features.rollback.runners import able_runners
from watchbill.features.suspects import Ranking
from watchbill.kernel.errors import Conflict, NotFound
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx

OWN_SOURCE = "rollback"
"""The source of the changes that our own rollbacks are."""


class Undoable(msgspec.Struct, frozen=True, kw_only=True):
    """A change with what is needed to undo it; without a ``change`` it is whatever runs now."""

    service: Service
    environment: str
    change: Change | None
    previous_version: str | None
    rules: Rules


def undoable(tx: Tx, *, change_id: UUID) -> Undoable | None:
    """The change; None when it is unknown or nobody owns its service."""
    try:
        change = changes.change(tx, id=change_id)
    except NotFound:
        return None
    if change.service_id is None:
        return None
    service = catalog.service(tx, id=change.service_id)
    return Undoable(
        service=service,
        environment=change.environment,
        change=change,
        previous_version=change.previous_version,
        rules=logic.rules_of(service.spec),
    )


def newest_of(tx: Tx, *, service: Service, environment: str, version: str | None) -> Undoable:
    """The newest deploy of a service, to go back to what was before it, or to ``version``.

    Raises:
        Conflict: neither is known.
    """
    newest = changes.latest_good_version(tx, service=service.name, environment=environment)
    previous = version or (newest.previous_version if newest else None)
    if previous is None:
        raise Conflict(
            f"no earlier version of {service.name} is known",
            code="no_previous_version",
            hint="name one with --to, and tell Watchbill of deploys with `watchbill deploy finish`",
        )
    return Undoable(
        service=service,
        environment=environment,
        change=newest,
        previous_version=previous,
        rules=logic.rules_of(service.spec),
    )


def gather(tx: Tx, *, undoable: Undoable, incident: Incident | None, ranking: Ranking | None) -> Facts:
    """Everything `logic.decide` asks for."""
    suspect = None
    if ranking is not None and undoable.change is not None:
        suspect = next((s for s in ranking.suspects if s.change_id == undoable.change.id), None)
    switch = store.read_switch(tx)
    busy = store.busy_run(tx, service_id=undoable.service.id)
    lately = store.automatic_since(tx, since=tx.now - logic.BREAKER_WINDOW)
    rules = undoable.rules
    runs = store.runs(tx, incident_id=incident.id) if incident else []
    able = []
    if rules.executor is not None:
        able = able_runners(tx, team_id=undoable.service.team_id, executor=rules.executor, name=rules.runner)
    reversible = {"yes": True, "no": False, "unknown": None}
    return Facts(
        rules=rules,
        automation=switch.automation,
        automation_why=switch.why,
        kind=undoable.change.kind if undoable.change else "deploy",
        reversible=reversible[undoable.change.reversible] if undoable.change else None,
        previous_version=undoable.previous_version,
        version=undoable.change.version if undoable.change else None,
        confidence=suspect.confidence if suspect else 0.0,
        measured_worse=suspect is not None and suspect.answer == "worse",
        environment=undoable.environment,
        incident_open=incident is None or incident.state == "open",
        automatic_before=any(run.mode == "automatic" for run in runs),
        human_acts=human_acts(tx, incident=incident, undoable=undoable) if incident else [],
        rolled_back_lately=[service.name for service in catalog.services(tx, ids=lately)] if lately else [],
        service=undoable.service.name,
        busy=f"rollback {busy.number}" if busy else None,
        undone=undone_by(tx, undoable=undoable),
        runners=len(able),
    )


_NO_ACTS = frozenset({"incident.opened", "alert.joined"})
"""What people do to tell of trouble, which is not yet doing something about it."""


def human_acts(tx: Tx, *, incident: Incident, undoable: Undoable) -> list[str]:
    """What people did since the incident began, each as a sentence.

    An acknowledgement says "it is mine", and so does whatever else a person does in the incident; a deploy or another
    change of the service (that is not our own rollback) says that somebody is at work there.
    """
    found = []
    for entry in ledger.entries(tx, incident_id=incident.id, actor_kinds=("person", "token"), limit=200):
        if entry.name == "page.acknowledged":
            found.append("a person has acknowledged the page: it is theirs")
        elif entry.name.startswith("rollback."):
            found.append("a person has begun or stopped a rollback here")
        elif entry.name not in _NO_ACTS:
            what = entry.name.partition(".")[2].replace("_", " ")
            found.append(f"a person is at work in this incident ({what})")
    found += [
        f"{change.title} came since the incident began: somebody is at work"
        for change in newer_changes(tx, since=incident.opened_at, undoable=undoable)
    ]
    return list(dict.fromkeys(found))


def undone_by(tx: Tx, *, undoable: Undoable) -> str | None:
    """Who has put this change back already, as words; None when nobody has."""
    change = undoable.change
    if change is None:
        return None
    for run in store.runs_of_change(tx, change_id=change.id):
        if run.state in DONE and run.mode in ("automatic", "button"):
            return f"rollback {run.number} has put it back already ({run.state.replace('_', ' ')})"
    return "it is rolled back already" if change.state == "rolled_back" else None


def newer_changes(tx: Tx, *, since: datetime, undoable: Undoable) -> list[Change]:
    """Changes of the service that began since then, by anybody but us."""
    own = undoable.change.id if undoable.change else None
    found = changes.changes_between(
        tx,
        start_at=since,
        end_at=tx.now + timedelta(seconds=1),
        service_ids=[undoable.service.id],
        environment=undoable.environment,
    )
    return [
        change for change in found if change.id != own and change.source != OWN_SOURCE and change.started_at >= since
    ]


def undone_in_vain(tx: Tx, incident_id: UUID) -> set[UUID]:
    """Changes that were rolled back in this incident without a recovery: they are ranked last from now on."""
    return {
        run.change_id
        for run in store.runs(tx, incident_id=incident_id)
        if run.state == "not_recovered" and run.change_id is not None
    }


def ranking_of(tx: Tx, *, incident: Incident) -> Ranking | None:
    """The newest ranking of an incident."""
    known = suspects.read_ranking(tx, incident_id=incident.id)
    return known[0] if known else None


def incident_of(tx: Tx, incident_id: UUID | None) -> Incident | None:
    return incidents.incident_by_id(tx, incident_id=incident_id) if incident_id else None
