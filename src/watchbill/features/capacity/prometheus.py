"""Demand that a Prometheus measures: each hour's mean and busiest minute of the queries in ``spec.capacity``.

A query is asked at the end of every hour as ``avg_over_time((…)[1h:1m])`` and ``max_over_time((…)[1h:1m])``, for the
days that are missing, up to thirteen weeks back (as far as the server remembers). No answer is a gap, never zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import msgspec
import sqlalchemy as sa
import structlog

from watchbill.features import catalog
from watchbill.features.capacity import actions, reads, store
from watchbill.features.capacity.model import WHOLE, Kind, no_forecast
from watchbill.kernel.errors import Invalid
from watchbill.runtime import ledger
from watchbill.runtime.bulk import upsert_many
from watchbill.runtime.db import Database, Tx

log = structlog.get_logger("watchbill.capacity")

BACK = timedelta(days=91)
_AT_ONCE = timedelta(days=14)
"""Subqueries read every sample of their range: a server refuses too many in one question."""
_ASK_SECONDS = 30.0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One query, and the first hour that is missing."""

    service: catalog.Service
    kind: Kind
    server: str
    query: str
    since: datetime


class _Series(msgspec.Struct):
    values: list[tuple[float, str]]


class _Data(msgspec.Struct):
    result: list[_Series]


class _Answer(msgspec.Struct):
    status: str
    data: _Data | None = None
    error: str = ""


class _Away(Exception):
    """The server does not answer."""


class DemandPuller:
    """Pulls what is missing; one per worker, on one thread.

    Args:
        servers: URL by name.
    """

    def __init__(self, *, db: Database, servers: Mapping[str, str], client: httpx.Client | None = None) -> None:
        self._db = db
        self._servers = dict(servers)
        self._client = client or httpx.Client(timeout=_ASK_SECONDS, trust_env=False)
        self._answered: dict[tuple[UUID, Kind, str], datetime] = {}

    def pull(self) -> int:
        """Ask each query once a day, and again while its server does not answer; returns 0 (the loop sleeps)."""
        with self._db.transaction() as tx:
            today = tx.now.replace(hour=0, minute=0, second=0, microsecond=0)
            wanted = wanted_of(tx, today=today)
        away: dict[str, str] = {}
        for one in wanted:
            key = (one.service.id, one.kind, f"{one.server} {one.query}")
            if self._answered.get(key) == today:
                continue
            said = away.get(one.server)
            hours: list[tuple[datetime, float, float | None]] = []
            if said is None:
                try:
                    hours = self._hours(one, until=today)
                    said = None if hours else f"Prometheus '{one.server}' has no value of the query: {one.query}"
                    self._answered[key] = today
                except _Away as error:
                    said = away[one.server] = f"Prometheus '{one.server}' does not answer: {error}"
                except Invalid as error:
                    said = error.problem.message
                    self._answered[key] = today
            with self._db.transaction() as tx:
                self._write(tx, one, hours, said)
        return 0

    def stop(self) -> None:
        """Close the connections."""
        self._client.close()

    def _write(self, tx: Tx, one: Wanted, hours: list[tuple[datetime, float, float | None]], why: str | None) -> None:
        if why is None:
            try:
                actions.push_demand(
                    tx, service=one.service, operation=WHOLE, kind=one.kind, hours=hours,
                    actor=ledger.system("capacity"),
                )  # fmt: skip
            except Invalid as error:
                why = error.problem.message
            else:
                return
        log.warning("demand is not measured", service=one.service.name, kind=one.kind, why=why)
        refuse(tx, service_id=one.service.id, kind=one.kind, why=why)

    def _hours(self, one: Wanted, *, until: datetime) -> list[tuple[datetime, float, float | None]]:
        url = self._servers.get(one.server)
        if url is None:
            raise Invalid(
                f"there is no Prometheus '{one.server}'", field="server", hint="name it in WATCHBILL_PROMETHEUS_URLS"
            )
        found: list[tuple[datetime, float, float | None]] = []
        first = one.since
        while first < until:
            last = min(first + _AT_ONCE, until)
            means = self._ask(url, f"avg_over_time(({one.query})[1h:1m])", first, last)
            peaks = self._ask(url, f"max_over_time(({one.query})[1h:1m])", first, last)
            found += [(at, value, peaks.get(at)) for at, value in sorted(means.items())]
            first = last
        return found

    def _ask(self, url: str, query: str, first: datetime, last: datetime) -> dict[datetime, float]:
        """Value by hour of [first, last), each asked for at the hour's end."""
        body = {
            "query": query,
            "start": (first + timedelta(hours=1)).timestamp(),
            "end": last.timestamp(),
            "step": 3600,
        }
        try:
            reply = self._client.post(f"{url}/api/v1/query_range", data=body)
        except httpx.HTTPError as error:
            raise _Away(str(error) or type(error).__name__) from error
        if reply.status_code >= 500:
            raise _Away(f"status {reply.status_code}")
        try:
            answer = msgspec.json.decode(reply.content, type=_Answer)
        except msgspec.DecodeError as error:
            raise Invalid(
                f"what answers at {url} with status {reply.status_code} is no Prometheus",
                hint="see WATCHBILL_PROMETHEUS_URLS",
            ) from error
        if answer.status != "success" or answer.data is None:
            raise Invalid(f"Prometheus refuses the query: {answer.error[:300]}", hint="try it in Prometheus' own page")
        if len(answer.data.result) > 1:
            raise Invalid(
                f"the query answers {len(answer.data.result)} series: {query[:200]}",
                hint="make it one: sum(…) or max(…)",
            )
        values = answer.data.result[0].values if answer.data.result else []
        return {
            datetime.fromtimestamp(round(at), UTC) - timedelta(hours=1): float(text)
            for at, text in values
            if math.isfinite(float(text))
        }


def wanted_of(tx: Tx, *, today: datetime) -> list[Wanted]:
    """The queries of every service of which yesterday is not there yet."""
    table = store.capacity_day
    rows = tx.execute(
        sa.select(table.c.service_id, table.c.kind, sa.func.max(table.c.day_at).label("last"))
        .where(table.c.operation == WHOLE)
        .group_by(table.c.service_id, table.c.kind)
    )
    last = {(row.service_id, row.kind): row.last for row in rows}
    found = []
    for service in catalog.services(tx):
        if "prometheus" not in (service.spec.get("capacity") or {}):
            continue
        try:
            queries = reads.declared_of(service).prometheus
        except Invalid as error:
            log.warning("demand is not measured", service=service.name, why=error.problem.message)
            continue
        if queries is None:
            continue
        for kind, query in queries.by_kind().items():
            known = last.get((service.id, kind))
            if known is not None and known >= today - timedelta(days=1):
                continue
            since = max(today - BACK, known) if known is not None else today - BACK
            found.append(Wanted(service=service, kind=kind, server=queries.server, query=query, since=since))
    return found


def refuse(tx: Tx, *, service_id: UUID, kind: Kind, why: str) -> None:
    """Say on the service's page why there is no forecast; an older forecast stays."""
    known = [one for one in reads.forecasts(tx, service_ids=[service_id]) if (one.operation, one.kind) == (WHOLE, kind)]
    if any(one.refused is None or one.refused == why for one in known):
        return
    none = no_forecast(service_id=service_id, operation=WHOLE, kind=kind, now=tx.now, days=0, why=why)
    row = {
        "service_id": service_id, "operation": WHOLE, "kind": kind, "made_at": tx.now, "data": msgspec.to_builtins(none)
    }  # fmt: skip
    upsert_many(tx, store.capacity_forecast, [row], keys=("service_id", "operation", "kind"))
