"""Changes: deploys, flags, configuration and schema; what they cost, and how a service is delivered."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, delete, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from watchbill.api.auth import with_teams
from watchbill.api.given import GivenCaller, GivenDb
from watchbill.api.times import instant_of
from watchbill.features import alerts, catalog, changes, identity
from watchbill.features.alerts import Link
from watchbill.features.changes import Change, ChangeReport, ChangeSpend, Dora, Lockstep
from watchbill.features.identity import Caller
from watchbill.kernel.clock import as_utc
from watchbill.kernel.durations import parse_duration
from watchbill.kernel.errors import Invalid, NotFound, Problem, TooLarge
from watchbill.runtime.db import Tx

INTEGRATION = "deploys"
LARGEST_BODY = 256 * 1024
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
Line = Annotated[str, msgspec.Meta(max_length=2000)]
Kind = Literal["deploy", "flag", "config", "schema", "rollback"]


class ChangeLink(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something to open from the change."""

    title: Text
    url: Annotated[str, msgspec.Meta(pattern=r"^https?://", max_length=2048)]


class NewChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happened. ``id`` is the sender's own identity for it; without it the change is found by service,
    environment, kind and version. Sending the same again changes nothing.

    ``commits`` are hashes; ``committed_at`` is when the oldest was made, for the lead time. ``is_fix``: it mends
    an incident. ``occurred_at`` is now when left out.
    """

    service: Text
    kind: Kind = "deploy"
    environment: Annotated[str, msgspec.Meta(min_length=1, max_length=63)] = "production"
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    version: Text | None = None
    previous_version: Text | None = None
    title: Line | None = None
    commits: Annotated[list[Annotated[str, msgspec.Meta(max_length=100)]], msgspec.Meta(max_length=1000)] = []
    author: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    approver: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    reversible: Literal["yes", "no", "unknown"] | None = None
    is_fix: bool | None = None
    links: Annotated[list[ChangeLink], msgspec.Meta(max_length=20)] = []
    note: Line | None = None
    occurred_at: datetime | None = None
    committed_at: datetime | None = None


class FinishedChange(NewChange, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How it ended: finished, failed or cancelled."""

    outcome: Literal["finished", "failed", "cancelled"] = "finished"


class SpentView(msgspec.Struct, frozen=True, kw_only=True):
    """What the change spent of the budget it hurt most: ``share`` of the whole (0.31 is 31 %), in that time."""

    slo: str
    share: float
    bad: float
    start_at: datetime
    end_at: datetime
    ended_by: str


class ChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """One change. ``owned`` is false while no service of the catalog has the name."""

    id: UUID
    service: str
    owned: bool
    team: str | None
    environment: str
    kind: str
    state: str
    title: str
    version: str | None
    previous_version: str | None
    commits: list[str]
    author: str | None
    approver: str | None
    reversible: str
    is_fix: bool
    started_at: datetime
    finished_at: datetime | None
    start_seen: bool
    source: str
    external_id: str
    links: list[Link]
    inferred: bool
    note: str
    rolled_back_by: UUID | None
    budget: SpentView | None


class RecordedChange(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the report: started, finished, failed, cancelled, amended, unchanged or refused; and why."""

    outcome: str
    reason: str
    change: ChangeView


class ChangeList(msgspec.Struct, frozen=True, kw_only=True):
    """Changes, newest first."""

    changes: list[ChangeView]


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How one service is delivered: DORA's five measures, and what goes out in lockstep with it."""

    service: str
    environment: str
    dora: Dora
    lockstep: list[Lockstep]


class WatchView(msgspec.Struct, frozen=True, kw_only=True):
    """The watch over a cluster, or one namespace of it. ``behind_seconds``: how old what is known of it is."""

    cluster: str
    namespace: str | None
    holder: str | None
    behind_seconds: float
    listed_at: datetime | None
    heard_at: datetime | None
    problem: Problem | None


class WatchList(msgspec.Struct, frozen=True, kw_only=True):
    """Watches, by cluster and namespace."""

    watches: list[WatchView]


@post("/changes/start", sync_to_thread=True, status_code=200)
def start(
    request: Request[Any, Any, Any], caller: GivenCaller, db: GivenDb, data: JSONBody[NewChange]
) -> RecordedChange:
    """Say that a change begins."""
    return _record(request, caller, db, data, "started")


@post("/changes/finish", sync_to_thread=True, status_code=200)
def finish(
    request: Request[Any, Any, Any], caller: GivenCaller, db: GivenDb, data: JSONBody[FinishedChange]
) -> RecordedChange:
    """Say how a change ended; one that nobody started is taken too, and the answer says so."""
    return _record(request, caller, db, data, data.outcome)


@get("/changes", sync_to_thread=True)
def list_changes(
    *,
    caller: GivenCaller,
    db: GivenDb,
    service: Annotated[str | None, QueryParameter(description="A service's name, known or not.")] = None,
    team: Annotated[str | None, QueryParameter(description="A team's name.")] = None,
    kind: Annotated[Kind | None, QueryParameter(description="deploy, flag, config, schema or rollback.")] = None,
    environment: Annotated[str | None, QueryParameter(description="Such as production.")] = None,
    in_state: Annotated[
        Literal["started", "finished", "failed", "cancelled", "rolled_back"] | None,
        QueryParameter(name="state", description="How it stands."),
    ] = None,
    unowned: Annotated[bool, QueryParameter(description="Only those of services nobody owns.")] = False,
    since: Annotated[str | None, QueryParameter(description="RFC 3339, or a duration such as 7d.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=500)] = 100,
) -> ChangeList:
    """Changes, newest first, with what each spent of its error budget."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        name, service_ids = _scope(tx, service, team)
        found = changes.newest_changes(
            tx,
            service_ids=service_ids,
            service_name=name,
            unowned=unowned,
            kind=kind,
            environment=environment,
            state=in_state,
            since_at=_since(tx, since),
            limit=limit,
        )
        return ChangeList(changes=views(tx, found))


@get("/changes/{change_id:uuid}", sync_to_thread=True)
def show_change(caller: GivenCaller, db: GivenDb, change_id: FromPath[UUID]) -> ChangeView:
    """One change."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        return views(tx, [changes.change(tx, id=change_id)])[0]


@get("/changes/watches", sync_to_thread=True)
def list_watches(caller: GivenCaller, db: GivenDb) -> WatchList:
    """The watches over Kubernetes clusters, and what is wrong with them."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        return WatchList(watches=[_watch(one, tx.now) for one in changes.watches(tx)])


@delete("/changes/watches/{cluster:str}", sync_to_thread=True)
def forget_watch(caller: GivenCaller, db: GivenDb, cluster: FromPath[str]) -> None:
    """Forget a cluster that is no longer watched (admins). The changes it told stay."""
    identity.require(caller, "administer")
    with db.transaction() as tx:
        changes.forget_cluster(tx, cluster=cluster, actor=caller.actor)


@get("/services/{name:str}/delivery", sync_to_thread=True)
def delivery(
    caller: GivenCaller,
    db: GivenDb,
    name: FromPath[str],
    environment: Annotated[str, QueryParameter(description="Such as production.")] = "production",
    days: Annotated[int, QueryParameter(ge=7, le=400, description="Over how many days.")] = 90,
) -> Delivery:
    """DORA's five measures of one service, each with the number it rests on; never a ranking."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        service = named(tx, name)
        return Delivery(
            service=service.name,
            environment=environment,
            dora=changes.dora_of(tx, service_id=service.id, environment=environment, days=days),
            lockstep=changes.lockstep_of(tx, service=service.name, environment=environment, days=days),
        )


def views(tx: Tx, found: Any) -> list[ChangeView]:
    """Changes with the names of their teams and what they spent."""
    services = {s.id: s for s in catalog.services(tx, ids={c.service_id for c in found if c.service_id})}
    teams = {t.id: t.name for t in catalog.teams(tx, ids={s.team_id for s in services.values()})}
    spent = changes.spends(tx, changes=found)
    return [_view(one, services.get(one.service_id), teams, spent.get(one.id)) for one in found]


def _view(
    one: Change, service: catalog.Service | None, teams: dict[UUID, str], spent: ChangeSpend | None
) -> ChangeView:
    shared = (
        "id",
        "environment",
        "kind",
        "state",
        "title",
        "version",
        "previous_version",
        "commits",
        "author",
        "approver",
        "reversible",
        "is_fix",
        "started_at",
        "finished_at",
        "start_seen",
        "source",
        "external_id",
        "links",
        "inferred",
        "note",
        "rolled_back_by",
    )
    return ChangeView(
        **{name: getattr(one, name) for name in shared},
        service=service.name if service else one.service_name,
        owned=service is not None,
        team=teams.get(service.team_id) if service else None,
        budget=SpentView(slo=spent.slo, **msgspec.structs.asdict(spent.spent)) if spent else None,
    )


def _record(
    request: Request[Any, Any, Any], caller: Caller, db: GivenDb, data: NewChange, state: Any
) -> RecordedChange:
    if int(request.headers.get("content-length") or 0) > LARGEST_BODY:
        raise TooLarge("a change is at most 256 KB", hint="send hashes of commits, not their contents")
    with db.transaction() as tx:
        service = catalog.service_by_name(tx, name=data.service)
        identity.require(with_teams(tx, caller), "respond", service.team_id if service else None)
        source = alerts.builtin_integration(tx, name=INTEGRATION)
        done = changes.record_change(
            tx, report=_report(data, state), integration_id=source.id, source="api", actor=caller.actor
        )
        return RecordedChange(outcome=done.outcome, reason=done.reason, change=views(tx, [done.change])[0])


def _report(data: NewChange, state: Any) -> ChangeReport:
    try:
        occurred_at = as_utc(data.occurred_at) if data.occurred_at else None
        committed_at = as_utc(data.committed_at) if data.committed_at else None
    except (ValueError, OverflowError) as error:
        raise Invalid(str(error), field="occurred_at", hint="write 2026-11-23T21:00:00Z") from error
    same = (
        "service",
        "kind",
        "environment",
        "version",
        "previous_version",
        "title",
        "commits",
        "author",
        "approver",
        "reversible",
        "is_fix",
        "note",
    )
    return ChangeReport(
        **{name: getattr(data, name) for name in same},
        state=state,
        external_id=data.id,
        links=[Link(title=link.title, url=link.url) for link in data.links],
        occurred_at=occurred_at,
        committed_at=committed_at,
    )


def named(tx: Tx, name: str) -> catalog.Service:
    """The service of that name.

    Raises:
        NotFound: there is none.
    """
    service = catalog.service_by_name(tx, name=name)
    if service is None:
        raise NotFound(f"there is no service '{name}'", field="service", hint="see `watchbill service list`")
    return service


def _scope(tx: Tx, service: str | None, team: str | None) -> tuple[str | None, list[UUID] | None]:
    if team is not None:
        found = catalog.team_by_name(tx, name=team)
        if found is None:
            raise NotFound(f"there is no team '{team}'", field="team", hint="see `watchbill team list`")
        return None, [s.id for s in catalog.services(tx, team_id=found.id) if service in (None, s.name)]
    if service is None:
        return None, None
    known = catalog.service_by_name(tx, name=service)
    return (known.name if known else service), None


def _since(tx: Tx, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return tx.now - min(parse_duration(text), timedelta(days=400))
    except (ValueError, OverflowError):
        return instant_of(text, field="since")


def _watch(one: changes.Watched, now: datetime) -> WatchView:
    problems = changes.watch_problems([one], now=now)
    return WatchView(
        cluster=one.cluster,
        namespace=one.namespace or None,
        holder=one.holder if one.leased_until is not None and one.leased_until > now else None,
        behind_seconds=round(changes.watch_behind(one, now=now).total_seconds(), 3),
        listed_at=one.listed_at,
        heard_at=one.heard_at,
        problem=problems[0] if problems else None,
    )


handlers = [start, finish, list_changes, list_watches, forget_watch, show_change, delivery]
