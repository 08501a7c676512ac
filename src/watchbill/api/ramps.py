"""Watched ramps of load: start looking, see the steps, stop."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from watchbill.api.auth import with_teams
from watchbill.api.changes import named
from watchbill.api.given import GivenCaller, GivenDb
from watchbill.features import capacity, identity
from watchbill.features.capacity import Ramp

Judge = Annotated[
    bool, QueryParameter(description="The load has ended: judge what was seen; without it, nothing is fitted.")
]


class NewRamp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ramp that begins now. Without ``replicas`` those that spans name are counted; without ``latency_ms`` the
    strictest that the service promises holds; ``save`` keeps the fit as the capacity of one replica."""

    minutes: Annotated[float, msgspec.Meta(gt=0, le=240)] = 15
    step_seconds: Annotated[int, msgspec.Meta(ge=1, le=600)] = 15
    operation: Annotated[str, msgspec.Meta(max_length=200)] = ""
    environment: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] = "production"
    replicas: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None
    latency_ms: Annotated[float, msgspec.Meta(gt=0)] | None = None
    save: bool = False


@get("/capacity/{service:str}/ramps", sync_to_thread=True)
def ramps(caller: GivenCaller, db: GivenDb, service: FromPath[str]) -> list[Ramp]:
    """The last ramps of a service, the newest first, each with its steps and its verdict."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        return capacity.ramps_of(tx, service_id=named(tx, service).id)


@post("/capacity/{service:str}/ramps", sync_to_thread=True)
def start(caller: GivenCaller, db: GivenDb, service: FromPath[str], data: JSONBody[NewRamp]) -> Ramp:
    """Watch a ramp from now on. The load is made by your own tool; nothing is sent to the service."""
    with db.transaction() as tx:
        found = named(tx, service)
        identity.require(with_teams(tx, caller), "respond", found.team_id)
        return capacity.start_ramp(
            tx,
            service=found,
            operation=data.operation,
            environment=data.environment,
            replicas=data.replicas,
            step_seconds=data.step_seconds,
            lasts=timedelta(minutes=data.minutes),
            latency_ms=data.latency_ms,
            save=data.save,
            actor=caller.actor,
        )


@post("/capacity/{service:str}/ramps/stop", sync_to_thread=True, status_code=200)
def stop(caller: GivenCaller, db: GivenDb, service: FromPath[str], judge: Judge = False) -> Ramp:
    """Stop looking at the ramp that is being watched, or say that its load has ended."""
    with db.transaction() as tx:
        found = named(tx, service)
        identity.require(with_teams(tx, caller), "respond", found.team_id)
        if judge:
            return capacity.finish_ramp(tx, service=found, actor=caller.actor)
        return capacity.stop_ramp(tx, service=found, actor=caller.actor)


handlers: list[Any] = [ramps, start, stop]
