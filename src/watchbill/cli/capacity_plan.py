"""``watchbill capacity`` beyond ``fit``: forecasts, what-if, pushing demand, exporting bounds, the review of events."""

from __future__ import annotations

import csv
import math
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from watchbill.cli.client import Client, path_part
from watchbill.cli.output import Home, Json, emit, facts, rows
from watchbill.kernel.clock import parse_instant
from watchbill.kernel.errors import Invalid, NotFound

Service = Annotated[str, typer.Argument(help="The service's name.")]


def listing(
    team: Annotated[str | None, typer.Option("--team", help="A team's name.")] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """List services by what is left at their peak, the least first."""
    with Client.from_environment(home) as client:
        found = client.get("/api/v1/capacity", team=team)
    emit(found, json=json, table=_states)


def _states(found: list[dict[str, Any]]) -> Any:
    def of(key: str) -> Any:
        return lambda line: None if line["state"] is None else line["state"].get(key)

    return rows(
        found,
        ("Service", "service"),
        ("Team", "team"),
        ("Peak (q95)", lambda line: _rate(of("demand")(line))),
        ("Capacity", lambda line: _rate(of("capacity")(line))),
        ("Headroom", lambda line: _percent(of("headroom")(line))),
        ("By", lambda line: next((one["kind"] for one in of("limits")(line) or []), None)),
        ("Runs out", lambda line: _interval(line["state"])),
        ("Replicas", lambda line: _replicas(line["state"])),
        ("Order by", of("order_by")),
        empty="no service; apply a manifest first",
    )


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}/s"


def _amount(kind: str, value: float | None) -> str:
    """An amount of a measure with its unit."""
    if value is None:
        return "–"
    return {"rate": f"{value:.4g}/s", "concurrency": f"{value:.4g} at once"}.get(kind, f"{100 * value:.3g} %")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _interval(state: dict[str, Any] | None) -> str:
    if state is None or state["exhaustion"]["earliest"] is None:
        return "–"
    return f"{state['exhaustion']['earliest']} – {state['exhaustion']['latest'] or 'later'}"


def _replicas(state: dict[str, Any] | None) -> str:
    if state is None or state["carried"] is None or state["replicas_needed"] is None:
        return "–"
    return f"{state['carried']['replicas']} (needs {state['replicas_needed']})"


def forecast(
    service: Annotated[str | None, typer.Argument(help="The service's name.")] = None,
    *,
    file: Annotated[
        Path | None, typer.Option("--file", help="Instead: CSV of hour,value on this machine; needs no server.")
    ] = None,
    zone: Annotated[str, typer.Option("--zone", help="With --file: whose wall clock demand follows.")] = "UTC",
    days: Annotated[int, typer.Option("--days", min=1, max=120, help="How many days to show.")] = 7,
    json: Json = False,
    home: Home = None,
) -> None:
    """Show the forecast, its interval, and how earlier forecasts did beside a seasonal-naive baseline."""
    if file is not None:
        emit(_forecast_file(file, zone, days), json=json, table=_forecasts)
        return
    if service is None:
        raise Invalid("no service is named", hint="give a service, or --file CSV")
    with Client.from_environment(home) as client:
        found = client.get(f"/api/v1/capacity/{path_part(service)}")
    for one in found["forecasts"]:
        one["peak"], one["peak_high"] = one["peak"][:days], one["peak_high"][:days]
    emit(found, json=json, table=_forecasts)


def _forecast_file(path: Path, zone: str, days: int) -> dict[str, Any]:
    import numpy as np

    from watchbill.features.capacity import forecast as forecasting
    from watchbill.features.capacity import heavier

    hours = dict(_hours(path))
    start, end = min(hours), max(hours)
    count = int((end - start).total_seconds() // 3600) + 1
    if count > _MOST_HOURS:
        raise Invalid(
            f"{path} spans {count // 24:,} days",
            place=str(path),
            hint="is one of its dates wrong? Five years are the most",
        )
    values = np.full(count, np.nan)
    for at, value in hours.items():
        values[int((at - start).total_seconds() // 3600)] = value
    try:
        made = forecasting.forecast(
            values, start_at=start, step_seconds=3600, horizon=days * 24, zone=zone,
            rival=heavier.Decomposed if heavier.installed() else None,
        )  # fmt: skip
    except KeyError as error:
        raise Invalid(f"'{zone}' is not a time zone", field="zone", hint="such as Europe/Berlin") from error
    judged = made.evaluation
    one = {
        "operation": str(path), "kind": "rate", "refused": None, "notes": list(made.notes), "burst": 1.0,
        "first_at": end.isoformat(), "point": made.point.tolist(), "low": made.low.tolist(),
        "high": made.high.tolist(), "peak": made.peak.tolist(), "peak_high": made.peak_high.tolist(),
        "growth_per_week": made.growth_per_week, "days": judged.days, "coverage": judged.coverage, "mae": judged.mae,
        "naive_coverage": judged.naive_coverage, "naive_mae": judged.naive_mae, "ahead": list(judged.ahead),
        "peak_coverage": judged.peak_coverage, "model": made.model, "rival_mae": made.rival.mae if made.rival else None,
    }  # fmt: skip
    return {"service": str(path), "state": None, "forecasts": [one]}


_MOST_HOURS = 5 * 366 * 24


def _hours(path: Path) -> list[tuple[datetime, float]]:
    """(whole hour, value) of a CSV; values of one hour are averaged."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}", place=str(path), hint="check the path") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is no text", place=str(path), hint="give CSV of hour,value in UTF-8") from error
    found: dict[datetime, list[float]] = {}
    for line, row in enumerate(csv.reader(text.splitlines()), start=1):
        try:
            at = parse_instant(row[0]) if "T" in row[0] else datetime.fromisoformat(row[0]).replace(tzinfo=UTC)
            value = float(row[1])
        except (ValueError, IndexError) as error:
            if line == 1:
                continue
            raise Invalid(
                f"'{','.join(row)[:80]}' is not hour,value",
                place=f"{path}:{line}:1",
                hint="write 2026-03-02T09:00:00Z,123.4",
            ) from error
        found.setdefault(at.replace(minute=0, second=0, microsecond=0), []).append(value)
    if not found:
        raise Invalid(f"{path} holds no hours", place=str(path), hint="write 2026-03-02T09:00:00Z,123.4 on each line")
    return [(at, sum(values) / len(values)) for at, values in sorted(found.items())]


def _forecasts(found: dict[str, Any]) -> Any:
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = []
    if found["state"]:
        parts.append(Text(found["state"]["reason"]))
        if found["state"]["finding"]:
            parts.append(Text(f"It {found['state']['finding']}.", style="bold yellow"))
    for one in found["forecasts"]:
        name = one["operation"] or "the whole service"
        if one["refused"]:
            parts.append(Text(f"{name}, {one['kind']}: no forecast: {one['refused']}", style="yellow"))
            continue
        mae, naive, kind = one["mae"], one["naive_mae"], one["kind"]
        parts += [
            Text(f"\n{name}, {one['kind']}", style="bold"),
            facts(
                {
                    "coverage": f"{_percent(one['coverage'])} of a nominal 90 %"
                    f" (seasonal naive {_percent(one['naive_coverage'])})",
                    "busiest hour under its q95": f"on {_percent(one.get('peak_coverage'))} of past days",
                    **_beside(one),
                    "error": "–" if mae is None else f"{_amount(kind, mae)}, seasonal naive {_amount(kind, naive)}",
                    "growth": f"{100 * one['growth_per_week']:+.1f} % a week",
                    "busiest moment of a day": ", ".join(
                        f"{_amount(kind, middle * one['burst'])} (q95 {_amount(kind, high * one['burst'])})"
                        for middle, high in zip(one["peak"], one["peak_high"], strict=True)
                    ),
                }
            ),
            *(Text(f"  {note}", style="dim") for note in one["notes"]),
        ]
    return Group(*parts or [Text("no forecast yet; it is made every night")])


def _beside(one: dict[str, Any]) -> dict[str, str]:
    """Coverage further ahead, and the model that was tried and not taken."""
    told = {}
    if any(each is not None for each in one.get("ahead", [])[1:]):
        told["three and seven days ahead"] = ", ".join(_percent(each) for each in one["ahead"][1:])
    if one.get("rival_mae") is not None:
        other = "default" if one["model"] == "decomposed" else "heavier"
        told["model"] = f"{one['model']}; error of the {other} model at the same days {one['rival_mae']:.4g}"
    return told


def whatif(
    service: Service,
    operation: Annotated[str, typer.Argument(help="The operation that grows.")],
    growth: Annotated[str, typer.Argument(help="By how much, such as +71%.")],
    *,
    start: Annotated[str | None, typer.Option("--from", help="From which day on, such as 2026-11-27.")] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Say which components break first when an operation grows, what to order, and by when."""
    try:
        by = float(growth.strip().rstrip("%")) / 100
    except ValueError as error:
        raise Invalid(f"'{growth}' is not a growth", field="growth", hint="write +71%") from error
    body = {"service": service, "operation": operation, "growth": by, "start": start}
    with Client.from_environment(home) as client:
        found = client.post("/api/v1/capacity/what-if", body)
    emit(found, json=json, table=_effects)


def _effects(found: dict[str, Any]) -> Any:
    from rich.console import Group
    from rich.text import Text

    head = Text(f"{found['operation']} at {_rate(found['rate'])} grows by {100 * found['growth']:+.0f} %")
    table = rows(
        found["effects"],
        ("Component", "service"),
        ("Owner", "team"),
        ("Peak", lambda one: f"{_amount(one['kind'], one['before'])} → {_amount(one['kind'], one['after'])}"),
        ("Capacity", lambda one: _amount(one["kind"], one["capacity"])),
        ("Headroom", lambda one: _percent(one["headroom"])),
        ("Breaks at", lambda one: "–" if one["breaks_at"] is None else f"{100 * one['breaks_at']:+.0f} %"),
        ("Order", lambda one: f"{one['more_replicas']} by {one['order_by']}" if one["more_replicas"] else None),
        ("A month", lambda one: None if one["cost"] is None else f"{one['cost']:.2f}"),
    )
    said = [*found["notes"], *(f"{one['service']}: {w}" for one in found["effects"] for w in one["warnings"])]
    return Group(head, table, *(Text(f"  {note}", style="dim") for note in said))


def push(
    service: Service,
    file: Annotated[Path, typer.Argument(help="CSV of hour,value per second.")],
    *,
    operation: Annotated[str, typer.Option("--operation", help="Of one operation; else of the whole service.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="rate, concurrency or saturation.")] = "rate",
    json: Json = False,
    home: Home = None,
) -> None:
    """Push a demand that is measured elsewhere."""
    # What is no number is a gap: it is left out.
    hours = [{"at": at, "mean": value} for at, value in _hours(file) if math.isfinite(value)]
    days = 0
    with Client.from_environment(home) as client:
        for first in range(0, len(hours), 5000):
            body = {"hours": hours[first : first + 5000], "operation": operation, "kind": kind}
            days += client.post(f"/api/v1/capacity/{path_part(service)}/demand", body)["days"]
    emit({"hours": len(hours), "days": days}, json=json)


def export(
    service: Service,
    *,
    format: Annotated[str, typer.Option("--format", help="hpa or keda.")] = "hpa",
    home: Home = None,
    json: Json = False,
) -> None:
    """Print recommended replica bounds as a Kubernetes HPA or a KEDA ScaledObject."""
    with Client.from_environment(home) as client:
        text = client.text(f"/api/v1/capacity/{path_part(service)}/export", format=format)
    if json:
        emit({"format": format, "manifest": text}, json=True)
        return
    sys.stdout.write(text)


def review(json: Json = False, home: Home = None) -> None:
    """Review coming peak events: every component, its headroom, its owner, signed off or not."""
    with Client.from_environment(home) as client:
        found = client.get("/api/v1/capacity/review")
    emit(found, json=json, table=_reviews)


EventName = Annotated[str, typer.Argument(help="The event's name, as `watchbill capacity review` shows it.")]
EventTeam = Annotated[
    str | None, typer.Option("--team", help="Whose event it is; needed only where several teams name one alike.")
]


def sign(
    event: EventName,
    service: Service,
    *,
    note: Annotated[str, typer.Option("--note", help="Needed where headroom is unknown or negative.")] = "",
    person: Annotated[
        str | None, typer.Option("--person", help="Who stands for it: a login of the owning team.")
    ] = None,
    team: EventTeam = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Sign a component off before a peak event: somebody of the owning team stands for it."""
    with Client.from_environment(home) as client:
        body = {
            "team": _event_team(client, event, team), "event": event, "service": service, "note": note,
            "person": person,
        }  # fmt: skip
        made = client.post("/api/v1/capacity/review/sign", body)
    emit(made, json=json, table=lambda one: facts({
        "signed off": f"{service} for {event}", "headroom then": _percent(one["headroom"]), "note": one["note"] or "–",
    }))  # fmt: skip


def unsign(
    event: EventName, service: Service, *, team: EventTeam = None, json: Json = False, home: Home = None
) -> None:
    """Take the signature of a component back."""
    with Client.from_environment(home) as client:
        whose = _event_team(client, event, team)
        client.post("/api/v1/capacity/review/withdraw", {"team": whose, "event": event, "service": service})
    emit({"team": whose, "event": event, "service": service, "signed": False}, json=json)


def _event_team(client: Client, event: str, team: str | None) -> str:
    if team is not None:
        return team
    coming = client.get("/api/v1/capacity/review")
    found = sorted({one["team"] for one in coming if one["event"]["name"] == event})
    if not found:
        names = ", ".join(sorted({one["event"]["name"] for one in coming})) or "none"
        raise NotFound(f"no event '{event}' is to come", hint=f"those to come: {names}")
    if len(found) > 1:
        raise Invalid(f"{', '.join(found)} each have an event '{event}'", field="team", hint="say whose with --team")
    return str(found[0])


def _reviews(found: list[dict[str, Any]]) -> Any:
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = []
    for one in found:
        event = one["event"]
        times = f"×{event['factor']:g}"
        parts += [
            Text(f"{event['name']}, {event['start']} – {event['end']}, {times} ({one['team']})", style="bold"),
            rows(
                one["lines"],
                ("Component", "service"),
                ("Owner", "team"),
                ("Peak (q95)", lambda line: _amount(line["kind"], line["demand"])),
                ("Capacity", lambda line: _amount(line["kind"], line["capacity"])),
                ("Headroom", lambda line: _percent(line["headroom"])),
                ("Order", lambda line: f"{line['more_replicas']} by {line['order_by']}" if line["order_by"] else None),
                ("Signed off", lambda line: "yes" if line["signed"] else "no"),
            ),
            *(Text(f"  {note}", style="dim") for note in one["notes"]),
        ]
    return Group(*parts or [Text("no peak event is declared; see spec.peakEvents of a Team manifest")])
