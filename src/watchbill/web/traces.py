"""Traces: find them by what they did, and one as a waterfall with the owner of each span and its logs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from litestar import Response, get
from litestar.params import FromPath, FromQuery

from watchbill.api.given import GivenDb, GivenObserver
from watchbill.api.times import instant_of
from watchbill.api.traces import OwnedSpan, attributes_of, not_negative, outcome_of, owners, telemetry_name, trace_page
from watchbill.features import catalog
from watchbill.features.telemetry import FindTraces, TraceLine
from watchbill.kernel.errors import Unavailable, WatchbillError
from watchbill.web import shell
from watchbill.web.shell import AnyRequest, GivenWeb

RANGES = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
}
SHOWN = 100


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One span of the waterfall: ``left`` and ``width`` in percent of the trace, ``depth`` from its root."""

    owned: OwnedSpan
    depth: int
    left: float
    width: float
    bad: bool


@get("/traces", sync_to_thread=True)
def find(  # noqa: PLR0917  (Litestar passes query parameters by name)
    request: AnyRequest,
    web: GivenWeb,
    observer: GivenObserver,
    service: FromQuery[str] = "",
    name: FromQuery[str] = "",
    outcome: FromQuery[str] = "",
    at_least: FromQuery[str] = "",
    attribute: FromQuery[str] = "",
    span: FromQuery[str] = "1h",
    start: FromQuery[str] = "",
    end: FromQuery[str] = "",
) -> Response[Any]:
    """The newest traces that meet the conditions; while the observer is away, that is what the page says."""
    found: list[TraceLine] = []
    problem = ""
    with shell.looking(web, request) as screen:
        until = instant_of(end, field="end") or screen.tx.now
        since = instant_of(start, field="start") or until - RANGES.get(span, RANGES["1h"])
        known = owners(screen.tx)
        names = sorted(item.name for item in catalog.services(screen.tx))
        try:
            found = observer.ask(
                FindTraces(
                    start_at=since,
                    end_at=until,
                    service_name=telemetry_name(screen.tx, service) if service else None,
                    name=name or None,
                    outcome=outcome_of(outcome),
                    at_least_ms=not_negative(float(at_least), "at_least") if at_least else None,
                    attributes=attributes_of([attribute]) if attribute else {},
                    limit=SHOWN,
                )
            )
        except ValueError:
            problem = f"'{at_least}' is not a number of milliseconds"
        except WatchbillError as error:
            problem = error.problem.message
        return screen.page(
            "traces.html",
            title="Traces",
            found=found,
            known=known,
            names=names,
            problem=problem,
            service=service,
            name=name,
            outcome=outcome,
            at_least=at_least,
            attribute=attribute,
            span=span,
            spans=list(RANGES),
            start=start,
            end=end,
            since=since,
            until=until,
            longest=max((line.duration_ns for line in found), default=1) or 1,
        )


@get("/traces/{trace_id:str}", sync_to_thread=True)
def one(
    request: AnyRequest, web: GivenWeb, db: GivenDb, observer: GivenObserver, trace_id: FromPath[str]
) -> Response[Any]:
    """One trace."""
    with shell.looking(web, request) as screen:
        try:
            trace = trace_page(db, observer, trace_id)
        except Unavailable as error:
            return screen.page("trace.html", title="Trace", trace=None, problem=error.problem.message, bars=[])
        bars = waterfall(trace.spans)
        first = min(owned.span.started_at for owned in trace.spans)
        return screen.page(
            "trace.html",
            title=trace.spans[0].span.name,
            trace=trace,
            problem="",
            bars=bars,
            started_at=first,
            duration_ns=_end_of(trace.spans, first),
            teams=sorted({owned.team for owned in trace.spans if owned.team}),
            by_span={owned.span.span_id: owned.span for owned in trace.spans},
        )


def waterfall(spans: Sequence[OwnedSpan]) -> list[Bar]:
    """Depth first, children in the order of their starts; a span whose parent is missing stands at the root.

    Spans that name each other as parents (a broken trace) still come once each.
    """
    ids = {owned.span.span_id for owned in spans}
    children: dict[str, list[OwnedSpan]] = {}
    for owned in sorted(spans, key=lambda one: (one.span.started_at, -one.span.duration_ns)):
        parent = owned.span.parent_span_id if owned.span.parent_span_id in ids else ""
        children.setdefault("" if parent == owned.span.span_id else parent, []).append(owned)
    first = min(owned.span.started_at for owned in spans)
    total = max(_end_of(spans, first), 1)
    bars: list[Bar] = []
    seen: set[tuple[str, str]] = set()

    def walk(roots: Sequence[OwnedSpan]) -> None:
        waiting = [(owned, 0) for owned in reversed(roots)]
        while waiting:
            owned, depth = waiting.pop()
            key = (owned.span.span_id, owned.span.service_name)
            if key in seen:
                continue
            seen.add(key)
            bars.append(_bar(owned, depth, first, total))
            waiting.extend((child, depth + 1) for child in reversed(children.get(owned.span.span_id, [])))

    walk(children.get("", []))
    walk([owned for owned in spans if (owned.span.span_id, owned.span.service_name) not in seen])
    return bars


def _bar(owned: OwnedSpan, depth: int, first: datetime, total_ns: int) -> Bar:
    left = 100 * _nanos(owned.span.started_at - first) / total_ns
    width = max(0.3, 100 * owned.span.duration_ns / total_ns)
    return Bar(
        owned=owned,
        depth=min(depth, 12),
        left=round(min(left, 99.7), 3),
        width=round(min(width, 100 - min(left, 99.7)), 3),
        bad=owned.span.status == "Error",
    )


def _end_of(spans: Sequence[OwnedSpan], first: datetime) -> int:
    return max(_nanos(owned.span.started_at - first) + owned.span.duration_ns for owned in spans)


def _nanos(length: timedelta) -> int:
    return int(length.total_seconds() * 1e9)


handlers = [find, one]
