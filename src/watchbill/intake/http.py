"""The addresses other tools send to: ``/in/<key>/…``, the key also as ``Authorization: Bearer``."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, Router, get, post
from litestar.concurrency import sync_to_thread
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation
from litestar.types import ControllerRouterHandler

from watchbill.features import alerts
from watchbill.features.alerts import Integration
from watchbill.intake import prometheus
from watchbill.intake.accept import accept
from watchbill.kernel.errors import Invalid
from watchbill.runtime.db import Database, Tx

_LANE = {"lane": "intake", "public": True}
AnyRequest = Request[Any, Any, Any]
GivenDb = NamedDependency[SkipValidation[Database]]


def _store_prometheus(db: Database, key: str, body: bytes) -> Response[bytes]:
    """Store the valid alerts, *then* complain about the others: what Alertmanager itself does."""
    with db.transaction() as tx:
        now = tx.now
        alerts.integration_by_key(tx, key=key)
    parsed = prometheus.parse(body, now=now)

    def source(tx: Tx) -> Integration:
        return alerts.integration_by_key(tx, key=key)

    if parsed.events:
        accept(db, source=source, events=parsed.events)
    if parsed.problems:
        raise Invalid(
            f"{len(parsed.problems)} of {len(parsed.problems) + len(parsed.events)} alerts are not valid;"
            " the others are stored",
            code="bad_alert",
            problems=parsed.problems,
        )
    return Response(b"", status_code=200, media_type="application/json")


@post(
    ["/in/{key:str}/api/v2/alerts", "/in/{key:str}/prometheus", "/in/{key:str}/prometheus/api/v2/alerts"],
    opt=_LANE,
    status_code=200,
)
async def prometheus_alerts(request: AnyRequest, db: GivenDb, key: FromPath[str]) -> Response[bytes]:
    """What Prometheus itself sends, as to an Alertmanager."""
    return await sync_to_thread(_store_prometheus, db, key, await request.body())


@post("/api/v2/alerts", opt=_LANE, status_code=200)
async def prometheus_alerts_by_header(request: AnyRequest, db: GivenDb) -> Response[bytes]:
    """The same with the key as ``Authorization: Bearer``, so that it stands in no URL."""
    _, _, key = request.headers.get("authorization", "").partition(" ")
    return await sync_to_thread(_store_prometheus, db, key.strip(), await request.body())


@get("/in/{key:str}/api/v2/status", opt=_LANE, sync_to_thread=True)
def prometheus_status(db: GivenDb, key: FromPath[str]) -> dict[str, Any]:
    """Enough of Alertmanager's status for a sender that asks whether somebody is there."""
    with db.transaction() as tx:
        alerts.integration_by_key(tx, key=key)
    return {
        "cluster": {"status": "disabled", "peers": []},
        "versionInfo": {"version": "watchbill"},
        "config": {"original": ""},
    }


def intake_router() -> Router:
    """Every intake address."""
    routes: list[ControllerRouterHandler] = [
        prometheus_alerts,
        prometheus_alerts_by_header,
        prometheus_status,
    ]
    return Router(path="/", route_handlers=routes, include_in_schema=False)
