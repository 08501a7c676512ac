"""Traces on the terminal: find them, and read one as a waterfall with owners and logs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchbill.cli.client import Client
from watchbill.cli.output import Home, Json, emit, rows, when
from watchbill.kernel.clock import format_instant
from watchbill.kernel.durations import parse_duration

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(help="Traces, with the owner of each span.")

_LANE = 30
"""Characters of a waterfall."""


@app.command("find")
def find(  # noqa: PLR0917  (typer passes options by name)
    service: Annotated[str | None, typer.Option("--service", help="A service's name.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Its name or route, such as 'POST /charge'.")] = None,
    outcome: Annotated[str | None, typer.Option("--outcome", help="good or bad.")] = None,
    at_least_ms: Annotated[float | None, typer.Option("--at-least-ms", help="Took this long or longer.")] = None,
    at_most_ms: Annotated[float | None, typer.Option("--at-most-ms", help="Took this long or less.")] = None,
    attribute: Annotated[list[str] | None, typer.Option("--attribute", help="key=value; may be repeated.")] = None,
    environment: Annotated[str | None, typer.Option("--environment", help="Such as production.")] = None,
    since: Annotated[str, typer.Option("--since", help="How far back, such as 15m, 1h or 7d.")] = "1h",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="At most so many.")] = 50,
    json: Json = False,
    home: Home = None,
) -> None:
    """Find traces by their root or server span, the newest first."""
    start = datetime.now(UTC) - parse_duration(since)
    with Client.from_environment(home) as client:
        found = client.get(
            "/api/v1/traces",
            service=service,
            name=name,
            outcome=outcome,
            at_least_ms=at_least_ms,
            at_most_ms=at_most_ms,
            attribute=attribute or None,
            environment=environment,
            limit=limit,
            **{"from": format_instant(start)},
        )
    emit(
        found,
        json=json,
        table=lambda answer: rows(
            answer["traces"],
            ("Trace", "trace_id"),
            ("Service", "service_name"),
            ("Operation", "name"),
            ("Outcome", "outcome"),
            ("Took", lambda line: f"{line['duration_ns'] / 1e6:,.1f} ms"),
            ("Started", lambda line: when(line["started_at"])),
            empty="no trace meets this; widen --since or drop a condition",
        ),
    )


@app.command("show")
def show(
    trace_id: Annotated[str, typer.Argument(help="32 hexadecimal digits.")], json: Json = False, home: Home = None
) -> None:
    """Show one trace as a waterfall, with the owner of each span and the trace's logs."""
    with Client.from_environment(home) as client:
        found = client.get(f"/api/v1/traces/{trace_id}")
    emit(found, json=json, table=_waterfall)


def _waterfall(page: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    spans = [owned["span"] for owned in page["spans"]]
    starts = [datetime.fromisoformat(span["started_at"]) for span in spans]
    first = min(starts)
    offsets = [(start - first).total_seconds() * 1e9 for start in starts]
    total = max(offset + span["duration_ns"] for offset, span in zip(offsets, spans, strict=True)) or 1
    depths = _depths(spans)
    table = Table("Span", "Owner", "", "Took", box=None, header_style="bold", pad_edge=False)
    for owned, offset in zip(page["spans"], offsets, strict=True):
        span = owned["span"]
        left = int(_LANE * offset / total)
        width = max(1, round(_LANE * span["duration_ns"] / total))
        bad = span["status"] == "Error"
        table.add_row(
            Text("  " * depths[span["span_id"]] + span["name"], style="red" if bad else ""),
            f"{owned['service'] or span['service_name']} · {owned['team'] or 'unowned'}",
            Text(" " * left + "━" * min(width, _LANE - left), style="red" if bad else "cyan"),
            f"{span['duration_ns'] / 1e6:,.1f} ms",
        )
    logs = [
        Text.assemble((when(line["at"]), "dim"), f" {line['severity']:5} {line['service_name']}: {line['body']}")
        for line in page["logs"]
    ]
    return Group(table, *([Text(""), *logs] if logs else []))


def _depths(spans: list[dict[str, Any]]) -> dict[str, int]:
    """How deep each span is below its root; a broken chain of parents counts from where it breaks."""
    parents = {span["span_id"]: span["parent_span_id"] for span in spans}
    depths: dict[str, int] = {}
    for span_id, parent in parents.items():
        seen = {span_id}
        above = parent
        while above in parents and above not in seen:
            seen.add(above)
            above = parents[above]
        depths[span_id] = len(seen) - 1
    return depths
