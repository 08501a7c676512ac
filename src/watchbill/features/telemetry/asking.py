"""What other processes may ask the observer, as data: the observer answers, everybody else asks over HTTP.

A question is one struct and its answer another; both travel as JSON. A new question is a struct here and a line in
`answer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from watchbill.features.telemetry import counts, traces
from watchbill.features.telemetry.calls import GetCalls, TraceCalls, calls_of
from watchbill.features.telemetry.edges import Edges, GetEdges, edges_of
from watchbill.features.telemetry.engine import Engine
from watchbill.features.telemetry.load import GetLoad, LoadStep, load_of
from watchbill.features.telemetry.model import CountColumns, LogLine, Outcome, Span, TraceLine
from watchbill.features.telemetry.versions import GetVersions, Versions, versions_of
from watchbill.kernel.errors import Invalid

PATH = "/questions"
"""Where the observer answers, on its OTLP port."""
PURPOSE = "observer.question"
"""What the signature of a question is for (`watchbill.runtime.signing`)."""

_LONGEST_RANGE_DAYS = 31


class FindTraces(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="find_traces"):
    """Traces with a root or SERVER span that meets every condition, the newest first.

    ``name`` is compared with the span's name and its route; ``attributes`` with the span's, then its resource's.
    Durations are those of the span that matched. Of a trace with several such spans the first stands for it.
    """

    start_at: datetime
    end_at: datetime
    service_name: str | None = None
    name: str | None = None
    outcome: Outcome | None = None
    at_least_ms: Annotated[float, Meta(ge=0)] | None = None
    at_most_ms: Annotated[float, Meta(ge=0)] | None = None
    attributes: Annotated[Mapping[str, str], Meta(max_length=8)] = msgspec.field(default_factory=dict)
    environment: str | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 50


class GetTrace(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="trace"):
    """Every span of one trace, in the order of their starts; at most 10,000."""

    trace_id: Annotated[str, Meta(pattern="^[0-9a-fA-F]{1,32}$")]


class GetLogs(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="logs"):
    """The log lines of one trace, in order; at most ``limit``."""

    trace_id: Annotated[str, Meta(pattern="^[0-9a-fA-F]{1,32}$")]
    limit: Annotated[int, Meta(ge=1, le=5000)] = 1000


class GetCounts(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="counts"):
    """The counts of one operation and objective, slice by slice; both ends are floored to whole slices.

    ``given``: somebody else counts it and gives us the counts, so only what was given is measured.
    """

    operation_id: UUID
    objective: str
    start_at: datetime
    end_at: datetime
    slice_seconds: Annotated[int, Meta(ge=1, le=3600)]
    given: bool = False


class PutCounts(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="put_counts"):
    """Store counts that somebody sends: (slice start, good, total). Given again, the last stands. No question, but the
    observer is who writes."""

    operation_id: UUID
    objective: str
    slice_seconds: Annotated[int, Meta(ge=1, le=3600)]
    counts: Annotated[list[tuple[datetime, float, float]], Meta(max_length=1000)]


Question = FindTraces | GetTrace | GetLogs | GetCounts | GetVersions | GetCalls | GetEdges | GetLoad | PutCounts

ANSWERS: Mapping[type[Any], Any] = {
    FindTraces: list[TraceLine],
    GetTrace: list[Span],
    GetLogs: list[LogLine],
    GetCounts: CountColumns,
    PutCounts: int,
    GetVersions: Versions,
    GetCalls: list[TraceCalls],
    GetEdges: Edges,
    GetLoad: list[LoadStep],
}
"""The type of each question's answer."""


def answer(engine: Engine, question: Question) -> Any:
    """The answer, of the type that `ANSWERS` names.

    Raises:
        Invalid: the range is longer than a month, or ends before it starts.
        Unavailable: the engine is away, or the answer takes longer than the time there is.
    """
    match question:
        case FindTraces():
            _check_range(question.start_at, question.end_at)
            return traces.find(
                engine,
                start_at=question.start_at,
                end_at=question.end_at,
                service_name=question.service_name,
                name=question.name,
                outcome=question.outcome,
                at_least_ms=question.at_least_ms,
                at_most_ms=question.at_most_ms,
                attributes=question.attributes,
                environment=question.environment,
                limit=question.limit,
            )
        case GetTrace():
            return traces.spans_of(engine, trace_id=question.trace_id)
        case GetLogs():
            return traces.logs_of(engine, trace_id=question.trace_id, limit=question.limit)
        case GetCounts():
            _check_range(question.start_at, question.end_at)
            return counts.columns(
                engine,
                operation_id=question.operation_id,
                objective=question.objective,
                start_at=question.start_at,
                end_at=question.end_at,
                slice_seconds=question.slice_seconds,
                given=question.given,
            )
        case GetVersions() | GetCalls() | GetEdges() | GetLoad():
            _check_range(question.start_at, question.end_at)
            return _ANSWERED_BY[type(question)](engine, question)


_ANSWERED_BY: Mapping[type[Any], Callable[[Engine, Any], Any]] = {
    GetVersions: versions_of,
    GetCalls: calls_of,
    GetEdges: edges_of,
    GetLoad: load_of,
}


def _check_range(start_at: datetime, end_at: datetime) -> None:
    if end_at <= start_at:
        raise Invalid("the range ends before it starts", field="end_at", hint="put the earlier instant first")
    if (end_at - start_at).days > _LONGEST_RANGE_DAYS:
        raise Invalid(
            f"the range is longer than {_LONGEST_RANGE_DAYS} days", field="start_at", hint="ask for a shorter range"
        )
