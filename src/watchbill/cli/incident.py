"""Incidents from the terminal: what is open, what happened, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from watchbill.cli.client import Client
from watchbill.cli.output import Home, Json, emit, rows, when

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(help="Incidents: list, show, acknowledge, resolve.")

Number = Annotated[int, typer.Argument(min=1, help="The incident's number.")]
Team = Annotated[str | None, typer.Option("--team", help="Whose page, where the incident has several open ones.")]
Message = Annotated[str, typer.Option("--message", "-m", help="In your words, for the timeline.")]

_TONES = {"escalating": "red", "acknowledged": "yellow", "ended": "green", "held": "blue"}


@app.command("list")
def list_incidents(
    *,
    state: Annotated[Literal["open", "resolved", "all"], typer.Option("--state", help="Which ones.")] = "open",
    team: Annotated[str | None, typer.Option("--team", help="A team's name.")] = None,
    service: Annotated[str | None, typer.Option("--service", help="A service's name.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many at most.")] = 50,
    json: Json = False,
    home: Home = None,
) -> None:
    """List incidents, newest first; open ones unless asked otherwise."""
    with Client.from_environment(home) as client:
        found = client.get(
            "/api/v1/incidents",
            state=None if state == "all" else state,
            team=team,
            service=service,
            limit=limit,
        )
    emit(found, json=json, table=lambda items: _table(items, empty=f"no {state} incidents"))


@app.command()
def show(number: Number, json: Json = False, home: Home = None) -> None:
    """Show one incident with its alerts, pages and timeline."""
    with Client.from_environment(home) as client:
        found = client.get(f"/api/v1/incidents/{number}")
    emit(found, json=json, table=_detail)


@app.command()
def ack(number: Number, json: Json = False, home: Home = None) -> None:
    """Acknowledge: stop paging, you are on it. You are asked again when it is not resolved in time."""
    _act(number, "acknowledge", None, json=json, home=home)


@app.command()
def resolve(number: Number, message: Message = "", json: Json = False, home: Home = None) -> None:
    """Resolve: it is over. Alerts that still fire are watched and page again after half an hour."""
    _act(number, "resolve", {"why": message}, json=json, home=home)


@app.command()
def reopen(number: Number, message: Message = "", json: Json = False, home: Home = None) -> None:
    """Undo a resolution: the owner is paged again."""
    _act(number, "reopen", {"why": message}, json=json, home=home)


@app.command()
def declare(number: Number, message: Message = "", json: Json = False, home: Home = None) -> None:
    """Say that users are hurt; from then on only a person resolves it."""
    _act(number, "declare", {"why": message}, json=json, home=home)


@app.command()
def note(
    number: Number,
    text: Annotated[str, typer.Argument(help="A line for the timeline.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Write a line into the timeline."""
    _act(number, "notes", {"text": text}, json=json, home=home)


@app.command()
def snooze(
    *,
    number: Number,
    duration: Annotated[str, typer.Argument(help="How long: 30m, 2h, 1d.", metavar="FOR")],
    team: Team = None,
    message: Message = "",
    json: Json = False,
    home: Home = None,
) -> None:
    """Acknowledge for as long as you say; then paging begins again unless it is resolved."""
    _act(number, "snooze", {"for": duration, "team": team, "why": message}, json=json, home=home)


@app.command("hand-over")
def hand_over(
    *,
    number: Number,
    to: Annotated[str, typer.Argument(help="The login of whoever takes it over.")],
    team: Team = None,
    message: Message = "",
    json: Json = False,
    home: Home = None,
) -> None:
    """Ask somebody to take the page over. They accept by acknowledging, else paging begins again in five minutes."""
    _act(number, "hand-over", {"to": to, "team": team, "why": message}, json=json, home=home)


@app.command()
def decline(number: Number, team: Team = None, message: Message = "", json: Json = False, home: Home = None) -> None:
    """Decline a hand-over: paging begins again. Or take back your own."""
    _act(number, "hand-over/decline", {"team": team, "why": message}, json=json, home=home)


@app.command()
def reassign(
    *,
    number: Number,
    to_team: Annotated[str | None, typer.Option("--to-team", help="The team that shall answer.")] = None,
    to_person: Annotated[str | None, typer.Option("--to", help="The login of whoever is asked first.")] = None,
    team: Team = None,
    message: Message = "",
    json: Json = False,
    home: Home = None,
) -> None:
    """Give the page to another team or person: the old page ends, a new one begins."""
    body = {"to_team": to_team, "to_person": to_person, "team": team, "why": message}
    _act(number, "reassign", body, json=json, home=home)


@app.command()
def cancel(
    *,
    number: Number,
    message: Annotated[str, typer.Option("--message", "-m", help="Why nobody needs to answer; needed.")],
    team: Team = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """End the page with a reason; the incident stays open. `page` undoes it."""
    _act(number, "cancel", {"why": message, "team": team}, json=json, home=home)


@app.command("page")
def page_team(
    *,
    number: Number,
    team: Annotated[str, typer.Argument(help="The team that is needed.")],
    message: Message = "",
    json: Json = False,
    home: Home = None,
) -> None:
    """Page a team about this incident: one that is needed too, or one whose page was cancelled."""
    _act(number, "pages", {"team": team, "why": message}, json=json, home=home)


@app.command()
def merge(
    *,
    number: Number,
    into: Annotated[int, typer.Argument(min=1, help="The incident that it becomes part of.")],
    message: Message = "",
    json: Json = False,
    home: Home = None,
) -> None:
    """Make an incident part of another; both timelines are kept. `unmerge` undoes it."""
    _act(number, "merge", {"into": into, "why": message}, json=json, home=home)


@app.command()
def unmerge(number: Number, message: Message = "", json: Json = False, home: Home = None) -> None:
    """Take a merged incident apart again."""
    _act(number, "unmerge", {"why": message}, json=json, home=home)


def _act(number: int, verb: str, body: dict[str, Any] | None, *, json: bool, home: Home) -> None:
    with Client.from_environment(home) as client:
        found = client.post(f"/api/v1/incidents/{number}/{verb}", body)
    emit(found, json=json, table=lambda item: _table([item]))


def _table(items: list[dict[str, Any]], *, empty: str = "none") -> RenderableType:
    return rows(
        items,
        ("#", "number"),
        ("Title", "title"),
        ("State", _state),
        ("Severity", "severity"),
        ("Team", lambda i: i["team"] or "nobody"),
        ("Pages", _pages),
        ("Since", lambda i: when(i["opened_at"])),
        empty=empty,
    )


def _state(incident: dict[str, Any]) -> str:
    return incident["phase"] if incident["state"] == "open" else "resolved"


def _pages(incident: dict[str, Any]) -> RenderableType:
    from rich.text import Text

    shown = Text()
    for page in incident["pages"]:
        if shown:
            shown.append("\n")
        by = f" by {page['acknowledged_by']}" if page["state"] == "acknowledged" else ""
        shown.append(f"{page['team'] or 'fallback'}: ")
        shown.append(f"{page['state']}{by}", style=_TONES.get(page["state"], ""))
    return shown


def _detail(incident: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    head = Text(f"Incident {incident['number']} · ", style="bold").append(incident["title"])
    facts = Text(
        f"{_state(incident)} · {incident['severity']} · {incident['environment']}"
        f" · team {incident['team'] or 'nobody'} · since {when(incident['opened_at'])}\n{incident['url']}",
        style="dim",
    )
    alerts = rows(
        incident["alerts"],
        ("Alert", "title"),
        ("State", "state"),
        ("Urgency", "urgency"),
        ("Since", lambda a: when(a["started_at"])),
        empty="no alerts",
    )
    pages = rows(
        incident["pages"],
        ("Team", lambda p: p["team"] or "fallback"),
        ("State", "state"),
        ("Epoch", "epoch"),
        ("Why", "reason"),
        ("Next", lambda p: when(p["next_at"])),
        empty="nobody was paged",
    )
    timeline = rows(
        incident["timeline"],
        ("When", lambda e: when(e["at"])),
        ("What", "name"),
        ("By", "by"),
        ("Why", _why),
        empty="nothing yet",
    )
    return Group(head, facts, Text(), alerts, pages, timeline)


def _why(entry: dict[str, Any]) -> str:
    data = entry["data"]
    people = ", ".join(data.get("people_names") or []) or data.get("person") or ""
    return " · ".join(part for part in (entry["why"] or data.get("title", ""), people) if part)
