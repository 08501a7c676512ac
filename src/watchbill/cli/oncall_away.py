"""``watchbill oncall time-off …`` and ``feed …``: when one is away, and calendars that fetch shifts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from watchbill.cli.client import Client
from watchbill.cli.oncall_times import AT_HELP, sent
from watchbill.cli.output import Home, Json, emit, rows, when
from watchbill.kernel.errors import Invalid

time_off = typer.Typer(help="When people are away.", no_args_is_help=True)
feed = typer.Typer(help="Secret addresses that calendars fetch shifts from.", no_args_is_help=True)

Person = Annotated[str | None, typer.Option("--person", help="A login (admins); me when left out.")]
_MOST_BYTES = 1024 * 1024


@time_off.command("list")
def list_time_off(person: Person = None, json: Json = False, home: Home = None) -> None:
    """Show when somebody is away, from now on."""
    with Client.from_environment(home) as client:
        found = client.get("/api/v1/oncall/time-off", person=person)
    emit(
        found,
        json=json,
        table=lambda listed: rows(
            listed,
            ("Id", "id"),
            ("From", lambda off: when(off["start_at"])),
            ("To", lambda off: when(off["end_at"])),
            ("Note", "note"),
            ("Calendar", "calendar"),
            empty="no time off",
        ),
    )


@time_off.command()
def add(
    *,
    start: Annotated[str, typer.Option("--from", help=AT_HELP)],
    end: Annotated[str, typer.Option("--to", help=AT_HELP)],
    note: Annotated[str, typer.Option("--note", help="Seen by that person and admins only.")] = "",
    person: Person = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Say that somebody is away; shifts in it become warnings."""
    body = {"start_at": sent(start, "--from"), "end_at": sent(end, "--to"), "note": note, "person": person}
    with Client.from_environment(home) as client:
        made = client.post("/api/v1/oncall/time-off", body)
    emit(made, json=json)


@time_off.command()
def remove(
    time_off_id: Annotated[str, typer.Argument(help="The id that `oncall time-off list` shows.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Take time off back."""
    with Client.from_environment(home) as client:
        client.delete(f"/api/v1/oncall/time-off/{time_off_id}")
    emit({"removed": time_off_id}, json=json)


@time_off.command("import")
def import_calendar(
    *,
    file: Annotated[Path, typer.Argument(help="An iCalendar file (.ics).")],
    calendar: Annotated[str, typer.Option("--calendar", help="Its name; the same name again is an update.")] = "",
    person: Person = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Take the coming 400 days of a calendar as time off."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror}", hint="name an iCalendar file") from error
    if len(content) > _MOST_BYTES:
        raise Invalid(f"{file} is larger than 1 MiB", hint="export a calendar of absences only")
    text = content.decode("utf-8", "replace")
    with Client.from_environment(home) as client:
        found = client.post(
            "/api/v1/oncall/time-off/import", {"calendar": calendar or file.stem, "content": text, "person": person}
        )
    emit(found, json=json)


@time_off.command()
def holidays(
    calendar: Annotated[str, typer.Argument(help="A country or its part: DE, DE-BE; '' for none.")],
    person: Person = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Say whose public holidays somebody has."""
    with Client.from_environment(home) as client:
        found = client.request("PUT", "/api/v1/oncall/holidays", json={"calendar": calendar, "person": person})
    emit(found, json=json)


@feed.command("list")
def list_feeds(person: Person = None, json: Json = False, home: Home = None) -> None:
    """Show calendar feeds, without their secret addresses."""
    with Client.from_environment(home) as client:
        found = client.get("/api/v1/oncall/feeds", person=person)
    emit(
        found,
        json=json,
        table=lambda listed: rows(
            listed,
            ("Id", "id"),
            ("Of", _of),
            ("Last fetched", lambda one: when(one["used_at"]) if one["used_at"] else "never"),
            empty="no feeds",
        ),
    )


@feed.command()
def create(
    *,
    team: Annotated[str | None, typer.Option("--team", help="A team's shifts; the person's own without.")] = None,
    slot: Annotated[str | None, typer.Option("--slot", help="Only one slot of the team's schedule.")] = None,
    person: Person = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Make a secret address; it is printed this once."""
    with Client.from_environment(home) as client:
        made = client.post("/api/v1/oncall/feeds", {"team": team, "slot": slot, "person": person})
    emit({"id": made["feed"]["id"], "url": made["url"]}, json=json)


FeedId = Annotated[str, typer.Argument(help="The id that `oncall feed list` shows.")]


@feed.command()
def replace(feed_id: FeedId, json: Json = False, home: Home = None) -> None:
    """Give a feed a new address; the old one ends at once."""
    with Client.from_environment(home) as client:
        made = client.post(f"/api/v1/oncall/feeds/{feed_id}/replace")
    emit({"id": made["feed"]["id"], "url": made["url"]}, json=json)


@feed.command()
def revoke(feed_id: FeedId, json: Json = False, home: Home = None) -> None:
    """End a feed at once."""
    with Client.from_environment(home) as client:
        client.delete(f"/api/v1/oncall/feeds/{feed_id}")
    emit({"revoked": feed_id}, json=json)


def _of(one: dict[str, Any]) -> str:
    if one["team"] is None:
        return "my shifts"
    return f"{one['team']}, {one['slot']}" if one["slot"] else str(one["team"])
