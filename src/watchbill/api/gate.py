"""The gate: may this go out now?"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from watchbill.api.auth import with_teams
from watchbill.api.changes import named
from watchbill.api.given import GivenCaller, GivenDb
from watchbill.features import catalog, gates, identity
from watchbill.features.gates import Policy, Reason
from watchbill.kernel.clock import as_utc
from watchbill.kernel.durations import parse_duration
from watchbill.kernel.errors import Forbidden, Invalid
from watchbill.manifest import File
from watchbill.manifest.policy import proposed_gate

Environment = Annotated[str, QueryParameter(description="Such as production.")]
Version = Annotated[str | None, QueryParameter(description="What is about to go out.")]
_LONGEST = timedelta(days=90)
REPLAY_BYTES = 16 * 1024 * 1024


class GateView(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: go, no-go or unknown. ``proceed`` is what a pipeline that follows the policy does."""

    service: str
    environment: str
    version: str | None
    answer: str
    proceed: bool
    summary: str
    reasons: list[Reason]
    policy: Policy
    overrides: list[OverrideView]
    at: datetime


class OverrideView(msgspec.Struct, frozen=True, kw_only=True):
    """A signed override; ``signed_by`` is a person's id."""

    id: UUID
    version: str | None
    reason: str
    signed_by: UUID
    created_at: datetime
    expires_at: datetime


class NewOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """It goes out all the same: signed by the caller, for ``lasts`` (at most 7d), for one version or any."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    environment: Annotated[str, msgspec.Meta(min_length=1, max_length=63)] = "production"
    version: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    lasts: str = "1h"


class AwayNote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gate that was asked while Watchbill did not answer, told afterwards."""

    at: datetime
    door: Annotated[str, msgspec.Meta(pattern="^(open|closed)$")]
    environment: Annotated[str, msgspec.Meta(min_length=1, max_length=63)] = "production"
    version: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None


class ReplayedDeploy(msgspec.Struct, frozen=True, kw_only=True):
    """One past deploy, and what the gate would have said; ``avoided`` are numbers of incidents."""

    change_id: UUID
    version: str | None
    state: str
    started_at: datetime
    answer: str
    proceed: bool
    summary: str
    avoided: list[int]


class TriedPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Manifests as they would be: of the service, its team, or both."""

    files: Annotated[list[File], msgspec.Meta(min_length=1, max_length=1000)]
    environment: Annotated[str, msgspec.Meta(min_length=1, max_length=63)] = "production"
    since: str = "30d"


class GateReplay(msgspec.Struct, frozen=True, kw_only=True):
    """A policy over past deploys."""

    service: str
    environment: str
    since_at: datetime
    deploys: list[ReplayedDeploy]
    stopped: int
    unknown: int
    avoided: list[int]


@get("/gate/{service:str}", sync_to_thread=True)
def ask(
    *,
    caller: GivenCaller,
    db: GivenDb,
    service: FromPath[str],
    environment: Environment = "production",
    version: Version = None,
    fix: Annotated[bool, QueryParameter(description="It mends something: fixes always go.")] = False,
    rollback: Annotated[bool, QueryParameter(description="It goes back: rollbacks always go.")] = False,
) -> GateView:
    """Ask. An answer that differs from the last one is in the ledger."""
    identity.require(caller, "read")
    if not 0 < len(environment) <= 63 or (version is not None and not 0 < len(version) <= 200):
        raise Invalid("environment is at most 63 signs, version at most 200", field="environment")
    if "\0" in environment + (version or ""):
        raise Invalid("environment and version hold no zero bytes", field="version")
    with db.transaction() as tx:
        found = named(tx, service)
        decision, facts = gates.ask_gate(
            tx,
            service=found,
            environment=environment,
            version=version,
            is_fix=fix,
            is_rollback=rollback,
            actor=caller.actor,
        )
        return GateView(
            service=found.name,
            environment=environment,
            version=version,
            answer=decision.answer,
            proceed=decision.proceed,
            summary=decision.summary,
            reasons=list(decision.reasons),
            policy=facts.policy,
            overrides=[_override(one) for one in facts.overrides],
            at=tx.now,
        )


@get("/gate/{service:str}/replay", sync_to_thread=True)
def replay(
    caller: GivenCaller,
    db: GivenDb,
    service: FromPath[str],
    environment: Environment = "production",
    since: Annotated[str, QueryParameter(description="How far back, such as 30d; at most 90d.")] = "30d",
) -> GateReplay:
    """Which deploys of the past would have been stopped, and which incidents that would have avoided."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        found = named(tx, service)
        done = gates.replay(tx, service=found, environment=environment, since=_duration(since, "since", _LONGEST))
        return _replayed(found, environment, done)


def _replayed(service: catalog.Service, environment: str, done: gates.Replay) -> GateReplay:
    return GateReplay(
        service=service.name,
        environment=environment,
        since_at=done.since_at,
        deploys=[
            ReplayedDeploy(
                change_id=line.change.id,
                version=line.change.version,
                state=line.change.state,
                started_at=line.change.started_at,
                answer=line.decision.answer,
                proceed=line.decision.proceed,
                summary=line.decision.summary,
                avoided=line.avoided,
            )
            for line in done.deploys
        ],
        stopped=done.stopped,
        unknown=done.unknown,
        avoided=done.avoided,
    )


@post("/gate/{service:str}/replay", sync_to_thread=True, status_code=200, request_max_body_size=REPLAY_BYTES)
def try_policy(caller: GivenCaller, db: GivenDb, service: FromPath[str], data: JSONBody[TriedPolicy]) -> GateReplay:
    """The same by the policy that these manifests would give the service; nothing is changed."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        found = named(tx, service)
        policy = proposed_gate(tx, files=data.files, service=found)
        since = _duration(data.since, "since", _LONGEST)
        return _replayed(
            found,
            data.environment,
            gates.replay(tx, service=found, environment=data.environment, since=since, policy=policy),
        )


@post("/gate/{service:str}/overrides", sync_to_thread=True)
def override(caller: GivenCaller, db: GivenDb, service: FromPath[str], data: JSONBody[NewOverride]) -> OverrideView:
    """Sign an override (members of the owning team, and admins; a person, never a token)."""
    with db.transaction() as tx:
        found = named(tx, service)
        identity.require(caller, "manage_team", found.team_id)
        if caller.person_id is None:
            raise Forbidden("an override is signed by a person", hint="sign in and override on the service's page")
        made = gates.sign_override(
            tx,
            service=found,
            environment=data.environment,
            version=data.version,
            reason=data.reason,
            lasts=_duration(data.lasts, "lasts", _LONGEST),
            person_id=caller.person_id,
            actor=caller.actor,
        )
        return _override(made)


@delete("/gate/overrides/{override_id:uuid}", sync_to_thread=True)
def withdraw(caller: GivenCaller, db: GivenDb, override_id: FromPath[UUID]) -> None:
    """End an override now."""
    with db.transaction() as tx:
        one = gates.override_by_id(tx, id=override_id)
        identity.require(caller, "manage_team", catalog.service(tx, id=one.service_id).team_id)
        gates.withdraw_override(tx, id=override_id, actor=caller.actor)


@post("/gate/{service:str}/away", sync_to_thread=True, status_code=204)
def away(caller: GivenCaller, db: GivenDb, service: FromPath[str], data: JSONBody[AwayNote]) -> None:
    """Tell that the gate was asked while Watchbill was away, so that it stands in the ledger."""
    with db.transaction() as tx:
        found = named(tx, service)
        identity.require(with_teams(tx, caller), "respond", found.team_id)
        try:
            at = as_utc(data.at)
        except (ValueError, OverflowError) as error:
            raise Invalid(str(error), field="at", hint="write 2026-11-23T21:00:00Z") from error
        gates.note_away(
            tx,
            service=found,
            environment=data.environment,
            version=data.version,
            at=at,
            door=data.door,
            actor=caller.actor,
        )


def _override(one: gates.Override) -> OverrideView:
    return OverrideView(
        id=one.id,
        version=one.version,
        reason=one.reason,
        signed_by=one.signed_by,
        created_at=one.created_at,
        expires_at=one.expires_at,
    )


def _duration(text: str, field: str, most: timedelta) -> timedelta:
    try:
        found = parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise Invalid(str(error), field=field, hint="write 90m, 24h or 30d") from error
    if found > most:
        raise Invalid(f"{field} is at most {most.days} days", field=field, hint="ask for less")
    return found


handlers = [ask, replay, try_policy, override, withdraw, away]
