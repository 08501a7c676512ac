"""Who is on call, shifts, overrides and gaps. Times are in the reader's zone, with the team's where it differs."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from watchbill.cli import oncall_away, oncall_draft, oncall_preview, oncall_swaps
from watchbill.cli.client import Client
from watchbill.cli.oncall_times import AT_HELP, sent
from watchbill.cli.output import Home, Json, emit, rows, when
from watchbill.kernel.clock import format_instant, parse_instant
from watchbill.kernel.durations import rough_duration

if TYPE_CHECKING:
    from rich.console import RenderableType

TeamName = Annotated[str, typer.Argument(help="A team's name.")]

app = typer.Typer(help="Who is on call, shifts, overrides, swaps, time off and gaps.")
app.add_typer(oncall_swaps.app, name="swap")
app.add_typer(oncall_away.time_off, name="time-off")
app.add_typer(oncall_away.feed, name="feed")
app.command()(oncall_draft.draft)
app.command("preview")(oncall_preview.preview)

Team = Annotated[str | None, typer.Option("--team", help="A team's name.")]
Service = Annotated[str | None, typer.Option("--service", help="A service's name; its owner is asked.")]
Slot = Annotated[str, typer.Option("--slot", help="A slot of the schedule.")]
Days = Annotated[int, typer.Option("--days", min=1, max=400, help="How many days ahead.")]


@app.command()
def now(
    *,
    team: Team = None,
    service: Service = None,
    at: Annotated[str | None, typer.Option("--at", help=AT_HELP)] = None,
    slot: Slot = "primary",
    json: Json = False,
    home: Home = None,
) -> None:
    """Say who is on call, for a team, a service, or all teams; --at asks for another time, past or future."""
    with Client.from_environment(home) as client:
        found = client.get("/api/v1/oncall", team=team, service=service, at=sent(at, "--at"), slot=slot)
    emit(found, json=json, table=_watches)


@app.command()
def show(*, team: TeamName, days: Days = 14, slot: Slot = "primary", json: Json = False, home: Home = None) -> None:
    """Show a team's final schedule as a calendar strip, then its shifts with their reasons."""
    with Client.from_environment(home) as client:
        end = format_instant(datetime.now(UTC) + timedelta(days=days))
        found = client.get("/api/v1/oncall/shifts", team=team, slot=slot, to=end)
    emit(found, json=json, table=_rota)


@app.command()
def override(
    *,
    team: TeamName,
    person: Annotated[str, typer.Option("--person", help="Who takes over: a login, or me.")],
    end: Annotated[str, typer.Option("--to", help=AT_HELP)],
    start: Annotated[str | None, typer.Option("--from", help=f"{AT_HELP} Now when left out.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the others.")] = "",
    instead_of: Annotated[
        str | None, typer.Option("--instead-of", help="Relieve only this person, where they are on call.")
    ] = None,
    slot: Slot = "primary",
    preview: Annotated[
        bool, typer.Option("--preview", help="Show the final schedule with it; change nothing.")
    ] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Put somebody on call for a team, whoever's turn it is."""
    start_at = sent(start, "--from") or format_instant(datetime.now(UTC))
    body = {"team": team, "person": person, "start_at": start_at, "end_at": sent(end, "--to"), "reason": reason}
    body |= {"slot": slot, "instead_of": instead_of}
    with Client.from_environment(home) as client:
        if preview:
            emit(client.post("/api/v1/oncall/preview", body), json=json, table=_preview)
            return
        made = client.post("/api/v1/oncall/overrides", body)
    emit(made, json=json, table=_override)


@app.command()
def cancel(
    override_id: Annotated[str, typer.Argument(help="The id that `oncall override` printed.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """End an override now; `oncall show TEAM` names overrides."""
    with Client.from_environment(home) as client:
        client.delete(f"/api/v1/oncall/overrides/{override_id}")
    emit({"cancelled": override_id}, json=json)


@app.command()
def gaps(team: Team = None, service: Service = None, days: Days = 14, json: Json = False, home: Home = None) -> None:
    """Say when nobody will be on call, and what is wrong with the rotas. Exit code 1 when there is a gap."""
    with Client.from_environment(home) as client:
        end = format_instant(datetime.now(UTC) + timedelta(days=days))
        found = client.get("/api/v1/oncall/gaps", team=team, service=service, to=end)
    emit(found, json=json, table=_gaps)
    if any(entry["gaps"] for entry in found):
        raise typer.Exit(1)


@app.command()
def check(
    team: Team = None,
    service: Service = None,
    days: Annotated[int, typer.Option("--days", min=1, max=365, help="How many days ahead.")] = 28,
    json: Json = False,
    home: Home = None,
) -> None:
    """Say what is about to go wrong: gaps, nobody to reach, time off, rest, small rotas. Exit code 1 on a gap."""
    with Client.from_environment(home) as client:
        found = client.get("/api/v1/oncall/check", team=team, service=service, days=days)
    emit(found, json=json, table=_checked)
    if any(problem["code"] == "oncall_gap" for entry in found for problem in entry["problems"]):
        raise typer.Exit(1)


@app.command()
def export(
    *,
    team: Team = None,
    slot: Slot = "primary",
    person: Annotated[str | None, typer.Option("--person", help="A login, or me: shifts in all teams.")] = None,
    form: Annotated[Literal["ics", "json"], typer.Option("--format", help="ics for calendars, or json.")] = "ics",
    days: Days = 90,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; standard output without.")] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Write a team's or a person's shifts as iCalendar or JSON."""
    with Client.from_environment(home) as client:
        end = format_instant(datetime.now(UTC) + timedelta(days=days))
        found = client.get("/api/v1/oncall/shifts", team=team, person=person, slot=slot, to=end)
    if json or form == "json":
        emit(found, json=True)
        return
    written = _ical(found, name=f"on call: {team or person}")
    if output is None:
        sys.stdout.write(written.decode())
    else:
        output.write_bytes(written)


def _watches(found: list[dict[str, Any]]) -> RenderableType:
    return rows(
        found,
        ("Team", "team"),
        ("On call", lambda watch: _name(watch["on_call"]) or "NOBODY"),
        ("Why", lambda watch: _why(watch["on_call"])),
        ("Until", _until),
        ("Then", lambda watch: _name(watch["next"])),
        empty="there are no teams yet; see `watchbill apply`",
    )


def _name(shift: dict[str, Any] | None) -> str | None:
    return ", ".join([shift["person"]["login"], *(other["login"] for other in shift["others"])]) if shift else None


def _why(shift: dict[str, Any] | None) -> str | None:
    return str(shift["because"]) if shift else None


def _until(watch: dict[str, Any]) -> str | None:
    if watch["on_call"] is None:
        return None
    end_at = parse_instant(watch["on_call"]["end_at"])
    left = rough_duration(end_at - parse_instant(watch["at"]))
    return f"{_both(end_at, watch['time_zone'])}, in {left}"


def _both(instant: datetime, zone: str | None) -> str:
    """In the reader's zone, and in the team's where that reads differently."""
    from zoneinfo import ZoneInfo

    mine = when(instant)
    theirs = instant.astimezone(ZoneInfo(zone or "UTC"))
    if theirs.utcoffset() == instant.astimezone().utcoffset():
        return mine
    return f"{mine} ({theirs:%a %H:%M %Z})"


def _rota(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    shifts = found["shifts"]
    table = rows(
        shifts,
        ("From", lambda shift: _both(parse_instant(shift["start_at"]), found["time_zone"])),
        ("To", lambda shift: _both(parse_instant(shift["end_at"]), found["time_zone"])),
        ("Person", _name),
        ("Why", _why),
        ("Override", "override_id"),
        empty="nobody is on call",
    )
    warnings = [Text(f"warning: {problem['message']}; {problem['hint']}") for problem in found["warnings"]]
    return Group(_strip(found), table, *warnings)


_COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "red")


def _strip(found: dict[str, Any]) -> RenderableType:
    """One line a person, one column for each six hours; a filled column is on call when the column begins."""
    from rich.text import Text

    start_at, end_at = parse_instant(found["start_at"]), parse_instant(found["end_at"])
    step = max(timedelta(hours=6), (end_at - start_at) / 56)
    columns = [start_at + step * number for number in range(int((end_at - start_at) / step))]
    spans = [
        (person["login"], parse_instant(s["start_at"]), parse_instant(s["end_at"]))
        for s in found["shifts"]
        for person in (s["person"], *s["others"])
    ]
    people = list(dict.fromkeys(name for name, _, _ in spans))
    width = max([len(name) for name in people], default=0)
    strip = Text()
    for number, person in enumerate(people):
        strip.append(f"{person:<{width}} ")
        for at in columns:
            on_call = any(name == person and begin <= at < until for name, begin, until in spans)
            strip.append("█" if on_call else "·", style=_COLOURS[number % len(_COLOURS)] if on_call else "dim")
        strip.append("\n")
    scale = f"{start_at.astimezone():%d %b}".ljust(max(0, len(columns) - 6)) + f"{end_at.astimezone():%d %b}"
    strip.append(" " * (width + 1) + scale, style="dim")
    return strip


def _preview(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    table = rows(
        found["after"],
        ("From", lambda shift: when(shift["start_at"])),
        ("To", lambda shift: when(shift["end_at"])),
        ("Person", _name),
        ("Why", _why),
        empty="nobody is on call",
    )
    holes = [
        Text(f"nobody is on call from {when(gap['start_at'])} to {when(gap['end_at'])}", style="red")
        for gap in found["gaps"]
    ]
    return Group(Text("This is how it would be; nothing is changed."), table, *holes)


def _checked(found: list[dict[str, Any]]) -> RenderableType:
    lines = [
        {"team": entry["team"], "kind": kind, "what": problem["message"], "mend": problem.get("hint")}
        for entry in found
        for kind in ("problems", "advice")
        for problem in entry[kind]
    ]
    return rows(
        lines,
        ("Team", "team"),
        ("", lambda line: "warning" if line["kind"] == "problems" else "advice"),
        ("What", "what"),
        ("Mend", "mend"),
        empty="nothing to say: no gaps, no conflicts",
    )


def _override(made: dict[str, Any]) -> RenderableType:
    from rich.text import Text

    said = f"{made['person']['login']} is on call for {made['team']} from {when(made['start_at'])} "
    return Text(f"{said}to {when(made['end_at'])} (cancel it with: watchbill oncall cancel {made['id']})")


def _gaps(found: list[dict[str, Any]]) -> RenderableType:
    lines = [
        {
            "team": entry["team"],
            "what": f"nobody on call from {begin} to {until}",
            "mend": "add members or an override",
        }
        for entry in found
        for gap in entry["gaps"]
        for begin, until in [
            (_both(parse_instant(gap[key]), entry["time_zone"]) for key in ("start_at", "end_at")),
        ]
    ]
    lines += [
        {"team": entry["team"], "what": problem["message"], "mend": problem["hint"]}
        for entry in found
        for problem in entry["warnings"]
    ]
    return rows(lines, ("Team", "team"), ("What", "what"), ("Mend", "mend"), empty="no gaps and no warnings")


def _ical(found: dict[str, Any], *, name: str) -> bytes:
    from watchbill.features.oncall.calendar import CalendarEntry, to_ical

    entries = [
        CalendarEntry(
            uid=f"{shift['team']}-{shift['slot']}-{shift['person']['id']}-{shift['start_at']}@watchbill",
            summary=f"{_name(shift)} on call for {shift['team']}",
            start_at=parse_instant(shift["start_at"]),
            end_at=parse_instant(shift["end_at"]),
            description=_why(shift) or "",
        )
        for shift in found["shifts"]
    ]
    return to_ical(entries, name=name, made_at=datetime.now(UTC))
