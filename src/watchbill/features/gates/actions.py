"""Asking the gate, and signing past it."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features import catalog
from watchbill.features.gates import logic, reads, store
from watchbill.features.gates.model import Decision, Facts, Override
from watchbill.kernel.errors import Invalid, NotFound
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.broadcast import CHANNEL
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor

LONGEST_OVERRIDE = timedelta(days=7)


def ask_gate(
    tx: Tx,
    *,
    service: catalog.Service,
    environment: str,
    actor: Actor,
    version: str | None = None,
    is_fix: bool = False,
    is_rollback: bool = False,
) -> tuple[Decision, Facts]:
    """The answer now; an answer other than the last one to this service is in the ledger."""
    facts = reads.facts_of(
        tx, service=service, environment=environment, version=version, is_fix=is_fix, is_rollback=is_rollback
    )
    decision = logic.decide(facts, now=tx.now)
    _remember(tx, service, facts, decision, actor)
    return decision, facts


def look_at_gate(tx: Tx, *, service: catalog.Service, environment: str) -> tuple[Decision, Facts]:
    """The answer as screens show it; nobody asked, so nothing is written."""
    facts = reads.facts_of(tx, service=service, environment=environment)
    return logic.decide(facts, now=tx.now), facts


def _remember(tx: Tx, service: catalog.Service, facts: Facts, decision: Decision, actor: Actor) -> None:
    codes = [reason.code for reason in decision.reasons if reason.effect != "notes"]
    row = {
        "service_id": service.id,
        "environment": facts.environment,
        "version": facts.version,
        "answer": decision.answer,
        "proceed": decision.proceed,
        "reasons": codes,
        "answered_at": tx.now,
    }
    table = store.gate_answer
    statement = insert(table).values(**row)
    differs = sa.or_(
        *(table.c[name].is_distinct_from(statement.excluded[name]) for name in ("version", "answer", "proceed")),
        table.c.reasons != statement.excluded.reasons,
    )
    changed = tx.execute(
        statement.on_conflict_do_update(
            index_elements=["service_id", "environment"],
            set_={name: statement.excluded[name] for name in row if name not in ("service_id", "environment")},
            where=differs,
        ).returning(table.c.service_id)
    ).scalar()
    if changed is not None:
        ledger.append(
            tx,
            name="gate.answered",
            actor=actor,
            subject=("service", service.id),
            why=decision.summary,
            team_id=service.team_id,
            data={
                "answer": decision.answer,
                "proceed": decision.proceed,
                "environment": facts.environment,
                "version": facts.version,
                "reasons": codes,
            },
        )


def sign_override(
    tx: Tx,
    *,
    service: catalog.Service,
    environment: str,
    version: str | None,
    reason: str,
    lasts: timedelta,
    person_id: UUID,
    actor: Actor,
) -> Override:
    """A person takes it upon them that this goes out all the same, until it expires.

    Raises:
        Invalid: no reason, or longer than seven days.
    """
    if not reason.strip():
        raise Invalid("an override needs a reason", field="reason", hint="say why it must go out all the same")
    if not timedelta(minutes=1) <= lasts <= LONGEST_OVERRIDE:
        raise Invalid("an override lasts from a minute to seven days", field="lasts", hint="1h is usual")
    made = Override(
        id=new_id(),
        service_id=service.id,
        environment=environment,
        version=version,
        reason=reason.strip()[:1000],
        signed_by=person_id,
        created_at=tx.now,
        expires_at=tx.now + lasts,
        withdrawn_at=None,
    )
    tx.execute(sa.insert(store.gate_override).values(**msgspec.structs.asdict(made)))
    ledger.append(
        tx,
        name="gate.overridden",
        actor=actor,
        subject=("service", service.id),
        why=made.reason,
        team_id=service.team_id,
        data={
            "environment": environment,
            "version": version,
            "until": made.expires_at.isoformat(),
            "override": str(made.id),
        },
    )
    tx.hint(CHANNEL, f"service:{service.name}")
    return made


def override_by_id(tx: Tx, *, id: UUID) -> Override:
    """Raises NotFound: no such override."""
    row = tx.execute(sa.select(store.gate_override).where(store.gate_override.c.id == id)).one_or_none()
    if row is None:
        raise NotFound("there is no such override", hint="see `watchbill gate SERVICE --json`")
    return msgspec.convert(row, Override, from_attributes=True)


def withdraw_override(tx: Tx, *, id: UUID, actor: Actor) -> None:
    """End an override now; again is no change."""
    one = override_by_id(tx, id=id)
    service = catalog.service(tx, id=one.service_id)
    ended = tx.execute(
        sa.update(store.gate_override)
        .where(store.gate_override.c.id == id, store.gate_override.c.withdrawn_at.is_(None))
        .values(withdrawn_at=tx.now)
    )
    if ended.rowcount:
        ledger.append(
            tx,
            name="gate.override_withdrawn",
            actor=actor,
            subject=("service", service.id),
            team_id=service.team_id,
            data={"environment": one.environment, "version": one.version, "override": str(id)},
        )
        tx.hint(CHANNEL, f"service:{service.name}")


def note_away(
    tx: Tx, *, service: catalog.Service, environment: str, version: str | None, at: datetime, door: str, actor: Actor
) -> None:
    """A gate was passed (or not) while Watchbill was away; told afterwards by whoever asked."""
    ledger.append(
        tx,
        name="gate.away",
        actor=actor,
        subject=("service", service.id),
        why=f"Watchbill did not answer at {at.isoformat()}; the door was {door}",
        team_id=service.team_id,
        data={"environment": environment, "version": version, "at": at.isoformat(), "door": door},
    )
