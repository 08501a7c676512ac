"""``watchbill oncall swap …``: ask for a swap, answer it, take a shift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from watchbill.cli.client import Client
from watchbill.cli.oncall_times import AT_HELP, sent
from watchbill.cli.output import Home, Json, emit, rows, when

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(help="Swaps: ask, answer, take a shift.", no_args_is_help=True)

TeamName = Annotated[str, typer.Argument(help="A team's name.")]
SwapId = Annotated[str, typer.Argument(help="The id that `oncall swap list` shows.")]
Start = Annotated[str, typer.Option("--from", help=AT_HELP)]
End = Annotated[str, typer.Option("--to", help=AT_HELP)]
Person = Annotated[str | None, typer.Option("--person", help="Whom it is for: a login (admins); me when left out.")]
Slot = Annotated[str, typer.Option("--slot", help="A slot of the schedule.")]
Note = Annotated[str, typer.Option("--note", help="Why, for the others.")]


@app.command("list")
def list_swaps(
    *,
    team: Annotated[str | None, typer.Option("--team", help="A team's name.")] = None,
    person: Annotated[str | None, typer.Option("--person", help="A login, or me.")] = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only those that wait for an answer.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Show swap requests of a team, or that concern a person."""
    with Client.from_environment(home) as client:
        found = client.get("/api/v1/oncall/swaps", team=team, person=person, open=str(only_open).lower())
    emit(found, json=json, table=_table)


@app.command()
def request(
    *,
    team: TeamName,
    start: Start,
    end: End,
    to: Annotated[str | None, typer.Option("--with", help="Who is asked: a login; the whole team without.")] = None,
    back_start: Annotated[str | None, typer.Option("--back-from", help="Their time that is taken in return.")] = None,
    back_end: Annotated[str | None, typer.Option("--back-to", help="Its end.")] = None,
    person: Person = None,
    note: Note = "",
    slot: Slot = "primary",
    json: Json = False,
    home: Home = None,
) -> None:
    """Ask somebody, or the whole team, to take time of yours; nothing changes until somebody accepts."""
    body = {
        "team": team,
        "start_at": sent(start, "--from"),
        "end_at": sent(end, "--to"),
        "to": to,
        "back_start_at": sent(back_start, "--back-from"),
        "back_end_at": sent(back_end, "--back-to"),
        "person": person,
        "note": note,
        "slot": slot,
    }
    with Client.from_environment(home) as client:
        made = client.post("/api/v1/oncall/swaps", body)
    emit(made, json=json, table=lambda swap: _table([swap]))


@app.command()
def answer(
    *,
    swap_id: SwapId,
    decision: Annotated[
        Literal["accept", "decline", "withdraw", "undo"], typer.Argument(help="What to do with the request.")
    ],
    person: Person = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Accept or decline a request, take yours back, or undo an accepted one."""
    body = {"person": person} if decision in {"accept", "decline"} else None
    with Client.from_environment(home) as client:
        found = client.post(f"/api/v1/oncall/swaps/{swap_id}/{decision}", body)
    emit(found, json=json, table=lambda swap: _table([swap]))


@app.command()
def take(
    *,
    team: TeamName,
    start: Start,
    end: End,
    instead_of: Annotated[str | None, typer.Option("--instead-of", help="Whose shift: a login.")] = None,
    person: Person = None,
    note: Note = "",
    slot: Slot = "primary",
    json: Json = False,
    home: Home = None,
) -> None:
    """Take a colleague's time at once; they see it, and it can be cancelled like any override."""
    body = {
        "team": team,
        "start_at": sent(start, "--from"),
        "end_at": sent(end, "--to"),
        "instead_of": instead_of,
        "person": person,
        "note": note,
        "slot": slot,
    }
    with Client.from_environment(home) as client:
        made = client.post("/api/v1/oncall/take", body)
    emit(made, json=json, table=_taken)


def _table(found: list[dict[str, Any]]) -> RenderableType:
    return rows(
        found,
        ("Id", "id"),
        ("Team", "team"),
        ("From", lambda swap: swap["from_person"]["login"]),
        ("To", lambda swap: swap["to_person"]["login"] if swap["to_person"] else "whoever takes it"),
        ("Time", lambda swap: f"{when(swap['start_at'])} – {when(swap['end_at'])}"),
        ("In return", _back),
        ("State", "state"),
        ("Note", "note"),
        empty="no swap requests",
    )


def _back(swap: dict[str, Any]) -> str | None:
    if swap["back_start_at"] is None:
        return None
    return f"{when(swap['back_start_at'])} – {when(swap['back_end_at'])}"


def _taken(made: list[dict[str, Any]]) -> RenderableType:
    return rows(
        made,
        ("Override", "id"),
        ("Person", lambda one: one["person"]["login"]),
        ("From", lambda one: when(one["start_at"])),
        ("To", lambda one: when(one["end_at"])),
    )
