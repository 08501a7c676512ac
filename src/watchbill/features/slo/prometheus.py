"""Counts pulled from a Prometheus: aligned, slice by slice, with the past filled in.

A query counts the events of ``$window``; it is asked for at the end of every slice with the slice's length as window,
so each answer is the slice's own count (``increase`` over exactly that slice). Known traps, and what is done:

- an error series that does not exist yet is no error: *bad* that answers nothing is 0 where *total* answers;
- a selector that matches nothing is *unmeasured*, never 100 %: no row is written;
- ``le="1"`` and ``le="1.0"`` are one bound, however the server writes it (`bounds`);
- NaN and infinity are no answer; more bad (or good) than total is cut to total;
- ``increase`` extrapolates, so counts are rounded to whole events once, when they are read;
- a counter born at 1 hides its first event from ``increase``: nothing here can bring it back (OTLP's start times do).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

import httpx
import msgspec
import structlog

from watchbill.features.slo import sources, store
from watchbill.features.slo.bounds import same_bounds
from watchbill.features.slo.model import PrometheusSource, Slo
from watchbill.runtime.db import Database

log = structlog.get_logger("watchbill.slo.prometheus")

_POINTS = 10_000
"""Prometheus answers at most 11,000 points a series."""
_BACKFILL = timedelta(days=30)
_ASK_SECONDS = 20.0
_AGAIN = 3
"""The newest slices are asked for again: a scrape may have been late."""

class CountSink(Protocol):
    """Where counts go; `telemetry.TelemetryStore` is one."""

    def put_counts(
        self, *, operation_id: UUID, objective: str, slice_seconds: int, counts: Sequence[tuple[datetime, float, float]]
    ) -> None:
        """Store (slice start, good, total); a slice given again stands as given last."""
        ...


class _Series(msgspec.Struct):
    values: list[tuple[float, str]]


class _Data(msgspec.Struct):
    result: list[_Series]


class _Answer(msgspec.Struct):
    status: str
    data: _Data | None = None
    error: str = ""


class PrometheusError(Exception):
    """The server refused a query, or did not answer."""

    def __init__(self, message: str, *, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused


def servers_of(text: str | None) -> dict[str, str]:
    """``WATCHBILL_PROMETHEUS_URLS``: one URL (named default), or ``name=url,name=url``."""
    found: dict[str, str] = {}
    for part in (text or "").split(","):
        name, equals, url = part.strip().partition("=")
        if not part.strip():
            continue
        if not equals or "/" in name:
            name, url = "default", part.strip()
        found[name.strip()] = url.strip().rstrip("/")
    return found


def counts_of(
    total: Mapping[int, float], part: Mapping[int, float], *, part_is_good: bool
) -> list[tuple[int, float, float]]:
    """(slice, good, total) of the slices in which ``total`` answered; see the module for the rules."""
    rows: list[tuple[int, float, float]] = []
    for number, value in sorted(total.items()):
        events = max(0.0, value)
        given = min(max(0.0, part.get(number, 0.0)), events)
        rows.append((number, given if part_is_good else events - given, events))
    return rows


class PrometheusPuller:
    """Pulls the counts of every SLO that is measured by a Prometheus. One per observer; `pull` runs on one thread.

    Args:
        servers: URL by name (`servers_of`).
        sink: where the counts are stored.
    """

    def __init__(
        self,
        *,
        db: Database,
        sink: CountSink,
        servers: Mapping[str, str],
        slice_seconds: int,
        client: httpx.Client | None = None,
    ) -> None:
        self._db = db
        self._sink = sink
        self._servers = dict(servers)
        self._width = slice_seconds
        self._client = client or httpx.Client(timeout=_ASK_SECONDS, trust_env=False)
        self._next: dict[UUID, int] = {}
        self._errors: dict[str, str] = {}

    def pull(self) -> int:
        """Ask for what is new; returns 0 (the loop sleeps a slice)."""
        with self._db.transaction() as tx:
            now = tx.now
            pulled = [
                (one, source) for one in store.live_slos(tx) if isinstance(source := one.source, PrometheusSource)
            ]
        up: dict[str, bool] = {}
        for one, source in pulled:
            if up.get(source.server) is not False:  # away once is away for this round
                up[source.server] = self._pull_one(one, source, now)
        self._tell(up)
        return 0

    def stop(self) -> None:
        """Close the connections."""
        self._client.close()

    def _pull_one(self, one: Slo, source: PrometheusSource, now: datetime) -> bool:
        """True when the server answered, whatever it said."""
        last = int(now.timestamp()) // self._width - 1
        window = min(_BACKFILL, timedelta(seconds=one.window_seconds))
        first = self._next.get(one.id, last - int(window.total_seconds()) // self._width)
        while first <= last:
            until = min(first + _POINTS - 1, last)
            try:
                rows = self._counts(source, first, until)
            except PrometheusError as error:
                log.warning("counts are not pulled", slo=str(one.id), server=source.server, why=str(error))
                self._errors[source.server] = str(error)
                return error.refused
            self._sink.put_counts(
                operation_id=one.operation_id,
                objective=one.name,
                slice_seconds=self._width,
                counts=[(datetime.fromtimestamp(n * self._width, UTC), good, total) for n, good, total in rows],
            )
            first = until + 1
        self._next[one.id] = max(0, last + 1 - _AGAIN)
        return True

    def _counts(self, source: PrometheusSource, first: int, last: int) -> list[tuple[int, float, float]]:
        total = self._ask(source.server, source.total, first, last)
        part = self._ask(source.server, source.good or source.bad or "", first, last) if total else {}
        return counts_of(total, part, part_is_good=source.good is not None)

    def _ask(self, server: str, query: str, first: int, last: int) -> dict[int, float]:
        """The value at the end of each slice, by slice number; series of one answer are added up."""
        url = self._servers.get(server)
        if url is None:
            raise PrometheusError(f"no server '{server}' in WATCHBILL_PROMETHEUS_URLS", refused=True)
        form = {
            "query": same_bounds(query).replace("$window", f"{self._width}s"),
            "start": str((first + 1) * self._width),
            "end": str((last + 1) * self._width),
            "step": str(self._width),
        }
        try:
            reply = self._client.post(f"{url}/api/v1/query_range", data=form)
            answer = msgspec.json.decode(reply.content, type=_Answer)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            raise PrometheusError(f"{url} does not answer: {error or type(error).__name__}", refused=False) from error
        if answer.status != "success" or answer.data is None:
            refused = 400 <= reply.status_code < 500
            raise PrometheusError(answer.error or f"it answered {reply.status_code}", refused=refused)
        values: dict[int, float] = {}
        for series in answer.data.result:
            for at, text in series.values:
                value = float(text)
                if math.isfinite(value):
                    number = round(at) // self._width - 1
                    values[number] = values.get(number, 0.0) + value
        return values

    def _tell(self, up: Mapping[str, bool]) -> None:
        """Note how each server is; one that is away for long pages its owner (`sources`)."""
        if not up:
            return
        with self._db.transaction() as tx:
            for server, answered in sorted(up.items()):
                error = "" if answered else self._errors.get(server, "")
                sources.note(tx, name=sources.prometheus(server), answered=answered, error=error)
