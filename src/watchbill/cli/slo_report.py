"""``watchbill slo report`` and ``badge``: what was kept over a period, and a picture of it for a README."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from watchbill.cli.client import Client
from watchbill.cli.output import Home, Json, emit, facts, rows, when
from watchbill.kernel.clock import format_instant
from watchbill.kernel.durations import parse_duration
from watchbill.kernel.errors import Invalid


def report(
    since: Annotated[str, typer.Option("--since", help="How far back, such as 7d or 28d.")] = "7d",
    team: Annotated[str | None, typer.Option("--team", help="A team's name.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Report what was promised and what was kept, the worst first."""
    start = format_instant(datetime.now(UTC) - parse_duration(since))
    with Client.from_environment(home) as client:
        if csv:
            sys.stdout.write(client.text("/api/v1/slos/report", team=team, format="csv", **{"from": start}))
            return
        found = client.get("/api/v1/slos/report", team=team, **{"from": start})
    emit(found, json=json, table=_table)


def _table(found: dict[str, Any]) -> Any:
    from rich.console import Group
    from rich.text import Text

    head = Text(
        f"{when(found['from_at'])} – {when(found['to_at'])}: {found['kept']} kept, {found['broken']} broken,"
        f" {found['without_events']} without events"
    )
    table = rows(
        found["slos"],
        ("Service", "service"),
        ("Operation", "operation"),
        ("Objective", "name"),
        ("Target", lambda line: f"{line['target']} %"),
        ("Achieved", lambda line: "–" if line["achieved"] is None else f"{line['achieved']} %"),
        ("Budget spent", lambda line: "–" if line["spent"] is None else f"{100 * float(line['spent']):.0f} %"),
        ("Promise", lambda line: {True: "kept", False: "broken", None: "no events"}[line["kept"]]),
        empty="no SLO; they come with the operations of a Service manifest",
    )
    left_out = [
        Text(
            f"{line['service']} · {line['operation']} · {line['name']}: {line['excluded']};"
            f" with it {_spent(line)} would be spent"
        )
        for line in found["slos"]
        if line["excluded"]
    ]
    return Group(head, table, *left_out)


def _spent(line: dict[str, Any]) -> str:
    return f"{100 * float(line['spent_without']):.0f} %"


def rules(
    team: Annotated[str | None, typer.Option("--team", help="A team's name.")] = None,
    service: Annotated[str | None, typer.Option("--service", help="A service's name.")] = None,
    selector: Annotated[
        str | None,
        typer.Option("--selector", help="Label matchers of a service's series; {service} is its OpenTelemetry name."),
    ] = None,
    home: Home = None,
) -> None:
    """Print the SLOs as Prometheus recording and alerting rules, over OpenTelemetry's request metrics."""
    with Client.from_environment(home) as client:
        sys.stdout.write(client.text("/api/v1/slos/rules", team=team, service=service, selector=selector))


def badge(
    slo: Annotated[str, typer.Argument(help="service/operation/name, of which the end may be left out.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Print the address of an SLO's badge, and the Markdown for a README. It needs no sign-in."""
    parts = slo.split("/")
    with Client.from_environment(home) as client:
        listed = client.get("/api/v1/slos", service=parts[0])["slos"]
        found = [item for item in listed if [item["operation"], item["name"]][: len(parts) - 1] == parts[1:]]
        if len(found) != 1:
            names = ", ".join(f"{item['service']}/{item['operation']}/{item['name']}" for item in found or listed)
            raise Invalid(f"'{slo}' names {len(found) or 'no'} SLO{'s' if len(found) > 1 else ''}", hint=names or None)
        made = client.get(f"/api/v1/slos/{found[0]['id']}/badge")
    emit(made, json=json, table=facts)
