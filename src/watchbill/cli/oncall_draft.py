"""``watchbill oncall draft``: a fair rota for the turns ahead, by a solver on this machine."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchbill.cli.client import Client
from watchbill.cli.oncall_times import AT_HELP, sent
from watchbill.cli.output import Home, Json, emit, rows, when
from watchbill.kernel.clock import format_instant, parse_instant

if TYPE_CHECKING:
    from rich.console import RenderableType

    from watchbill.features.oncall.drafting import Candidate, Turn


def draft(
    *,
    team: Annotated[str, typer.Argument(help="A team's name.")],
    start: Annotated[str | None, typer.Option("--from", help=f"{AT_HELP} Now when left out.")] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="How many days to draft.")] = 56,
    slot: Annotated[str, typer.Option("--slot", help="The slot whose turns are drafted.")] = "primary",
    second_slot: Annotated[
        str | None, typer.Option("--second-slot", help="Also draft somebody else for this slot, in the same turns.")
    ] = None,
    rest_hours: Annotated[
        int | None, typer.Option("--rest-hours", min=0, max=336, help="Rest between shifts; the team's when left out.")
    ] = None,
    in_row: Annotated[int, typer.Option("--in-row", min=1, max=60, help="Turns in a row at most.")] = 1,
    nights_in_row: Annotated[bool, typer.Option("--nights-in-row", help="Allow two nights in a row.")] = False,
    rather_not: Annotated[
        list[str] | None, typer.Option("--rather-not", help="A wish: LOGIN=2026-12-24, kept where it can be.")
    ] = None,
    look_back: Annotated[
        int, typer.Option("--look-back", min=1, max=400, help="Days whose hours and pages count for fairness.")
    ] = 90,
    apply: Annotated[
        bool, typer.Option("--apply", help="Make the overrides that the draft needs, after asking.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Draft who takes the turns ahead: rules kept, load shared. Exit code 1 when a rule cannot be kept."""
    from watchbill.features.oncall import drafting
    from watchbill.features.oncall.drafting_solve import solve

    first = sent(start, "--from")
    begin = parse_instant(first) if first else datetime.now(UTC)
    with Client.from_environment(home) as client:
        given = client.get(
            "/api/v1/oncall/drafting",
            **{"team": team, "slot": slot, "from": format_instant(begin)},
            to=format_instant(begin + timedelta(days=days)),
            look_back_days=look_back,
        )
        turns, people = _problem(given, _wishes(rather_not or [], given["time_zone"]))
        rules = drafting.Rules(
            rest=timedelta(hours=given["rest_hours"] if rest_hours is None else rest_hours),
            in_row=in_row,
            back_to_back_nights=nights_in_row,
            seats=2 if second_slot else 1,
        )
        running = [
            (
                drafting.turn_of(parse_instant(turn["start_at"]), parse_instant(turn["end_at"]), given["time_zone"]),
                turn["login"],
            )
            for turn in given["running"]
        ]
        found = solve(turns, people, rules, running=running)
        slots = [slot, *([second_slot] if second_slot else [])]
        lines = [
            {
                "start_at": format_instant(turns[seat.turn].start_at),
                "end_at": format_instant(turns[seat.turn].end_at),
                "slot": slots[seat.number],
                "person": seat.login,
                "now": given["turns"][seat.turn]["login"] if seat.number == 0 else None,
                "because": seat.because,
            }
            for seat in found.seats
        ]
        changes = [line for line in lines if line["person"] and line["person"] != line["now"]]
        as_is = [
            drafting.Seat(turn=number, number=0, login=turn["login"])
            for number, turn in enumerate(given["turns"])
            if turn["login"] in {person.login for person in people}
        ]
        told = {
            "team": given["team"],
            "seats": lines,
            "violations": found.violations,
            "optimal": found.optimal,
            "fairness": drafting.shares(found.seats, turns, people),
            "fairness_now": drafting.shares(as_is, turns, people),
            "overrides": len(changes),
            "applied": False,
        }
        if apply and changes:
            asked = f"Make {len(changes)} overrides for {team}, from {when(changes[0]['start_at'])} on?"
            if not json:
                emit(told, json=False, table=_drafted)
            if yes or typer.confirm(asked, err=True):
                for line in changes:
                    body = {key: line[key] for key in ("person", "start_at", "end_at", "slot")}
                    client.post("/api/v1/oncall/overrides", body | {"team": team, "reason": "drafted rota"})
                told["applied"] = True
    if json or not (apply and changes):
        emit(told, json=json, table=_drafted)
    else:
        typer.echo(f"{len(changes)} overrides made" if told["applied"] else "nothing changed")
    if found.violations:
        raise typer.Exit(1)


def _wishes(written: list[str], zone: str) -> dict[str, list[tuple[datetime, datetime]]]:
    from zoneinfo import ZoneInfo

    from watchbill.kernel.errors import Invalid

    found: dict[str, list[tuple[datetime, datetime]]] = {}
    for each in written:
        login, _, day = each.partition("=")
        try:
            begin = datetime.combine(date.fromisoformat(day), datetime.min.time(), ZoneInfo(zone))
        except ValueError as error:
            hint = "write LOGIN=2026-12-24"
            raise Invalid(f"'{each}' is not a person and a day", field="--rather-not", hint=hint) from error
        found.setdefault(login, []).append((begin.astimezone(UTC), (begin + timedelta(days=1)).astimezone(UTC)))
    return found


def _problem(
    given: dict[str, Any], wishes: dict[str, list[tuple[datetime, datetime]]]
) -> tuple[list[Turn], list[Candidate]]:
    from watchbill.features.oncall import drafting
    from watchbill.kernel.errors import Invalid

    zone, free = given["time_zone"], frozenset(date.fromisoformat(day) for day in given["holidays"])
    turns = [
        drafting.turn_of(parse_instant(turn["start_at"]), parse_instant(turn["end_at"]), zone, free)
        for turn in given["turns"]
    ]
    strangers = set(wishes) - {person["login"] for person in given["people"]}
    if strangers:
        hint = "name somebody who takes turns in this rota"
        raise Invalid(f"{', '.join(sorted(strangers))} takes no turns", field="--rather-not", hint=hint)
    people = [
        drafting.Candidate(
            login=person["login"],
            hours_before=person["hours"],
            interruptions_before=sum(drafting.weight_at(parse_instant(at), zone) for at in person["asked_at"]),
            away=tuple((parse_instant(off["start_at"]), parse_instant(off["end_at"])) for off in person["away"]),
            rather_not=tuple(wishes.get(person["login"], ())),
        )
        for person in given["people"]
    ]
    return turns, people


def _drafted(told: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    table = rows(
        told["seats"],
        ("From", lambda seat: when(seat["start_at"])),
        ("To", lambda seat: when(seat["end_at"])),
        ("Slot", "slot"),
        ("Person", lambda seat: seat["person"] or "NOBODY"),
        ("Now", "now"),
        ("Why", "because"),
    )
    fairness = rows(
        [{"login": login, "now": told["fairness_now"][login], **line} for login, line in told["fairness"].items()],
        ("Person", "login"),
        ("Hours so far", lambda line: f"{line['hours_before']:.0f}"),
        ("Weighted pages so far", lambda line: f"{line['interruptions_before']:.0f}"),
        ("Hours as it is", lambda line: f"{line['now']['hours']:.0f}"),
        ("Hours drafted", lambda line: f"{line['hours']:.0f}"),
        ("On holidays", lambda line: f"{line['holiday_hours']:.0f}"),
    )
    broken = [Text(f"cannot be kept ({v.rule}): {v.message}", style="red") for v in told["violations"]]
    proof = "no fairer draft exists" if told["optimal"] else "time ran out; a fairer draft may exist"
    return Group(table, fairness, *broken, Text(f"{told['overrides']} overrides would make it so; {proof}."))
