"""Who is on call, shifts, overrides and gaps. Times are in the reader's zone, with the team's where it differs."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from watchbill.cli.client import Client
from watchbill.cli.output import Home, Json, emit, rows, when
from watchbill.kernel.clock import format_instant, parse_instant
from watchbill.kernel.durations import parse_duration, rough_duration
from watchbill.kernel.errors import Invalid

if TYPE_CHECKING:
    from rich.console import RenderableType

TeamName = Annotated[str, typer.Argument(help="A team's name.")]

app = typer.Typer(help="Who is on call, shifts, overrides and gaps.")

_AT_HELP = 'RFC 3339, "2026-03-02 09:00" in your zone, or a time ahead such as 2h.'
Team = Annotated[str | None, typer.Option("--team", help="A team's name.")]
Service = Annotated[str | None, typer.Option("--service", help="A service's name; its owner is asked.")]
Days = Annotated[int, typer.Option("--days", min=1, max=400, help="How many days ahead.")]


@app.command()
def now(
    team: Team = None,
    service: Service = None,
    at: Annotated[str | None, typer.Option("--at", help=_AT_HELP)] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Say who is on call, for a team, a service, or all teams; --at asks for another time, past or future."""
    with Client.from_environment(home) as client:
        found = client.get("/api/v1/oncall", team=team, service=service, at=_sent(at, "--at"))
    emit(found, json=json, table=_watches)


@app.command()
def show(team: TeamName, days: Days = 14, json: Json = False, home: Home = None) -> None:
    """Show a team's rota as a calendar strip, then its shifts."""
    with Client.from_environment(home) as client:
        end = format_instant(datetime.now(UTC) + timedelta(days=days))
        found = client.get("/api/v1/oncall/shifts", team=team, to=end)
    emit(found, json=json, table=_rota)


@app.command()
def override(
    *,
    team: TeamName,
    person: Annotated[str, typer.Option("--person", help="Who takes over: a login, or me.")],
    end: Annotated[str, typer.Option("--to", help=_AT_HELP)],
    start: Annotated[str | None, typer.Option("--from", help=f"{_AT_HELP} Now when left out.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the others.")] = "",
    json: Json = False,
    home: Home = None,
) -> None:
    """Put somebody on call for a team, whoever's turn it is."""
    start_at = _sent(start, "--from") or format_instant(datetime.now(UTC))
    body = {"team": team, "person": person, "start_at": start_at, "end_at": _sent(end, "--to"), "reason": reason}
    with Client.from_environment(home) as client:
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
def export(
    *,
    team: Team = None,
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
        found = client.get("/api/v1/oncall/shifts", team=team, person=person, to=end)
    if json or form == "json":
        emit(found, json=True)
        return
    written = _ical(found, name=f"on call: {team or person}")
    if output is None:
        sys.stdout.write(written.decode())
    else:
        output.write_bytes(written)


def _sent(text: str | None, option: str) -> str | None:
    """What people write as a time, as RFC 3339."""
    if text is None:
        return None
    try:
        return format_instant(datetime.now(UTC) + parse_duration(text))
    except ValueError:
        pass  # not a duration, then a time
    try:
        written = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"'{text}' is not a time", field=option, hint=_AT_HELP) from error
    return format_instant(written.astimezone())


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
    return shift["person"]["login"] if shift else None


def _why(shift: dict[str, Any] | None) -> str | None:
    if shift is None:
        return None
    return f"{shift['reason']}: {shift['note']}" if shift["note"] else str(shift["reason"])


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
    spans = [(_name(s) or "", parse_instant(s["start_at"]), parse_instant(s["end_at"])) for s in found["shifts"]]
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
            uid=f"{shift['team']}-{shift['person']['id']}-{shift['start_at']}@watchbill",
            summary=f"{shift['person']['login']} on call for {shift['team']}",
            start_at=parse_instant(shift["start_at"]),
            end_at=parse_instant(shift["end_at"]),
            description=_why(shift) or "",
        )
        for shift in found["shifts"]
    ]
    return to_ical(entries, name=name, made_at=datetime.now(UTC))
