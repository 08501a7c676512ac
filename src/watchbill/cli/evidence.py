"""``watchbill evidence``: what a service has shown of the protections of what it calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchbill.cli.client import Client, path_part
from watchbill.cli.output import Home, Json, emit, facts, rows

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(help="Which dependencies have a timeout and a breaker, and were drilled on.")

_TONES = {"pass": "green", "fail": "bold red", "unknown": "yellow"}


@app.command()
def evidence(
    service: Annotated[str | None, typer.Argument(help="The service's name; without it, all services.")] = None,
    *,
    environment: Annotated[str, typer.Option("--environment", "-e", help="Where it runs.")] = "production",
    team: Annotated[str | None, typer.Option(help="Without SERVICE: only those that this team owns.")] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Say what SERVICE has shown for each of its dependencies: timeout, breaker, drills, and what is missing."""
    with Client.from_environment(home) as client:
        if service is not None:
            found = client.get(f"/api/v1/services/{path_part(service)}/evidence", environment=environment)
            emit(found, json=json, table=_one)
            return
        listed: list[dict[str, Any]] = []
        while page := client.get(
            "/api/v1/evidence",
            team=team,
            environment=environment,
            after=listed[-1]["service"] if listed else None,
        ):
            listed.extend(page)
    emit(
        listed,
        json=json,
        table=lambda services: rows(
            services,
            ("Service", "service"),
            ("Answer", lambda one: _toned(one["answer"])),
            ("Lacking", "lacking"),
            ("Says", "says"),
            empty="no services yet; see `watchbill init`",
        ),
    )


def _one(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group

    parts: list[RenderableType] = [
        facts({"service": found["service"], "environment": found["environment"], "says": found["says"]}),
        rows(
            found["dependencies"],
            ("Dependency", lambda one: one["dependency"] + ("" if one["declared"] else " (not in dependsOn)")),
            ("Answer", lambda one: _toned(one["answer"])),
            ("Seen", "says"),
            empty="no dependencies are declared, and none was seen",
        ),
    ]
    if found["own"]:
        parts.append(facts({"its own": [one["says"] for one in found["own"]]}))
    parts += [facts({"problem": problem}) for problem in found["problems"]]
    return Group(*parts)


def _toned(answer: str) -> Any:
    from rich.text import Text

    return Text(answer, style=_TONES[answer])
