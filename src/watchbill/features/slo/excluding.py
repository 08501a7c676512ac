"""Use-cases of exclusions: declare, sign, end early, revoke; each once, by somebody, with a reason, in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import msgspec

from watchbill.features import catalog
from watchbill.features.slo import exclusion as rules
from watchbill.features.slo import exclusion_store, store
from watchbill.features.slo.budget import as_decimal
from watchbill.features.slo.exclusion import MINUTE, Exclusion, Question
from watchbill.features.slo.model import Slo
from watchbill.features.slo.policy_reads import policy_for
from watchbill.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be left out: of one SLO, or (``slo_id`` None) of all of the service in ``environment``.

    ``incident``: the number of an open incident of the service, if there is one.
    """

    service_id: UUID
    slo_id: UUID | None
    environment: str
    start_at: datetime
    end_at: datetime
    incident: int | None = None


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What an exclusion would do, before it is declared. ``of_allowed`` is the percent of the time the strictest SLO
    may be down in its window; ``bad`` and ``total`` are what the stored series hold in the span, to about ten minutes.
    """

    slos: int
    minutes: int
    needs_second: str | None
    of_allowed: Decimal
    bad: int
    total: int


def preview_exclusion(tx: Tx, *, wanted: Wanted) -> Preview:
    """What would happen; nothing is written.

    Raises:
        Invalid, NotFound: as `declare_exclusion`.
    """
    concerned = _concerned(tx, wanted)
    rules.check_span(wanted.start_at, wanted.end_at, now=tx.now)
    seconds = int((wanted.end_at - wanted.start_at).total_seconds())
    bad = total = 0
    for one in concerned:
        for hour, width, failed, counted in store.read_series(
            tx, slo_id=one.id, start=wanted.start_at - timedelta(hours=1), end=wanted.end_at
        ):
            for place in range(len(counted)):
                at = hour + timedelta(seconds=place * width)
                if wanted.start_at < at + timedelta(seconds=width) and at < wanted.end_at:
                    bad, total = bad + failed[place], total + counted[place]
    least = min(one.budget_share * one.window_seconds for one in concerned)
    return Preview(
        slos=len(concerned),
        minutes=seconds // 60,
        needs_second=_second(tx, wanted, concerned),
        of_allowed=as_decimal(100 * Fraction(seconds) / least, places=1),
        bad=bad,
        total=total,
    )


def declare_exclusion(tx: Tx, *, wanted: Wanted, reason: str, actor: Actor, person_id: UUID | None) -> Exclusion:
    """Leave a span out of budgets. Announced ahead and small, it holds at once; else when two people have signed.

    ``person_id`` signs with it; a token (None) declares, and where two people must sign, both still have to.

    Raises:
        Invalid: no reason, no whole minutes, too long, too far away, or there is no SLO that it would concern.
        NotFound: no such SLO in this service.
        Conflict: the same span is declared already.
    """
    if len(reason.strip()) < 3:
        raise Invalid("an exclusion needs a reason", field="reason", hint="say what is done in this time")
    catalog.lock_catalog(tx)
    concerned = _concerned(tx, wanted)
    rules.check_span(wanted.start_at, wanted.end_at, now=tx.now)
    for known in exclusion_store.exclusions_of(tx, service_ids=[wanted.service_id]):
        same = (known.slo_id, known.environment, *known.span) == (
            wanted.slo_id, wanted.environment, wanted.start_at, wanted.end_at,
        )  # fmt: skip
        if same and known.revoked_at is None:
            raise Conflict("exactly this is declared already", code="excluded_already", hint="see the SLO's page")
    made = Exclusion(
        id=new_id(),
        service_id=wanted.service_id,
        slo_id=wanted.slo_id,
        environment=wanted.environment,
        start_at=wanted.start_at,
        end_at=wanted.end_at,
        reason=reason.strip()[:1000],
        needs_second=_second(tx, wanted, concerned),
        created_at=tx.now,
        actor_kind=actor.kind,
        actor_id=actor.id,
        first_by=person_id,
        second_by=None,
        second_at=None,
        ended_at=None,
        revoked_at=None,
        revoked_kind=None,
        revoked_id=None,
        revoke_reason=None,
        changed_at=tx.now,
        counted_at=None,
    )
    exclusion_store.insert_exclusion(tx, one=made)
    _note(tx, "slo.exclusion_declared", made, actor, made.reason, slos=len(concerned))
    return made


def sign_exclusion(tx: Tx, *, exclusion_id: UUID, person_id: UUID, actor: Actor) -> Exclusion:
    """A second person agrees: from now on its minutes are left out.

    Raises:
        NotFound: no such exclusion.
        Conflict: it is revoked, or needs no signature any more.
        Forbidden: the same person cannot sign twice.
    """
    one = _locked(tx, exclusion_id)
    if one.revoked_at is not None:
        raise Conflict("this exclusion is revoked", code="exclusion_revoked", hint="declare it anew")
    if one.signed:
        raise Conflict("it has all the signatures that it needs", code="exclusion_signed")
    if one.first_by == person_id:
        raise Forbidden(
            "you signed this already: the second signature is another person's", hint="ask somebody of the team"
        )
    values: dict[str, Any] = {"first_by": person_id}
    if one.first_by is not None:
        values = {"second_by": person_id, "second_at": tx.now}
    signed = exclusion_store.set_exclusion(tx, exclusion_id=one.id, **values)
    _note(tx, "slo.exclusion_signed", signed, actor, one.reason)
    return signed


def revoke_exclusion(tx: Tx, *, exclusion_id: UUID, reason: str, actor: Actor) -> Exclusion:
    """Its minutes count again, all of them. It stays in the history. One signature: this never helps a budget.

    Raises:
        NotFound, Conflict: there is none, or it is revoked.
        Invalid: no reason.
    """
    one = _locked(tx, exclusion_id)
    if one.revoked_at is not None:
        raise Conflict("this exclusion is revoked already", code="exclusion_revoked")
    if len(reason.strip()) < 3:
        raise Invalid("say why it is revoked", field="reason", hint="such as: the maintenance was put off")
    gone = exclusion_store.set_exclusion(
        tx,
        exclusion_id=one.id,
        revoked_at=tx.now,
        revoked_kind=actor.kind,
        revoked_id=actor.id,
        revoke_reason=reason.strip()[:1000],
    )
    _note(tx, "slo.exclusion_revoked", gone, actor, reason.strip())
    return gone


def end_exclusion(tx: Tx, *, exclusion_id: UUID, actor: Actor) -> Exclusion:
    """The maintenance is over early: what comes after this minute counts again.

    Raises:
        NotFound: no such exclusion.
        Conflict: it is not in force now.
    """
    one = _locked(tx, exclusion_id)
    if rules.status(one, now=tx.now) != "in force":
        raise Conflict("it is not in force now, so there is nothing to end", code="not_in_force", hint="revoke it")
    at = tx.now.replace(second=0, microsecond=0)
    ended = exclusion_store.set_exclusion(tx, exclusion_id=one.id, ended_at=min(at + MINUTE, one.until_at))
    _note(tx, "slo.exclusion_ended", ended, actor, "over early")
    return ended


def exclusions(tx: Tx, *, slo: Slo) -> list[Exclusion]:
    """All that concern this SLO, whatever became of them; the newest span first."""
    found = exclusion_store.exclusions_of(tx, service_ids=[slo.service_id])
    return [one for one in found if one.concerns(slo_id=slo.id, service_id=slo.service_id, environment=slo.environment)]


def exclusion_by_id(tx: Tx, *, id: UUID) -> Exclusion:
    """Raises NotFound: no such exclusion."""
    one = exclusion_store.exclusion_by_id(tx, exclusion_id=id)
    if one is None:
        raise NotFound("there is no such exclusion", hint="see `watchbill slo exclusions`")
    return one


def _locked(tx: Tx, exclusion_id: UUID) -> Exclusion:
    one = exclusion_store.exclusion_by_id(tx, exclusion_id=exclusion_id, lock=True)
    if one is None:
        raise NotFound("there is no such exclusion", hint="see `watchbill slo exclusions`")
    return one


def _concerned(tx: Tx, wanted: Wanted) -> list[Slo]:
    found = [
        one
        for one in store.slos_of_services(tx, service_ids=[wanted.service_id])
        if (one.environment == wanted.environment if wanted.slo_id is None else one.id == wanted.slo_id)
    ]
    if not found and wanted.slo_id is not None:
        raise NotFound(f"there is no SLO {wanted.slo_id}", hint="see `watchbill slo list`")
    if not found:
        raise Invalid(f"the service has no SLO in {wanted.environment}", field="environment", hint="name another")
    return found


def _second(tx: Tx, wanted: Wanted, concerned: Sequence[Slo]) -> str | None:
    longest = max(one.window_seconds for one in concerned)
    since = wanted.start_at - timedelta(seconds=longest)
    known = exclusion_store.exclusions_of(tx, service_ids=[wanted.service_id], since=since)
    states = store.states_of(tx, slo_ids=[one.id for one in concerned])
    asked = [
        Question(
            name=slo.name,
            window=timedelta(seconds=slo.window_seconds),
            share=slo.budget_share,
            others=[
                one.span
                for one in known
                if one.holds and one.concerns(slo_id=slo.id, service_id=slo.service_id, environment=slo.environment)
            ],
            firing=slo.id in states and states[slo.id].state == "firing",
        )
        for slo in concerned
    ]
    policy = policy_for(tx, service_id=wanted.service_id)
    return rules.second_signature(
        (wanted.start_at, wanted.end_at), asked, now=tx.now, incident=wanted.incident, alone=policy.exclude_alone
    )


def _note(tx: Tx, name: str, one: Exclusion, actor: Actor, why: str, **more: Any) -> None:
    service = catalog.service(tx, id=one.service_id)
    ledger.append(
        tx,
        name=name,
        actor=actor,
        subject=("slo", one.slo_id) if one.slo_id else ("service", one.service_id),
        team_id=service.team_id,
        why=why,
        data={
            "exclusion": str(one.id),
            "from": one.start_at.isoformat(),
            "until": one.until_at.isoformat(),
            "environment": one.environment,
            "holds": one.holds,
            "needs_second": one.needs_second,
            **more,
        },
    )
    tx.hint("watchbill_live", f"slo:{one.slo_id or service.name}")
