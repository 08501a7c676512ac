"""Send an event by hand, as another tool would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import typer

from watchbill.cli.client import Client
from watchbill.cli.output import Home, Json, emit, rows
from watchbill.kernel.errors import Invalid

app = typer.Typer(help="Send an event, as other tools do.")

Identity = Annotated[str, typer.Option("--identity", help="Its stable key; the title when left out.")]
Service = Annotated[str | None, typer.Option("--service", help="The affected service, by its catalog name.")]


@app.command()
def trigger(
    *,
    title: Annotated[str, typer.Argument(help="What is wrong, in a line.")],
    service: Service = None,
    identity: Identity = "",
    severity: Annotated[
        Literal["critical", "error", "warning", "info"], typer.Option("--severity", help="How bad it is.")
    ] = "error",
    urgency: Annotated[
        Literal["page", "ticket"], typer.Option("--urgency", help="Wake somebody, or leave a ticket.")
    ] = "page",
    environment: Annotated[str, typer.Option("--environment", help="Only production pages.")] = "production",
    label: Annotated[list[str] | None, typer.Option("--label", help="name=value; may be repeated.")] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Report that something is wrong: the owner of the service is paged."""
    body = {
        "identity": identity or title,
        "title": title,
        "service": service,
        "severity": severity,
        "urgency": urgency,
        "environment": environment,
        "labels": dict(_pair(text) for text in label or []),
    }
    _send(body, json=json, home=home)


@app.command()
def resolve(
    identity: Annotated[str, typer.Argument(help="The key it was triggered with.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Report that it is over; IDENTITY is what the trigger had (its title, unless --identity was given)."""
    _send({"identity": identity, "action": "resolve"}, json=json, home=home)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise Invalid(f"'{text}' is not a label", field="--label", hint="write --label region=eu-west-1")
    return name, value


def _send(body: Mapping[str, object], *, json: bool, home: Home) -> None:
    with Client.from_environment(home) as client:
        found = client.post("/api/v1/events", body)
    emit(
        found,
        json=json,
        table=lambda answer: rows(
            answer["accepted"], ("Identity", "identity"), ("Outcome", "outcome"), ("Why", "reason")
        ),
    )
