"""``alerts`` and ``calendar`` of an objective: its own burn windows, and periods of the calendar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta

from watchbill.features import slo
from watchbill.kernel.durations import parse_duration
from watchbill.manifest.words import Duration, Part, Percent

MOST_ALERTS = 4


class BurnAlert(Part, frozen=True, kw_only=True):
    """Tell when the budget burns too fast over ``window`` and over ``short``. ``burn`` or ``budget`` says how fast."""

    tier: Annotated[Literal["page", "ticket"], Meta(description="page wakes somebody, ticket waits.")]
    window: Annotated[Duration, Meta(description="The long window.")]
    short: (
        Annotated[Duration, Meta(description="The short window; a twelfth of the long one when left out.")] | None
    ) = None
    burn: (
        Annotated[
            Decimal,
            Meta(description="How many times faster than sustainable.", extra={"expected": "a number such as 14.4"}),
        ]
        | None
    ) = None
    budget: Annotated[Percent, Meta(description="Or: how much of the whole budget goes in the long window.")] | None = (
        None
    )


class CalendarWindow(Part, frozen=True, kw_only=True):
    """Instead of a rolling window: periods of the calendar, each with a budget of its own."""

    every: Annotated[
        str,
        Meta(
            pattern=r"^[1-9][0-9]{0,2}[dwMQY]$",
            description="1d, 1w, 1M (month), 1Q (quarter), 1Y (year).",
            extra={"expected": "a period such as 1w, 1M, 1Q or 1Y"},
        ),
    ]
    start: Annotated[
        str,
        Meta(
            pattern=r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?)?$",
            description="When one of the periods began, on the wall clock; the usual one is a Monday.",
            extra={"expected": "a day such as 2024-01-01, with or without a time"},
        ),
    ] = "2024-01-01"
    time_zone: Annotated[
        str, Meta(description="IANA name.", extra={"expected": "a time zone such as Europe/Berlin"})
    ] = "UTC"


Wrong = tuple[str, str, tuple[str | int, ...], str]
"""(code, message, path within the objective, mend)."""


def wrong_alerts(alerts: Sequence[BurnAlert]) -> Iterator[Wrong]:
    """What cannot be meant; what cannot fire is told by `slo.check_objective`."""
    if len(alerts) > MOST_ALERTS:
        yield (
            "manifest.value",
            f"{len(alerts)} alerts; {MOST_ALERTS} are enough for any objective",
            ("alerts", MOST_ALERTS),
            "two that page and two tickets are usual",
        )
    for index, one in enumerate(alerts):
        path = ("alerts", index)
        if (one.burn is None) == (one.budget is None):
            yield (
                "manifest.conflict",
                "an alert needs either burn or budget",
                path,
                "write budget: 2 (percent of the budget in the long window), or burn: 14.4",
            )
        for name, value in (("burn", one.burn), ("budget", one.budget)):
            if value is not None and (not value.is_finite() or value <= 0 or (name == "budget" and value > 100)):
                yield (
                    "manifest.value",
                    f"{name} {value} is out of range",
                    (*path, name),
                    "write budget: 2 or burn: 14.4",
                )
        if parse_duration(one.window) < timedelta(minutes=1):
            yield ("slo_window", f"a window of {one.window} is too short", (*path, "window"), "1h is usual")


def wrong_calendar(calendar: CalendarWindow, window: str, usual: str) -> Iterator[Wrong]:
    """A calendar's day and zone exist, and no rolling window is given beside it."""
    if window != usual:
        yield ("manifest.conflict", "both window and calendar are given", ("window",), "keep one of them")
    try:
        datetime.fromisoformat(calendar.start)
    except ValueError:
        yield ("manifest.value", f"{calendar.start} is no day", ("calendar", "start"), "such as 2024-01-01")
    try:
        ZoneInfo(calendar.time_zone)
    except (KeyError, ValueError, OSError):
        hint = "an IANA name such as Europe/Berlin"
        yield ("manifest.value", f"'{calendar.time_zone}' is no time zone", ("calendar", "timeZone"), hint)
    if slo.usual_length(calendar_of(calendar)) > timedelta(days=366):
        hint = "a year at most"
        yield ("slo_window", f"a period of {calendar.every} is too long", ("calendar", "every"), hint)


def calendar_of(written: CalendarWindow) -> slo.Calendar:
    """As the evaluator knows it."""
    return slo.Calendar(
        amount=int(written.every[:-1]),
        unit=written.every[-1],  # type: ignore[arg-type]  # the pattern has been checked
        start=written.start.replace(" ", "T"),
        zone=written.time_zone,
    )


def alerts_of(alerts: Sequence[BurnAlert], window: timedelta) -> tuple[slo.AlertWindow, ...]:
    """As the evaluator knows them: a share of the budget in the long window L is a burn of share × W / L."""
    return tuple(
        slo.AlertWindow(
            tier=one.tier,
            burn=one.burn if one.burn is not None else _burn(one.budget or Decimal(0), window, one.window),
            long_seconds=int(parse_duration(one.window).total_seconds()),
            short_seconds=None if one.short is None else int(parse_duration(one.short).total_seconds()),
        )
        for one in alerts
    )


def _burn(percent: Decimal, window: timedelta, long: str) -> Decimal:
    return percent * Decimal(int(window.total_seconds())) / (100 * Decimal(int(parse_duration(long).total_seconds())))
