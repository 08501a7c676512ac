"""The addresses that other tools tell of changes at: ``/in/<key>/<format>`` and ``/v2/change/enqueue``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from litestar import Request, Response, Router, post
from litestar.concurrency import sync_to_thread
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation
from litestar.types import ControllerRouterHandler
from msgspec.structs import replace

from watchbill.features import alerts, catalog, changes
from watchbill.features.alerts import Integration
from watchbill.intake.changes import argocd, cdevents, flux, github, gitlab, pagerduty, signatures
from watchbill.intake.changes.base import Headers, Parsed, Told, json_object, text
from watchbill.kernel.errors import Conflict, Forbidden, Invalid, TooLarge, Unauthenticated, WatchbillError
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database, Tx
from watchbill.runtime.ledger import Actor

LARGEST_BODY = 5 * 1024 * 1024
"""GitHub caps its payloads at 25 MB, and those of deployments are a thousandth of that."""

FORMATS: dict[str, Callable[[bytes, Headers], Parsed]] = {
    "github": github.parse,
    "gitlab": gitlab.parse,
    "argocd": argocd.parse,
    "flux": flux.parse,
    "cdevents": cdevents.parse,
}
AnyRequest = Request[Any, Any, Any]
GivenDb = NamedDependency[SkipValidation[Database]]
GivenSettings = NamedDependency[SkipValidation[Settings]]
_LANE = {"lane": "intake", "public": True}


def take(db: Database, settings: Settings, *, format: str, key: str, body: bytes, headers: Headers) -> dict[str, Any]:
    """Check, parse and record one delivery in one commit.

    Raises:
        Unauthenticated: unknown key, no or wrong signature. Conflict: the same signed delivery once more.
        Invalid: not what the format says. TooLarge: over 5 MB.
    """
    if len(body) > LARGEST_BODY:
        raise TooLarge("a delivery is at most 5 MB", hint="send deployment events only")
    with db.transaction() as tx:
        source = alerts.integration_by_key(tx, key=key)
        if source.format != format:
            raise Forbidden(
                f"this key is of a {source.format} integration",
                hint=f"make one with --format {format} for this address",
            )
        if format in signatures.SIGNED:
            signatures.check(
                format,
                body=body,
                headers=headers,
                secret_keys=settings.secret_keys,
                integration_id=source.id,
                now=tx.now,
            )
        parsed = FORMATS[format](body, headers)
        if format in signatures.SIGNED:
            _once(tx, source, parsed, body)
        return _record(tx, source, parsed, format)


def _once(tx: Tx, source: Integration, parsed: Parsed, body: bytes) -> None:
    """What was signed is taken once: a recorded delivery sent again by somebody else changes nothing."""
    if parsed.sent_at is not None and tx.now - parsed.sent_at > signatures.FRESH_FOR * 6:
        raise Unauthenticated("this delivery is more than an hour old", code="replayed", hint="send new ones only")
    id = "sha256:" + hashlib.sha256(body).hexdigest()
    if not alerts.new_deliveries(tx, integration_id=source.id, delivery_ids=[id]):
        raise Conflict("this delivery was taken before", code="replayed", hint="nothing more is to be done")


def _record(tx: Tx, source: Integration, parsed: Parsed, format: str) -> dict[str, Any]:
    done: list[dict[str, str]] = []
    for told in parsed.told:
        record = changes.amend_change if told.only_known else changes.record_change
        recorded = record(
            tx,
            report=_named(tx, source, told),
            integration_id=source.id,
            source=format,
            actor=Actor("integration", str(source.id)),
        )
        if recorded is None:
            return {"status": "success", "changes": done, "ignored": "it speaks of a change that nobody told yet"}
        done.append({"change": str(recorded.change.id), "outcome": recorded.outcome, "reason": recorded.reason})
    return {"status": "success", "changes": done, **({"ignored": parsed.ignored} if parsed.ignored else {})}


def _named(tx: Tx, source: Integration, told: Told) -> changes.ChangeReport:
    """The report with its service: as named, else the integration's own, else the only one of that repository."""
    if told.named:
        return told.report
    if source.service_id is not None:
        return replace(told.report, service=catalog.service(tx, id=source.service_id).name)
    if told.repository is not None and catalog.service_by_name(tx, name=told.report.service) is None:
        wanted = _plain(told.repository)
        having = [s.name for s in catalog.services(tx) if _plain(str(s.spec.get("repository") or "")) == wanted]
        if len(having) == 1:
            return replace(told.report, service=having[0])
    return told.report


def _plain(url: str) -> str:
    return url.strip().lower().removesuffix("/").removesuffix(".git")


async def _take(request: AnyRequest, db: Database, settings: Settings, format: str, key: str) -> Response[Any]:
    headers = {name.lower(): value for name, value in request.headers.items()}
    body = await request.body()

    def work() -> dict[str, Any]:
        return take(db, settings, format=format, key=key, body=body, headers=headers)

    return Response(await sync_to_thread(work), status_code=202)


@post("/in/{key:str}/github", opt=_LANE)
async def from_github(request: AnyRequest, db: GivenDb, settings: GivenSettings, key: FromPath[str]) -> Response[Any]:
    """GitHub's webhooks."""
    return await _take(request, db, settings, "github", key)


@post("/in/{key:str}/gitlab", opt=_LANE)
async def from_gitlab(request: AnyRequest, db: GivenDb, settings: GivenSettings, key: FromPath[str]) -> Response[Any]:
    """GitLab's webhooks."""
    return await _take(request, db, settings, "gitlab", key)


@post("/in/{key:str}/argocd", opt=_LANE)
async def from_argocd(request: AnyRequest, db: GivenDb, settings: GivenSettings, key: FromPath[str]) -> Response[Any]:
    """Argo CD notifications."""
    return await _take(request, db, settings, "argocd", key)


@post("/in/{key:str}/flux", opt=_LANE)
async def from_flux(request: AnyRequest, db: GivenDb, settings: GivenSettings, key: FromPath[str]) -> Response[Any]:
    """Flux's notification-controller."""
    return await _take(request, db, settings, "flux", key)


@post("/in/{key:str}/cdevents", opt=_LANE)
async def from_cdevents(request: AnyRequest, db: GivenDb, settings: GivenSettings, key: FromPath[str]) -> Response[Any]:
    """CloudEvents with CDEvents in them."""
    return await _take(request, db, settings, "cdevents", key)


@post("/v2/change/enqueue", opt=_LANE)
async def from_pagerduty(request: AnyRequest, db: GivenDb) -> Response[Any]:
    """PagerDuty's change events; the routing key is the integration's key."""
    body = await request.body()
    return await sync_to_thread(_take_pagerduty, db, body)


def _take_pagerduty(db: Database, body: bytes) -> Response[Any]:
    """Answers as PagerDuty does: 202, or 400 with ``errors``."""
    try:
        if len(body) > 512 * 1024:
            raise Invalid("a change event is at most 512 KB")
        data = json_object(body)
        key = text(data, "routing_key")
        if key is None or len(key) > 512:
            raise Invalid("routing_key is required", field="routing_key")
        with db.transaction() as tx:
            source = alerts.integration_by_key(tx, key=key)
            _record(tx, source, pagerduty.parse(data, body), "pagerduty")
    except WatchbillError as error:
        if error.status >= 500:
            raise
        said = {"status": "invalid event", "message": "Event object is invalid", "errors": [error.problem.message]}
        return Response(said, status_code=400)
    return Response({"status": "success", "message": "Change event processed", "links": []}, status_code=202)


def change_router() -> Router:
    """Every address for changes."""
    routes: list[ControllerRouterHandler] = [
        from_github,
        from_gitlab,
        from_argocd,
        from_flux,
        from_cdevents,
        from_pagerduty,
    ]
    return Router(path="/", route_handlers=routes, include_in_schema=False)
