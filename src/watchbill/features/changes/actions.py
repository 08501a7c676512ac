"""Recording changes: one fold and one ledger entry for every report that says something new."""

from __future__ import annotations

from uuid import UUID

import msgspec

from watchbill.features import catalog
from watchbill.features.changes import finding, logic, store
from watchbill.features.changes.model import ROLLS, Change, ChangeReport, Recorded
from watchbill.kernel.errors import Conflict, Invalid
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.broadcast import CHANNEL
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor


def record_change(tx: Tx, *, report: ChangeReport, integration_id: UUID, source: str, actor: Actor) -> Recorded:
    """Take one report. Sending it again changes nothing.

    1. The service is looked up; an unknown one is kept under its name and shown as unowned.
    2. The change it speaks of is found (`finding.find`): by the source's identity, else by service, environment,
       kind and version, else as another sender told it.
    3. It is folded in (`logic.fold`), or becomes a new change.

    Raises:
        Invalid: a time in the future or too long ago, or a name or version that cannot be stored.
    """
    done = _take(tx, report=report, integration_id=integration_id, source=source, actor=actor)
    if done is None:
        raise AssertionError("a report that may make a change makes one")
    return done


def amend_change(tx: Tx, *, report: ChangeReport, integration_id: UUID, source: str, actor: Actor) -> Recorded | None:
    """`record_change` where the change is known; None, and nothing is recorded, where it is not."""
    return _take(tx, report=report, integration_id=integration_id, source=source, actor=actor, only_known=True)


def _take(
    tx: Tx, *, report: ChangeReport, integration_id: UUID, source: str, actor: Actor, only_known: bool = False
) -> Recorded | None:
    report = _storable(report)
    at = logic.occurred(report, now=tx.now)
    service = catalog.service_by_name(tx, name=report.service)
    name = service.name if service else report.service
    found = finding.find(tx, report=report, integration_id=integration_id, name=name, at=at, source=source)
    team_id = service.team_id if service else None
    if found is not None:
        known = found.change
        folded = logic.fold(known, report, at=at, now=tx.now)
        if found.note:
            _note(tx, known, "reported", found.note, actor, team_id=team_id)
            after = folded.change or known
            if after.kind == "rollback" and after.state == "finished" and known.state == "finished":
                _undo(tx, after, actor)
        if folded.change is None:
            return Recorded(outcome=folded.outcome, change=known, reason=folded.reason)
        store.update_change(tx, folded.change)
        made, outcome, reason = folded.change, folded.outcome, folded.reason
    elif only_known:
        return None
    else:
        made = _new(tx, report, service, name=name, integration_id=integration_id, source=source)
        made = msgspec.structs.replace(
            made,
            started_at=at,
            last_at=at,
            finished_at=None if report.state == "started" else at,
            start_seen=report.state == "started",
        )
        if not store.insert_change(tx, made):
            raise Conflict(
                "the same change was told by another sender at this very moment",
                code="concurrent_delivery",
                hint="send it again",
            )
        outcome = report.state
        reason = "started" if report.state == "started" else f"{report.state}, without a start that was seen"
    _note(tx, made, outcome, reason, actor, team_id=team_id)
    if made.kind == "rollback" and made.state == "finished" and outcome == "finished":
        _undo(tx, made, actor)
    return Recorded(outcome=outcome, change=made, reason=reason)


def start_change(tx: Tx, *, report: ChangeReport, integration_id: UUID, source: str, actor: Actor) -> Recorded:
    """`record_change` of a start."""
    report = msgspec.structs.replace(report, state="started")
    return record_change(tx, report=report, integration_id=integration_id, source=source, actor=actor)


def finish_change(tx: Tx, *, report: ChangeReport, integration_id: UUID, source: str, actor: Actor) -> Recorded:
    """`record_change` of an end (finished, unless the report says failed or cancelled)."""
    if report.state == "started":
        report = msgspec.structs.replace(report, state="finished")
    return record_change(tx, report=report, integration_id=integration_id, source=source, actor=actor)


def adopt_changes(tx: Tx, *, actor: Actor) -> int:
    """Give changes that nobody owned to the service that now has their name; returns how many."""
    adopted = store.adopt(tx)
    for change_id, service_id in adopted:
        ledger.append(
            tx,
            name="change.adopted",
            actor=actor,
            subject=("change", change_id),
            why="a service of this name is described now",
            data={"service_id": str(service_id)},
        )
    return len(adopted)


def mark_rolled_back(tx: Tx, *, id: UUID, by: UUID | None, why: str, actor: Actor) -> Change:
    """Say that a change was undone (by the rollback ``by``); twice is once.

    Raises:
        Conflict: it has not finished, so there is nothing to undo.
    """
    known = store.change_by_id(tx, id=id, lock=True)
    if known is None or known.state not in ("finished", "failed", "rolled_back"):
        raise Conflict("only a change that has ended can be rolled back", hint="finish or cancel it first")
    if known.state == "rolled_back":
        return known
    undone = msgspec.structs.replace(known, state="rolled_back", rolled_back_by=by, updated_at=tx.now)
    store.update_change(tx, undone)
    _note(tx, undone, "rolled_back", why, actor, team_id=None)
    return undone


def mark_not_undone(tx: Tx, *, id: UUID, why: str, actor: Actor) -> None:
    """A rollback that was told to be done has not taken: the change stands again, and the rollback has failed."""
    known = store.change_by_id(tx, id=id, lock=True)
    if known is None or known.state != "rolled_back":
        return
    rollback = store.change_by_id(tx, id=known.rolled_back_by, lock=True) if known.rolled_back_by else None
    for one, state in ((known, "finished"), (rollback, "failed")):
        if one is not None:
            told = msgspec.structs.replace(one, state=state, rolled_back_by=None, updated_at=tx.now)
            store.update_change(tx, told)
            _note(tx, told, "not_undone", why, actor, team_id=None)


def _undo(tx: Tx, rollback: Change, actor: Actor) -> None:
    """A finished rollback marks the deploy whose version it replaced."""
    if rollback.previous_version is None:
        return
    undone = [
        one
        for one in store.placed(
            tx,
            service_name=rollback.service_name,
            environment=rollback.environment,
            before_at=rollback.last_at,
            limit=20,
        )
        if one.version == rollback.previous_version and one.kind == "deploy"
    ]
    if undone:
        mark_rolled_back(tx, id=undone[0].id, by=rollback.id, why=f"undone by {rollback.title}", actor=actor)


def _new(
    tx: Tx, report: ChangeReport, service: catalog.Service | None, *, name: str, integration_id: UUID, source: str
) -> Change:
    previous = report.previous_version
    if previous is None and report.kind in ROLLS:
        before = store.placed(
            tx, service_name=name, environment=report.environment, before_at=tx.now, not_version=report.version
        )
        previous = before[0].version if before else None
    id = new_id()
    return Change(
        id=id,
        service_id=service.id if service else None,
        service_name=name,
        environment=report.environment,
        kind=report.kind,
        state=report.state,
        title=logic.title_of(report),
        version=report.version,
        previous_version=previous,
        commits=report.commits[: logic.MOST_COMMITS],
        author=report.author,
        approver=report.approver,
        reversible=report.reversible or "unknown",
        is_fix=bool(report.is_fix),
        started_at=tx.now,
        finished_at=None,
        last_at=tx.now,
        start_seen=True,
        source=source,
        integration_id=integration_id,
        external_id=report.external_id or str(id),
        links=report.links[:20],
        inferred=report.inferred,
        note=report.note or "",
        committed_at=report.committed_at,
        rolled_back_by=None,
        created_at=tx.now,
        updated_at=tx.now,
    )


def _storable(report: ChangeReport) -> ChangeReport:
    """Without U+0000, which PostgreSQL cannot hold; refuses what no list could show."""
    for field, most in (
        ("service", 255),
        ("environment", 63),
        ("version", logic.LONGEST_VERSION),
        ("external_id", 500),
    ):
        text = getattr(report, field)
        if text is not None and (not text.strip() or len(text) > most or any(ord(sign) < 32 for sign in text)):
            raise Invalid(
                f"{field} {text[:60]!r} is empty, longer than {most} signs or holds control signs",
                code="bad_change",
                field=field,
                hint=f"send at most {most} printable signs",
            )
    clean = {
        name: text.replace("\0", "\ufffd")[:2000]
        for name in ("title", "author", "approver", "note", "previous_version")
        if (text := getattr(report, name)) is not None
    }
    commits = [commit.replace("\0", "")[:100] for commit in report.commits if commit.strip("\0 ")]
    links = [
        msgspec.structs.replace(link, title=link.title.replace("\0", "\ufffd")[:200], url=link.url.replace("\0", ""))
        for link in report.links
    ]
    return msgspec.structs.replace(report, **clean, commits=commits, links=links)


def _note(tx: Tx, one: Change, outcome: str, why: str, actor: Actor, *, team_id: UUID | None) -> None:
    ledger.append(
        tx,
        name=f"change.{outcome}",
        actor=actor,
        subject=("change", one.id),
        why=why,
        team_id=team_id,
        data={
            "service": one.service_name,
            "environment": one.environment,
            "kind": one.kind,
            "version": one.version,
            "title": one.title,
            "unowned": one.service_id is None,
        },
    )
    tx.hint(CHANNEL, f"change:{one.service_name}")
