"""Which change a report speaks of: by the reporter's own identity, by what it says, or as somebody else told it.

A pipeline, its platform's webhook and the cluster may all tell one deploy. They are told apart by who they are: one
sender with another identity means another deploy, another sender of the same version at the same time means the same.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import sqlalchemy as sa

from watchbill.features.changes import sameness, store
from watchbill.features.changes.model import ROLLS, Change, ChangeReport
from watchbill.runtime.db import Tx

_LOCK = 0x57424348
TOLD_TOGETHER = timedelta(minutes=30)
"""Reports of two senders about one version: no further apart than this, or while the first says it goes on."""


class Found(msgspec.Struct, frozen=True):
    """The change, and what has to be in the ledger when it was found as another's."""

    change: Change
    note: str = ""


def take_turns(tx: Tx, *, service: str) -> None:
    """One after the other for reports of this service, until the transaction ends."""
    tx.execute(sa.text("SELECT pg_advisory_xact_lock(:a, hashtext(:b))"), {"a": _LOCK, "b": service})


def find(tx: Tx, *, report: ChangeReport, integration_id: UUID, name: str, at: datetime, source: str) -> Found | None:
    """The known change that the report speaks of, held until the transaction ends; None for a new one."""
    if report.external_id is not None:
        known = store.lock_external(tx, integration_id=integration_id, external_id=report.external_id)
        if known is not None:
            return Found(known)
    else:
        # Two reports without an identity must not both find nothing: they take turns.
        take_turns(tx, service=name)
        known = store.lock_latest(
            tx,
            integration_id=integration_id,
            service_name=name,
            environment=report.environment,
            kind=report.kind,
            version=report.version,
        )
        # What has ended is spoken of again by the same end of the same version, not by a new start.
        again = report.state != "started" and report.version is not None
        if known is not None and (known.state == "started" or (again and not _superseded(tx, known))):
            return Found(known)
    if report.kind not in ROLLS or source in sameness.OBSERVERS:
        return None  # observers look for themselves (`deployments`, `inferring`)
    take_turns(tx, service=name)
    if report.external_id is not None:  # another of its reports may have been before us
        known = store.lock_external(tx, integration_id=integration_id, external_id=report.external_id)
        if known is not None:
            return Found(known)
    return _as_others_told(tx, report=report, integration_id=integration_id, name=name, at=at, source=source)


def _as_others_told(
    tx: Tx, *, report: ChangeReport, integration_id: UUID, name: str, at: datetime, source: str
) -> Found | None:
    """The same deploy as telemetry or Kubernetes saw it, or as another sender told it."""
    near = store.of_place(
        tx,
        service_name=name,
        environment=report.environment,
        since_at=at - sameness.SAME_VERSION_WITHIN,
        kinds=[*ROLLS, "config"],
    )
    for each in near:
        others = [other for other in near if other.id != each.id]
        if not sameness.same_deploy(
            each, version=report.version, kind=report.kind, commits=report.commits, at=at, later=others
        ):
            continue
        one = store.change_by_id(tx, id=each.id, lock=True) or each  # it may have been told of meanwhile
        if one.source in sameness.OBSERVERS:
            return _take_over(tx, one, report, integration_id=integration_id, source=source)
        if _is_anothers(tx, one, report, integration_id=integration_id, at=at, source=source):
            return _share(tx, one, report, integration_id=integration_id, source=source)
    return None


def _take_over(tx: Tx, one: Change, report: ChangeReport, *, integration_id: UUID, source: str) -> Found:
    """It is the reporter's from now on."""
    taken = msgspec.structs.replace(
        one,
        integration_id=integration_id,
        external_id=report.external_id or one.external_id,
        source=source,
        kind=report.kind,
        inferred=False,
        updated_at=tx.now,
    )
    store.update_change(tx, taken)
    return Found(taken, f"{one.source} saw it before {source} reported it")


def _share(tx: Tx, one: Change, report: ChangeReport, *, integration_id: UUID, source: str) -> Found:
    """It stays with who told it first, and goes by the other's name, too."""
    turned = report.kind == "rollback" and one.kind == "deploy"
    if turned:
        # A pipeline deployed the old version, and who asked it to says what that was for.
        one = msgspec.structs.replace(one, kind="rollback", updated_at=tx.now)
        store.update_change(tx, one)
    if report.external_id is not None:
        store.write_alias(tx, integration_id=integration_id, external_id=report.external_id, change_id=one.id)
    elif not turned:
        return Found(one)
    return Found(one, f"{source} told it too, as a {report.kind}")


def _is_anothers(tx: Tx, one: Change, report: ChangeReport, *, integration_id: UUID, at: datetime, source: str) -> bool:
    """Whether a change that another sender told is the one reported: of the same version, at the same time, and not
    told by this sender already, who would mean another one by another identity.
    """
    if not (
        sameness.names_version(one, report.version)
        or any(sameness.same_version(one.version, commit) for commit in report.commits)
    ):
        return False
    if one.is_over and (max(one.started_at - at, at - one.last_at) > TOLD_TOGETHER):
        return False
    if report.external_id is None:
        # Without an identity only an end is known again; a start after the end is a new one.
        return one.integration_id != integration_id and not (report.state == "started" and one.is_over)
    mine = _sender(source, integration_id, report.external_id)
    tellers = [(one.source, one.integration_id, one.external_id), *store.aliases(tx, change_id=one.id)]
    return all(_sender(*teller) != mine for teller in tellers)


def _sender(source: str, integration_id: UUID, external_id: str) -> tuple[UUID, str]:
    """Who tells: GitHub tells of one deploy as a run of a workflow and as a deployment."""
    return integration_id, external_id.partition("/")[0] if source == "github" else ""


def _superseded(tx: Tx, known: Change) -> bool:
    """Another version was put in place since: the same version again is a new change."""
    newest = store.placed(tx, service_name=known.service_name, environment=known.environment, before_at=tx.now)
    return bool(newest) and newest[0].id != known.id and newest[0].last_at > known.last_at
