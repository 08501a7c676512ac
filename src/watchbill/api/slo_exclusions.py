"""What is left out of budgets, and what happens when they run low."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody

from watchbill.api.auth import with_teams
from watchbill.api.given import GivenCaller, GivenDb
from watchbill.api.slo_names import people as names_of
from watchbill.features import catalog, identity, incidents, slo
from watchbill.features.identity import Caller
from watchbill.features.slo import Crossing, Exclusion, SloView, Wanted
from watchbill.kernel.clock import as_utc
from watchbill.kernel.errors import Forbidden, Invalid
from watchbill.runtime.db import Tx

Reason = Annotated[str, msgspec.Meta(min_length=3, max_length=1000)]


class ExclusionView(msgspec.Struct, frozen=True, kw_only=True):
    """One exclusion; ``by`` and ``signed_by`` are names as they are now. ``slo_id`` null: all SLOs of the service.

    ``status``: waiting (for signatures), announced, in force, over or revoked; only minutes of the middle three are
    left out. ``needs_second`` says why two people must sign.
    """

    id: UUID
    slo_id: UUID | None
    environment: str
    start_at: datetime
    end_at: datetime
    until_at: datetime
    minutes: int
    reason: str
    status: str
    by: str
    needs_second: str | None
    signed_by: list[str]
    created_at: datetime
    ended_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    revoke_reason: str | None


class NewExclusion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[start_at, end_at), whole minutes, shall not count: for this SLO, or for all of its service in its environment.

    With ``dry_run`` nothing is written: the answer's ``exclusion`` is null.
    """

    start_at: datetime
    end_at: datetime
    reason: Reason
    whole_service: bool = False
    dry_run: bool = False


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """What it does. ``of_allowed``: percent of the time the strictest SLO concerned may be down in its window;
    ``bad`` of ``total`` events so far in the span, to about ten minutes."""

    exclusion: ExclusionView | None
    slos: int
    minutes: int
    needs_second: str | None
    of_allowed: Decimal
    bad: int
    total: int


class Why(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In words."""

    reason: Reason


class Review(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was learned and will be done; for a postmortem its link too."""

    review: Annotated[str, msgspec.Meta(min_length=10, max_length=4000)]


class RuleView(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of the error budget policy; ``below`` while it holds, ``since_at`` since when."""

    remaining: str
    do: list[str]
    below: bool
    since_at: datetime | None


class CrossingView(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold that was crossed; ``threshold`` and ``remaining`` are shares of the budget."""

    id: UUID
    at: datetime
    threshold: Decimal
    direction: str
    remaining: Decimal
    actions: list[str]
    cause: str
    why: str
    told: bool
    target: str
    review_due: bool
    reviewed_at: datetime | None
    reviewed_by: str | None
    review: str | None


class BudgetPage(msgspec.Struct, frozen=True, kw_only=True):
    """An SLO's budget: with what is excluded left out, and (``remaining_without``) as it would be if nothing were.

    ``said_by``: whether the policy is the team's or the service's own; null where there is none.
    """

    remaining: Decimal | None
    bad: int
    total: int
    excluded_seconds: int
    excluded_bad: int
    excluded_total: int
    remaining_without: Decimal | None
    exclusions: list[ExclusionView]
    said_by: str | None
    policy: list[RuleView]
    crossings: list[CrossingView]


@get("/slos/{slo_id:uuid}/budget", sync_to_thread=True, summary="A budget", tags=["slos"])
def slo_budget(caller: GivenCaller, db: GivenDb, slo_id: FromPath[UUID]) -> BudgetPage:
    """What remains with and without exclusions, the policy, and every threshold that was crossed."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        view = slo.slo_detail(tx, id=slo_id).view
        state = view.state
        crossed = slo.crossings(tx, slo_id=slo_id)
        names = names_of(tx, {one.reviewed_by for one in crossed})
        return BudgetPage(
            remaining=state.budget_remaining if state else None,
            bad=view.slo.told(state.bad) if state else 0,
            total=view.slo.told(state.total) if state else 0,
            excluded_seconds=state.excluded_seconds if state else 0,
            excluded_bad=state.excluded_bad if state else 0,
            excluded_total=state.excluded_total if state else 0,
            remaining_without=state.budget_without if state else None,
            exclusions=views_of(tx, slo.exclusions(tx, slo=view.slo)),
            said_by=slo.policy_for(tx, service_id=view.slo.service_id).said_by,
            policy=[
                RuleView(
                    remaining=f"{one.rule.remaining:f}", do=list(one.rule.do), below=one.below, since_at=one.since_at
                )
                for one in slo.stances(tx, slo_id=slo_id, service_id=view.slo.service_id)
            ],
            crossings=[_crossing(one, names) for one in crossed],
        )


@get("/slos/{slo_id:uuid}/exclusions", sync_to_thread=True, summary="Exclusions of an SLO", tags=["slos"])
def list_exclusions(caller: GivenCaller, db: GivenDb, slo_id: FromPath[UUID]) -> list[ExclusionView]:
    """All of them, whatever became of them; the newest span first."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        return views_of(tx, slo.exclusions(tx, slo=slo.slo_detail(tx, id=slo_id).view.slo))


@post("/slos/{slo_id:uuid}/exclusions", sync_to_thread=True, summary="Exclude time", tags=["slos"])
def exclude(caller: GivenCaller, db: GivenDb, slo_id: FromPath[UUID], data: JSONBody[NewExclusion]) -> Declared:
    """Leave a span out of the budget (members of the owning team, and admins).

    Announced ahead, calm and small it holds at once; else when two people have signed.
    """
    with db.transaction() as tx:
        view = slo.slo_detail(tx, id=slo_id).view
        identity.require(with_teams(tx, caller), "manage_team", view.team_id)
        wanted = wanted_of(tx, view, data.start_at, data.end_at, whole_service=data.whole_service)
        seen = slo.preview_exclusion(tx, wanted=wanted)
        made = None
        if not data.dry_run:
            made = slo.declare_exclusion(
                tx, wanted=wanted, reason=data.reason, actor=caller.actor, person_id=caller.person_id
            )
        return Declared(exclusion=views_of(tx, [made])[0] if made else None, **msgspec.structs.asdict(seen))


@post("/slos/exclusions/{id:uuid}/signature", sync_to_thread=True, status_code=200, summary="Sign", tags=["slos"])
def sign_exclusion(caller: GivenCaller, db: GivenDb, id: FromPath[UUID]) -> ExclusionView:
    """The second signature: of another person of the owning team, or an admin; never of a token."""
    with db.transaction() as tx:
        allowed(tx, caller, slo.exclusion_by_id(tx, id=id))
        signed = slo.sign_exclusion(tx, exclusion_id=id, person_id=person_of(caller), actor=caller.actor)
        return views_of(tx, [signed])[0]


@post("/slos/exclusions/{id:uuid}/revocation", sync_to_thread=True, status_code=200, summary="Revoke", tags=["slos"])
def revoke_exclusion(caller: GivenCaller, db: GivenDb, id: FromPath[UUID], data: JSONBody[Why]) -> ExclusionView:
    """Its minutes count again; it stays in the history."""
    with db.transaction() as tx:
        allowed(tx, caller, slo.exclusion_by_id(tx, id=id))
        gone = slo.revoke_exclusion(tx, exclusion_id=id, reason=data.reason, actor=caller.actor)
        return views_of(tx, [gone])[0]


@post("/slos/exclusions/{id:uuid}/end", sync_to_thread=True, status_code=200, summary="End early", tags=["slos"])
def end_exclusion(caller: GivenCaller, db: GivenDb, id: FromPath[UUID]) -> ExclusionView:
    """The maintenance is over: from the next minute on everything counts again."""
    with db.transaction() as tx:
        allowed(tx, caller, slo.exclusion_by_id(tx, id=id))
        return views_of(tx, [slo.end_exclusion(tx, exclusion_id=id, actor=caller.actor)])[0]


@post("/slos/{slo_id:uuid}/reviews/{id:uuid}", sync_to_thread=True, status_code=200, summary="Review", tags=["slos"])
def review(
    caller: GivenCaller, db: GivenDb, slo_id: FromPath[UUID], id: FromPath[UUID], data: JSONBody[Review]
) -> CrossingView:
    """Write the review or the postmortem's link that the error budget policy asks for; by a person."""
    with db.transaction() as tx:
        view = slo.slo_detail(tx, id=slo_id).view
        identity.require(with_teams(tx, caller), "manage_team", view.team_id)
        done = slo.review_crossing(
            tx, crossing_id=id, slo_id=slo_id, text=data.review, person_id=person_of(caller), actor=caller.actor
        )
        return _crossing(done, names_of(tx, {done.reviewed_by}))


def wanted_of(tx: Tx, view: SloView, start: datetime, end: datetime, *, whole_service: bool) -> Wanted:
    """What somebody asks to exclude, with the open incident of the service."""
    found = incidents.incidents_touching(
        tx, service_ids={view.slo.service_id}, start_at=tx.now, end_at=tx.now + timedelta(seconds=1)
    )
    here = [one.number for _, _, one in found if one.state == "open" and one.environment == view.slo.environment]
    return Wanted(
        service_id=view.slo.service_id,
        slo_id=None if whole_service else view.slo.id,
        environment=view.slo.environment,
        start_at=_instant(start, "start_at"),
        end_at=_instant(end, "end_at"),
        incident=min(here, default=None),
    )


def _instant(given: datetime, field: str) -> datetime:
    try:
        return as_utc(given)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{field}: {error}", field=field, hint="write 2026-03-02T09:00:00Z") from error


def allowed(tx: Tx, caller: Caller, one: Exclusion) -> None:
    """Raises Forbidden: the caller is not of the owning team."""
    team_id = catalog.service(tx, id=one.service_id).team_id
    identity.require(with_teams(tx, caller), "manage_team", team_id)


def person_of(caller: Caller) -> UUID:
    """Raises Forbidden: a token signs nothing."""
    if caller.person_id is None:
        raise Forbidden("this is signed by a person, never by a token", hint="sign in, and sign on the SLO's page")
    return caller.person_id


def views_of(tx: Tx, found: list[Exclusion]) -> list[ExclusionView]:
    """Exclusions as the API shows them, with the names of who signed."""
    people: set[UUID | None] = {one.first_by for one in found} | {one.second_by for one in found}
    people |= {UUID(one.revoked_id) for one in found if one.revoked_kind == "person" and one.revoked_id}
    names = names_of(tx, people)
    return [
        ExclusionView(
            id=one.id,
            slo_id=one.slo_id,
            environment=one.environment,
            start_at=one.start_at,
            end_at=one.end_at,
            until_at=one.until_at,
            minutes=max(0, int((one.until_at - one.start_at).total_seconds()) // 60),
            reason=one.reason,
            status=slo.exclusion_status(one, now=tx.now),
            by=names.get(one.first_by, "a token"),
            needs_second=one.needs_second,
            signed_by=[names.get(id, "somebody") for id in (one.first_by, one.second_by) if id is not None],
            created_at=one.created_at,
            ended_at=one.ended_at,
            revoked_at=one.revoked_at,
            revoked_by=None
            if one.revoked_at is None
            else names.get(UUID(one.revoked_id), "somebody")
            if one.revoked_kind == "person" and one.revoked_id
            else "a token",
            revoke_reason=one.revoke_reason,
        )
        for one in found
    ]


def _crossing(one: Crossing, names: dict[UUID | None, str]) -> CrossingView:
    return CrossingView(
        id=one.id,
        at=one.at,
        threshold=one.threshold,
        direction=one.direction,
        remaining=one.remaining,
        actions=list(one.actions),
        cause=one.cause,
        why=one.why,
        told=one.told,
        target=f"{one.target:f}",
        review_due=one.review_due,
        reviewed_at=one.reviewed_at,
        reviewed_by=names.get(one.reviewed_by) if one.reviewed_by else None,
        review=one.review,
    )


handlers = [
    slo_budget,
    list_exclusions,
    exclude,
    sign_exclusion,
    revoke_exclusion,
    end_exclusion,
    review,
]
