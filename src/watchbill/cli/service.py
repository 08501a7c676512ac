"""``watchbill service``: services, their owners and operations."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from watchbill.cli.client import Client, path_part
from watchbill.cli.output import Home, Json, emit, facts, rows

app = typer.Typer(help="Services, their owners and operations.")


@app.command("list")
def list_services(
    team: Annotated[str | None, typer.Option(help="Only those that this team owns.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """All services and their owners."""
    found: list[dict[str, Any]] = []
    with Client.from_environment(home) as client:
        while page := client.get("/api/v1/services", team=team, after=found[-1]["name"] if found else None):
            found.extend(page)
    emit(
        found,
        json=json,
        table=lambda services: rows(
            services,
            ("Service", "name"),
            ("Title", "title"),
            ("Owner", "owner"),
            ("Tier", "tier"),
            ("Source", "source"),
            empty="no services yet; see `watchbill init`",
        ),
    )


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="The service's name.")], home: Home = None, json: Json = False
) -> None:
    """One service: owner, who is on call for it now, operations, dependencies."""
    with Client.from_environment(home) as client:
        found = client.get(f"/api/v1/services/{path_part(name)}")
    emit(found, json=json, table=lambda detail: facts(_facts(detail)))


def _facts(detail: dict[str, Any]) -> dict[str, Any]:
    service = detail["service"]
    return {
        "service": service["name"],
        "title": service["title"],
        "formerly": detail["former_names"],
        "owner": service["owner"],
        "on call": detail["on_call"],
        "tier": service["tier"],
        "telemetry": detail["telemetry_name"],
        "operations": [each["name"] for each in detail["operations"]],
        "depends on": detail["depends_on"],
        "dependents": detail["dependents"],
        "source": service["source"],
    }
