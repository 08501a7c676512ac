"""``watchbill slo replay`` and ``propose``: what an objective would have told over history, and what to promise."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from watchbill.cli.client import Client
from watchbill.cli.output import Home, Json, emit, rows, when
from watchbill.kernel.clock import format_instant, parse_instant
from watchbill.kernel.durations import format_duration, parse_duration, rough_duration
from watchbill.kernel.errors import Invalid

if TYPE_CHECKING:
    from rich.console import RenderableType

    from watchbill.features.slo import Measure
    from watchbill.features.slo.judging import Happened, Judgement
    from watchbill.features.slo.replay import Recorded

_PART = timedelta(days=31)
"""What is asked for at once."""

Which = Annotated[str | None, typer.Argument(help="service/operation/name, of which the end may be left out.")]
Since = Annotated[str, typer.Option("--since", help="How far back, such as 30d.")]
Service = Annotated[str | None, typer.Option("--service", help="A service's name.")]
Team = Annotated[str | None, typer.Option("--team", help="A team's name.")]


def replay_slos(  # noqa: PLR0917  (typer passes options by name)
    slo: Which = None,
    since: Since = "30d",
    service: Service = None,
    team: Team = None,
    target: Annotated[str | None, typer.Option("--target", help="Another target in percent, beside today's.")] = None,
    window: Annotated[str | None, typer.Option("--window", help="Another window, such as 28d.")] = None,
    alerts: Annotated[bool, typer.Option("--alerts", help="List every alert too.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Replay history: which pages and tickets there would have been, how fast, and how many met a recorded incident.

    With --target or --window the proposal is replayed beside what is promised today.
    """
    proposed = _target(target)
    length = parse_duration(window) if window else None
    start = datetime.now(UTC) - parse_duration(since)
    results = []
    with Client.from_environment(home) as client:
        for item in _progress("replaying", _chosen(client, slo, service, team)):
            recorded = _recorded(client, item, start)
            happened = _happened(client, item["service"], start)
            today = _judge(recorded, item, happened, target=Decimal(item["target"]), seconds=item["window_seconds"])
            result: dict[str, Any] = {
                "slo": f"{item['service']}/{item['operation']}/{item['name']}",
                "id": item["id"],
                "from_at": format_instant(start),
                "measured_share": float(recorded.measured.mean()) if recorded.measured.size else 0.0,
                "today": {"target": item["target"], "window_seconds": item["window_seconds"], **_plain(today)},
            }
            if proposed is not None or length is not None:
                wanted = proposed or Decimal(item["target"])
                seconds = int(length.total_seconds()) if length else item["window_seconds"]
                judged = _judge(recorded, item, happened, target=wanted, seconds=seconds, rolls=length is not None)
                result["proposed"] = {"target": f"{wanted:f}", "window_seconds": seconds, **_plain(judged)}
            results.append(result)
    emit(results, json=json, table=lambda found: _table(found, alerts=alerts))


def propose_target(
    slo: Which = None, since: Since = "90d", service: Service = None, json: Json = False, home: Home = None
) -> None:
    """Propose targets: what history leaves room for, and what the promises of dependencies allow."""
    from watchbill.features.slo.judging import propose
    from watchbill.features.slo.replay import sliced, worst_burn

    start = datetime.now(UTC) - parse_duration(since)
    found = []
    with Client.from_environment(home) as client:
        for item in _progress("reading", _chosen(client, slo, service, None)):
            recorded = _recorded(client, item, start)
            measure = _measure(item)
            recorded = sliced(recorded, measure)
            worst = worst_burn(recorded, window_seconds=item["window_seconds"], calendar=measure.calendar)
            measured = int(recorded.measured.sum()) * recorded.slice_seconds
            if not int(recorded.total.sum()):
                target, why = None, "nothing was measured: send telemetry first"
            else:
                target, why = propose(worst, dependencies=_dependencies(client, item["service"]))
            found.append(
                {
                    "slo": f"{item['service']}/{item['operation']}/{item['name']}",
                    "today": item["target"],
                    "proposed": f"{target:f}" if target is not None else None,
                    "why": why,
                    "measured_seconds": measured,
                }
            )
    emit(
        found,
        json=json,
        table=lambda lines: rows(
            lines,
            ("SLO", "slo"),
            ("Today", lambda line: f"{line['today']} %"),
            ("Proposed", lambda line: f"{line['proposed']} %" if line["proposed"] else "–"),
            ("From", lambda line: rough_duration(timedelta(seconds=line["measured_seconds"]))),
            ("Why", "why"),
            empty="no SLO; they come with the operations of a Service manifest",
        ),
    )


def _chosen(client: Client, slo: str | None, service: str | None, team: str | None) -> list[dict[str, Any]]:
    parts = slo.split("/") if slo else []
    listed = client.get("/api/v1/slos", service=parts[0] if parts else service, team=team)["slos"]
    found = [item for item in listed if [item["operation"], item["name"]][: len(parts) - 1] == parts[1:]]
    if slo and not found:
        raise Invalid(f"no SLO is called '{slo}'", hint="see `watchbill slo list`")
    return found


def _recorded(client: Client, item: dict[str, Any], start: datetime) -> Recorded:
    """The counts since ``start``, asked for a month at a time; what is excluded is empty."""
    import numpy as np

    from watchbill.features.slo.replay import Recorded

    bad: list[Any] = []
    total: list[Any] = []
    measured: list[Any] = []
    first: int | None = None
    width, at, end = 60, start, datetime.now(UTC)
    while at < end:
        until = min(at + _PART, end)
        found = client.get(
            f"/api/v1/slos/{item['id']}/counts", **{"from": format_instant(at), "to": format_instant(until)}
        )
        width = found["slice_seconds"]
        first = found["first"] if first is None else first
        places = np.array(found["offsets"], np.int64)
        for into, name in ((bad, "bad"), (total, "total")):
            column = np.zeros(found["slices"], np.int64)
            column[places] = found[name]
            into.append(column)
        there = np.ones(found["slices"], np.bool_)
        for gap_start, gap_end in found["unmeasured"]:
            there[gap_start:gap_end] = False
        measured.append(there)
        at = until
    all_bad, all_total = np.concatenate(bad), np.concatenate(total)
    for span in _excluded(client, item):
        inside = slice(*(max(-(-int(edge.timestamp()) // width) - (first or 0), 0) for edge in span))
        all_bad[inside] = all_total[inside] = 0
    return Recorded(
        first=first or 0, slice_seconds=width, bad=all_bad, total=all_total, measured=np.concatenate(measured)
    )


def _excluded(client: Client, item: dict[str, Any]) -> list[tuple[datetime, datetime]]:
    """The spans that count for no budget and no alert, as they are now."""
    return [
        (parse_instant(one["start_at"]), parse_instant(one["until_at"]))
        for one in client.get(f"/api/v1/slos/{item['id']}/exclusions")
        if one["status"] not in ("waiting", "revoked")
    ]


def _happened(client: Client, service: str, start: datetime) -> list[Happened]:
    """What people held to be an incident of this service: declared, or acknowledged and resolved by somebody."""
    from watchbill.features.slo.judging import Happened

    found = []
    for incident in client.get("/api/v1/incidents", service=service, limit=500):
        opened_at = parse_instant(incident["opened_at"])
        resolved_at = parse_instant(incident["resolved_at"]) if incident["resolved_at"] else None
        if incident["phase"] == "declared" and (resolved_at is None or resolved_at >= start):
            found.append(Happened(number=incident["number"], start_at=opened_at, end_at=resolved_at))
    return found


def _dependencies(client: Client, service: str) -> list[tuple[str, Decimal]]:
    """What each direct dependency promises: its strictest availability objective."""
    promised = []
    for name in client.get(f"/api/v1/services/{service}")["depends_on"]:
        targets = [
            Decimal(item["target"])
            for item in client.get("/api/v1/slos", service=name)["slos"]
            if item["threshold_ms"] is None
        ]
        if targets:
            promised.append((name, max(targets)))
    return promised


def _measure(item: dict[str, Any]) -> Measure:
    """What of the promise is not usual: time slices, a calendar, windows of its own."""
    from watchbill.features.slo import Measure

    return msgspec.convert(item.get("measure") or {}, Measure)


def _judge(
    recorded: Recorded,
    item: dict[str, Any],
    happened: Sequence[Happened],
    *,
    target: Decimal,
    seconds: int,
    rolls: bool = False,
) -> Judgement:
    """``rolls``: a proposed window rolls, also where today's follows a calendar."""
    from watchbill.features import slo
    from watchbill.features.slo.judging import judge
    from watchbill.features.slo.objectives import plan_windows
    from watchbill.features.slo.replay import replay, sliced

    window, measure = timedelta(seconds=seconds), _measure(item)
    if rolls:
        measure = msgspec.structs.replace(measure, calendar=None)
    wrong = [
        problem
        for problem in slo.check_objective(
            slo.Objective(name=item["name"], target=target, window=window, measure=measure),
            slice_seconds=recorded.slice_seconds
        )
        if problem.severity == "error"
    ]
    if wrong:
        raise Invalid(wrong[0].message, field=wrong[0].field, hint=wrong[0].hint)
    share = 1 - Fraction(target) / 100
    plan = plan_windows(
        budget_share=share,
        window_seconds=seconds,
        slice_seconds=recorded.slice_seconds,
        alerts=measure.alerts,
        unit_seconds=0 if measure.method == "occurrences" else measure.slice_seconds,
    )
    told = replay(sliced(recorded, measure), plan=plan, share=share, window_seconds=seconds, measure=measure)
    return judge(told, happened, slice_seconds=recorded.slice_seconds)


def _target(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        return Decimal(text.removesuffix("%"))
    except InvalidOperation as error:
        raise Invalid(f"'{text}' is not a percent", field="--target", hint="write 99.9") from error


def _plain(judged: Judgement) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(judged)
    return plain


def _table(found: list[dict[str, Any]], *, alerts: bool) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    lines = [
        {"slo": result["slo"] if kind == "today" else "  proposed", **result[kind]}
        for result in found
        for kind in ("today", "proposed")
        if kind in result
    ]
    table = rows(
        lines,
        ("SLO", "slo"),
        ("Promise", lambda line: f"{line['target']} % / {format_duration(timedelta(seconds=line['window_seconds']))}"),
        ("Pages", "pages"),
        ("Tickets", "tickets"),
        ("Detected after", lambda line: _length(line["median_detection_seconds"])),
        ("In an incident", lambda line: _of(line["pages_in_incidents"], line["pages"], line["precision"])),
        ("Incidents paged", lambda line: _of(line["incidents_paged"], line["incidents"], line["recall"])),
        empty="no SLO; they come with the operations of a Service manifest",
    )
    if not alerts:
        return table
    listed = [
        {"slo": line["slo"], **alert} for line in lines for alert in line["alerts"]
    ]
    detail = rows(
        listed,
        ("SLO", "slo"),
        ("Tier", "tier"),
        ("Fired", lambda alert: when(alert["fired_at"])),
        ("After", lambda alert: _length(alert["detected_after_seconds"])),
        ("Until", lambda alert: when(alert["until_at"])),
        ("Incidents", lambda alert: ", ".join(f"#{number}" for number in alert["incidents"]) or "none recorded"),
        empty="no alert",
    )
    return Group(table, Text(""), detail)


def _length(seconds: float | None) -> str:
    return "–" if seconds is None else rough_duration(timedelta(seconds=seconds))


def _of(part: int, whole: int, share: float | None) -> str:
    return f"{part} of {whole}" + ("" if share is None else f" ({100 * share:.0f} %)")


def _progress(what: str, items: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """The items, with a bar on a terminal's stderr while they are worked on."""
    return _bar(what, items) if sys.stderr.isatty() and len(items) > 1 else items


def _bar(what: str, items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    from rich.console import Console
    from rich.progress import track

    yield from track(items, description=what, console=Console(stderr=True), transient=True)
