"""Runners: registering them, and what they ask. A runner's calls carry its own secret, never a person's token."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from watchbill.api.given import GivenCaller, GivenDb
from watchbill.features import catalog, rollback
from watchbill.features.rollback import Outcome, Runner, Task
from watchbill.kernel.errors import NotFound, Unauthenticated
from watchbill.runtime.db import Tx

RUNNER = {"lane": "act", "public": True}


class RunnerView(msgspec.Struct, frozen=True, kw_only=True):
    """A registered runner; ``alive`` when it asked for work within the last minute and a half."""

    id: UUID
    name: str
    team: str | None
    executors: list[str]
    created_at: datetime
    last_seen_at: datetime | None
    alive: bool


class NewRunner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A runner to register. ``team`` None serves every team: for administrators only. All executors by default."""

    name: Annotated[str, msgspec.Meta(max_length=63)]
    team: str | None = None
    executors: Annotated[list[str], msgspec.Meta(max_length=20)] | None = None


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """The runner and its secret, which is shown this once only."""

    runner: RunnerView
    secret: str


class Breath(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Still at it, and this is what the executor wrote since the last breath."""

    lease: UUID
    output: Annotated[str, msgspec.Meta(max_length=1_000_000)] = ""


class BreathAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """``stop`` says why the runner must stop; None to go on."""

    stop: str | None


class End(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the executor ended."""

    lease: UUID
    outcome: Outcome
    message: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    exit_code: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)] | None = None


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What the run is called now."""

    number: int
    state: str


@get("/runners", sync_to_thread=True)
def list_runners(db: GivenDb, team: FromQuery[str | None] = None) -> list[RunnerView]:
    """Registered runners, by name."""
    with db.transaction() as tx:
        ids = None if team is None else [_team_id(tx, team)]
        return [_view(tx, each) for each in rollback.runners(tx, team_ids=ids)]


@post("/runners", sync_to_thread=True, status_code=201)
def register_runner(caller: GivenCaller, db: GivenDb, data: JSONBody[NewRunner]) -> Registered:
    """Register a runner: a process of yours that asks for work and carries out your team's commands."""
    with db.transaction() as tx:
        team_id = None if data.team is None else _team_id(tx, data.team)
        rollback.may_register(tx, caller=caller, team_id=team_id)
        executors = list(rollback.EXECUTORS) if data.executors is None else data.executors
        made, secret = rollback.register_runner(
            tx, name=data.name, team_id=team_id, executors=executors, actor=caller.actor
        )
        return Registered(runner=_view(tx, made), secret=secret)


@delete("/runners/{name:str}", sync_to_thread=True, status_code=204)
def revoke_runner(caller: GivenCaller, db: GivenDb, name: FromPath[str]) -> None:
    """Revoke a runner: it is handed nothing more."""
    with db.transaction() as tx:
        found = rollback.runner_by_name(tx, name=name)
        rollback.may_register(tx, caller=caller, team_id=found.team_id)
        rollback.revoke_runner(tx, name=name, actor=caller.actor)


@post("/runner/claim", sync_to_thread=True, opt=RUNNER, status_code=200)
def claim(request: Request[Any, Any, Any], db: GivenDb) -> Response[Task | None]:
    """For runners: take the next run; 204 when there is none."""
    with db.transaction() as tx:
        task = rollback.claim(tx, runner=_runner(tx, request))
    return Response(task, status_code=200 if task else 204)


@post("/runner/runs/{run_id:uuid}/breath", sync_to_thread=True, opt=RUNNER, status_code=200)
def breathe(
    request: Request[Any, Any, Any], db: GivenDb, run_id: FromPath[UUID], data: JSONBody[Breath]
) -> BreathAnswer:
    """For runners: renew the lease, hand over output, hear whether to stop."""
    with db.transaction() as tx:
        runner = _runner(tx, request)
        stop = rollback.breathe(tx, runner=runner, run_id=run_id, lease=data.lease, output=data.output)
        return BreathAnswer(stop=stop)


@post("/runner/runs/{run_id:uuid}/finish", sync_to_thread=True, opt=RUNNER, status_code=200)
def finish(request: Request[Any, Any, Any], db: GivenDb, run_id: FromPath[UUID], data: JSONBody[End]) -> Ended:
    """For runners: tell how it ended."""
    with db.transaction() as tx:
        run = rollback.finish(
            tx,
            runner=_runner(tx, request),
            run_id=run_id,
            lease=data.lease,
            outcome=data.outcome,
            message=data.message,
            exit_code=data.exit_code,
        )
        return Ended(number=run.number, state=run.state)


def _runner(tx: Tx, request: Request[Any, Any, Any]) -> Runner:
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or len(secret) > 200 or not secret.isascii():
        raise Unauthenticated(
            "a runner sends its own secret", code="bad_runner", hint="see `watchbill runner register`"
        )
    return rollback.authenticate_runner(tx, secret=secret.strip())


def _team_id(tx: Tx, name: str) -> UUID:
    found = catalog.team_by_name(tx, name=name)
    if found is None:
        raise NotFound(f"there is no team '{name}'", field="team", hint="see `watchbill team list`")
    return found.id


def _view(tx: Tx, runner: Runner) -> RunnerView:
    return RunnerView(
        id=runner.id,
        name=runner.name,
        team=catalog.team(tx, id=runner.team_id).name if runner.team_id else None,
        executors=runner.executors,
        created_at=runner.created_at,
        last_seen_at=runner.last_seen_at,
        alive=runner.last_seen_at is not None and tx.now - runner.last_seen_at <= rollback.ALIVE_FOR,
    )


handlers = [list_runners, register_runner, revoke_runner, claim, breathe, finish]
