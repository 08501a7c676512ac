"""Deploys and other changes from the terminal and from pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from watchbill.cli import gate_away
from watchbill.cli.client import Client, path_part
from watchbill.cli.output import Home, Json, emit, rows, when

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(help="Changes: say that a deploy, flag, configuration or schema change begins or ends; list them.")

Kind = Literal["deploy", "flag", "config", "schema", "rollback"]
Service = Annotated[str, typer.Argument(help="The service's name.")]
KindOption = Annotated[Kind, typer.Option("--kind", help="What sort of change.")]
Environment = Annotated[str, typer.Option("--environment", "-e", help="Where.")]
Version = Annotated[str | None, typer.Option("--version", "-v", help="What goes out.")]
Id = Annotated[str | None, typer.Option("--id", help="Your own identity for it, such as the pipeline's run.")]
Commit = Annotated[list[str] | None, typer.Option("--commit", help="A commit's hash; again for more.")]
Author = Annotated[str | None, typer.Option("--author", help="Who wrote it.")]
Approver = Annotated[str | None, typer.Option("--approver", help="Who approved it.")]
Previous = Annotated[str | None, typer.Option("--previous", help="The version in place before; else as known.")]
Reversible = Annotated[
    Literal["yes", "no", "unknown"] | None, typer.Option("--reversible", help="Can it be rolled back?")
]
Fix = Annotated[bool, typer.Option("--fix", help="It mends an incident.")]
At = Annotated[str | None, typer.Option("--at", help="When it happened, RFC 3339; now when left out.")]
CommittedAt = Annotated[
    str | None, typer.Option("--committed-at", help="When its oldest commit was made, for the lead time.")
]
LinkUrl = Annotated[str | None, typer.Option("--link", help="Where to read more, such as the pipeline's run.")]
Title = Annotated[str | None, typer.Option("--title", help="A line for lists.")]

_TONES = {"started": "yellow", "finished": "green", "failed": "red", "rolled_back": "red"}


@app.command()
def start(
    service: Service,
    *,
    kind: KindOption = "deploy",
    environment: Environment = "production",
    version: Version = None,
    id: Id = None,
    commit: Commit = None,
    author: Author = None,
    approver: Approver = None,
    previous: Previous = None,
    reversible: Reversible = None,
    fix: Fix = False,
    at: At = None,
    committed_at: CommittedAt = None,
    link: LinkUrl = None,
    title: Title = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Say that a change begins. The same again changes nothing."""
    body = {
        "service": service, "kind": kind, "environment": environment, "version": version, "id": id,
        "commits": commit or [], "author": author, "approver": approver, "previous_version": previous,
        "reversible": reversible, "is_fix": fix or None, "occurred_at": at, "committed_at": committed_at,
        "links": [{"title": "Run", "url": link}] if link else [], "title": title,
    }  # fmt: skip
    with Client.from_environment(home) as client:
        done = client.post("/api/v1/changes/start", {key: value for key, value in body.items() if value is not None})
        gate_away.tell_notes(client)
    emit(done, json=json, table=_recorded)


@app.command()
def finish(
    service: Service,
    *,
    outcome: Annotated[
        Literal["finished", "failed", "cancelled"], typer.Option("--outcome", help="How it ended.")
    ] = "finished",
    kind: KindOption = "deploy",
    environment: Environment = "production",
    version: Version = None,
    id: Id = None,
    commit: Commit = None,
    author: Author = None,
    approver: Approver = None,
    previous: Previous = None,
    reversible: Reversible = None,
    fix: Fix = False,
    at: At = None,
    committed_at: CommittedAt = None,
    link: LinkUrl = None,
    title: Title = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Say how a change ended; one that nobody started is taken too, and it says so."""
    body = {
        "service": service, "kind": kind, "environment": environment, "version": version, "id": id,
        "outcome": outcome, "commits": commit or [], "author": author, "approver": approver,
        "previous_version": previous, "reversible": reversible, "is_fix": fix or None, "occurred_at": at,
        "committed_at": committed_at, "links": [{"title": "Run", "url": link}] if link else [], "title": title,
    }  # fmt: skip
    with Client.from_environment(home) as client:
        done = client.post("/api/v1/changes/finish", {key: value for key, value in body.items() if value is not None})
        gate_away.tell_notes(client)
    emit(done, json=json, table=_recorded)


@app.command("list")
def list_changes(
    *,
    service: Annotated[str | None, typer.Option("--service", help="A service's name.")] = None,
    team: Annotated[str | None, typer.Option("--team", help="A team's name.")] = None,
    kind: Annotated[Kind | None, typer.Option("--kind", help="Only these.")] = None,
    environment: Annotated[str | None, typer.Option("--environment", "-e", help="Only there.")] = None,
    unowned: Annotated[bool, typer.Option("--unowned", help="Only those of services nobody owns.")] = False,
    since: Annotated[str | None, typer.Option("--since", help="RFC 3339, or a duration such as 7d.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many at most.")] = 50,
    json: Json = False,
    home: Home = None,
) -> None:
    """List changes, newest first, with what each cost of its error budget."""
    with Client.from_environment(home) as client:
        found = client.get(
            "/api/v1/changes",
            service=service,
            team=team,
            kind=kind,
            environment=environment,
            unowned="true" if unowned else None,
            since=since,
            limit=limit,
        )
    emit(found, json=json, table=_table)


@app.command()
def measures(
    service: Service,
    *,
    environment: Environment = "production",
    days: Annotated[int, typer.Option("--days", min=7, max=400, help="Over how many days.")] = 90,
    json: Json = False,
    home: Home = None,
) -> None:
    """Show DORA's five measures of one service, and what goes out in lockstep with it."""
    with Client.from_environment(home) as client:
        found = client.get(f"/api/v1/services/{path_part(service)}/delivery", environment=environment, days=days)
    emit(found, json=json, table=_measures)


@app.command()
def watches(
    *,
    forget: Annotated[
        str | None, typer.Option("--forget", help="Forget this cluster, which is no longer watched.")
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Show the watches over Kubernetes clusters: who holds each, how far behind it is, and what is wrong."""
    with Client.from_environment(home) as client:
        if forget is not None:
            client.delete(f"/api/v1/changes/watches/{path_part(forget)}")
        found = client.get("/api/v1/changes/watches")
    emit(found, json=json, table=_watches)


def _watches(found: dict[str, Any]) -> RenderableType:
    from rich.text import Text

    def state(watch: dict[str, Any]) -> Text:
        problem = watch["problem"]
        return Text(problem["message"], style="yellow") if problem else Text("watched", style="green")

    return rows(
        found["watches"],
        ("Cluster", "cluster"),
        ("Namespace", lambda w: w["namespace"] or "all"),
        ("Held by", "holder"),
        ("Behind, s", lambda w: f"{w['behind_seconds']:.0f}"),
        ("State", state),
        empty="no cluster is watched; set WATCHBILL_KUBERNETES where the worker runs",
    )


def _recorded(done: dict[str, Any]) -> RenderableType:
    from rich.text import Text

    one = done["change"]
    what = f"{one['kind']} of {one['service']}" + (f" {one['version']}" if one["version"] else "")
    text = Text(f"{done['outcome']}: {what} in {one['environment']} ({done['reason']})")
    if not one["owned"]:
        text.append(f"\n{one['service']} is not in the catalog: kept, and shown as unowned", style="yellow")
    return text


def _table(found: dict[str, Any]) -> RenderableType:
    from rich.text import Text

    return rows(
        found["changes"],
        ("When", lambda c: when(c["finished_at"] or c["started_at"])),
        ("Service", lambda c: c["service"] if c["owned"] else Text(f"{c['service']} (unowned)", style="yellow")),
        ("What", "title"),
        ("State", lambda c: Text(c["state"].replace("_", " "), style=_TONES.get(c["state"], ""))),
        ("Where", "environment"),
        ("By", lambda c: c["author"] or c["source"]),
        ("Budget spent", lambda c: f"{c['budget']['share']:.1%}" if c["budget"] else None),
        empty="no changes yet; `watchbill deploy start SERVICE --version V` records one",
    )


def _measures(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    dora = found["dora"]
    lines = [
        {"name": title, "value": _value(dora[key], unit), "count": dora[key]["count"], "enough": dora[key]["enough"]}
        for key, title, unit in (
            ("frequency", "Deployment frequency", "a week"),
            ("lead_time", "Change lead time", "s"),
            ("fail_rate", "Change fail rate", "%"),
            ("recovery_time", "Failed deployment recovery time", "s"),
            ("rework_rate", "Deployment rework rate", "%"),
        )
    ]
    table = rows(
        lines,
        ("Measure", "name"),
        ("Value", "value"),
        ("From", "count"),
        ("", lambda line: None if line["enough"] else "too few to judge by"),
    )
    steps = [
        f"{each['service']}: {each['together']} of {each['deploys']} deploys together" for each in found["lockstep"]
    ]
    return Group(table, Text("Lockstep with " + "; ".join(steps), style="yellow")) if steps else table


def _value(measure: dict[str, Any], unit: str) -> str | None:
    from datetime import timedelta

    from watchbill.kernel.durations import rough_duration

    value = measure["value"]
    if value is None:
        return None
    if unit == "s":
        return rough_duration(timedelta(seconds=value))
    if unit == "%":
        return f"{value:.0%} ({measure['low']:.0%} to {measure['high']:.0%})"
    return f"{value:.1f} {unit}"
