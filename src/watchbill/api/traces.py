"""Traces: find them, read one with the owner of each span, and its logs. The observer answers; it may be away."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from litestar import get
from litestar.params import FromPath, QueryParameter

from watchbill.api.given import GivenCaller, GivenDb, GivenObserver
from watchbill.api.times import instant_of
from watchbill.features import catalog
from watchbill.features.telemetry import FindTraces, GetLogs, GetTrace, LogLine, Outcome, Span, TraceLine
from watchbill.kernel.errors import Invalid, NotFound
from watchbill.runtime.db import Database, Tx

ServiceName = Annotated[str | None, QueryParameter(name="service", description="A service's name, or its OTel name.")]
Name = Annotated[
    str | None, QueryParameter(name="name", description="The span's name or route, such as `POST /charge`.")
]
OutcomeName = Annotated[str | None, QueryParameter(name="outcome", description="good or bad, as an SLI counts it.")]
AtLeast = Annotated[float | None, QueryParameter(name="at_least_ms", description="The span took this long or longer.")]
AtMost = Annotated[float | None, QueryParameter(name="at_most_ms", description="The span took this long or less.")]
Attributes = Annotated[
    list[str] | None, QueryParameter(name="attribute", description="`key=value`, on the span or its resource; repeat.")
]
Environment = Annotated[str | None, QueryParameter(name="environment", description="Such as production.")]
From = Annotated[str | None, QueryParameter(name="from", description="RFC 3339; an hour before `to` when left out.")]
To = Annotated[str | None, QueryParameter(name="to", description="RFC 3339; now when left out.")]
Limit = Annotated[int, QueryParameter(name="limit", ge=1, le=500, description="At most so many, the newest first.")]


class Traces(msgspec.Struct, frozen=True, kw_only=True):
    """Traces of a range, the newest first."""

    from_at: datetime
    to_at: datetime
    traces: list[TraceLine]


class OwnedSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A span with the service of the catalog it belongs to, and the team that owns it; null when nobody does."""

    span: Span
    service: str | None
    team: str | None


class TracePage(msgspec.Struct, frozen=True, kw_only=True):
    """One trace and the log lines that carry its id."""

    trace_id: str
    spans: list[OwnedSpan]
    logs: list[LogLine]


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers for the spans that name a ``service.name``."""

    service: str
    team: str | None


def owners(tx: Tx) -> dict[str, Owner]:
    """By the ``service.name`` of telemetry (`spec.telemetry.serviceName`, else the service's own name)."""
    teams = {team.id: team.name for team in catalog.teams(tx)}
    return {
        service.telemetry_name: Owner(service=service.name, team=teams.get(service.team_id))
        for service in catalog.services(tx)
    }


def telemetry_name(tx: Tx, name: str) -> str:
    """What telemetry calls the service of that name; a name the catalog does not know is telemetry's own."""
    service = catalog.service_by_name(tx, name=name)
    return service.telemetry_name if service is not None else name


@get("/traces", sync_to_thread=True, summary="Find traces", tags=["traces"])
def find_traces(  # noqa: PLR0917  (Litestar passes query parameters by name)
    caller: GivenCaller,
    db: GivenDb,
    observer: GivenObserver,
    service: ServiceName = None,
    name: Name = None,
    outcome: OutcomeName = None,
    at_least_ms: AtLeast = None,
    at_most_ms: AtMost = None,
    attribute: Attributes = None,
    environment: Environment = None,
    from_: From = None,
    to: To = None,
    limit: Limit = 50,
) -> Traces:
    """Traces by the root or SERVER span that meets every condition. 503 while the observer is away."""
    del caller  # whoever is signed in may look
    with db.transaction() as tx:
        end = instant_of(to, field="to") or tx.now
        service_name = telemetry_name(tx, service) if service else None
    start = instant_of(from_, field="from") or end - timedelta(hours=1)
    question = FindTraces(
        start_at=start,
        end_at=end,
        service_name=service_name,
        name=name,
        outcome=outcome_of(outcome),
        at_least_ms=not_negative(at_least_ms, "at_least_ms"),
        at_most_ms=not_negative(at_most_ms, "at_most_ms"),
        attributes=attributes_of(attribute or []),
        environment=environment,
        limit=limit,
    )
    return Traces(from_at=question.start_at, to_at=question.end_at, traces=observer.ask(question))


@get("/traces/{trace_id:str}", sync_to_thread=True, summary="Read a trace", tags=["traces"])
def read_trace(caller: GivenCaller, db: GivenDb, observer: GivenObserver, trace_id: FromPath[str]) -> TracePage:
    """Every span with its owner, and the logs of the trace. 503 while the observer is away."""
    del caller
    return trace_page(db, observer, trace_id)


def trace_page(db: Database, observer: GivenObserver, trace_id: str) -> TracePage:
    """One trace with owners and logs.

    Raises:
        Invalid: not a trace id.
        NotFound: no span has it (or it is older than telemetry is kept).
        Unavailable: the observer is away.
    """
    if not trace_id or len(trace_id) > 32 or not all(digit in "0123456789abcdefABCDEF" for digit in trace_id):
        raise Invalid(f"'{trace_id[:40]}' is not a trace id", field="trace_id", hint="32 hexadecimal digits")
    spans: list[Span] = observer.ask(GetTrace(trace_id=trace_id))
    if not spans:
        raise NotFound(
            f"no span of trace {trace_id} is stored",
            hint="telemetry is kept for WATCHBILL_RETENTION_DAYS; a trace may also never have been sampled",
        )
    with db.transaction() as tx:
        known = owners(tx)
    return TracePage(
        trace_id=trace_id.lower(),
        spans=[
            OwnedSpan(span=span, service=owner.service if owner else None, team=owner.team if owner else None)
            for span in spans
            for owner in [known.get(span.service_name)]
        ],
        logs=observer.ask(GetLogs(trace_id=trace_id)),
    )


def outcome_of(text: str | None) -> Outcome | None:
    """``good``, ``bad``, or None for either.

    Raises:
        Invalid: anything else.
    """
    if not text:
        return None
    if text not in ("good", "bad"):
        raise Invalid(f"'{text}' is not an outcome", field="outcome", hint="good or bad")
    return "good" if text == "good" else "bad"


def not_negative(value: float | None, field: str) -> float | None:
    """The number as it is.

    Raises:
        Invalid: it is negative, infinite or not a number.
    """
    if value is not None and not 0 <= value < 1e12:
        raise Invalid(f"{value} is not a duration in milliseconds", field=field, hint="a number from 0")
    return value


def attributes_of(pairs: list[str]) -> dict[str, str]:
    """``key=value`` pairs.

    Raises:
        Invalid: a pair without "=", or more than eight.
    """
    if len(pairs) > 8:
        raise Invalid("more than eight attributes", field="attribute", hint="the first eight narrow it enough")
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise Invalid(f"'{pair}' is not key=value", field="attribute", hint="such as user.tier=gold")
        found[key.strip()] = value.strip()
    return found


handlers = [find_traces, read_trace]
