"""What uPlot draws of an SLO: its SLI, burn and budget, with what happened to the service meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from watchbill.features import changes, paging, slo
from watchbill.features.slo import SloView
from watchbill.web.shell import Screen


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, as a line on a chart: ``at`` in Unix seconds, ``tone`` a colour of the style sheet."""

    at: int
    label: str
    tone: str


def charts(screen: Screen, view: SloView, span: timedelta) -> dict[str, str]:
    """What uPlot draws: the SLI, the burn rate and the budget left, as JSON; empty without data."""
    points = slo.series(screen.tx, slo=view.slo, start=screen.tx.now - span, end=screen.tx.now)
    if not points:
        return {}
    x = [int(point.at.timestamp()) for point in points]
    marks = happenings(screen, view, start=points[0].at)
    target = float(view.slo.target)
    sli = [None if not point.total else 100 * (1 - point.bad / point.total) for point in points]
    budget = [None if point.budget_remaining is None else 100 * point.budget_remaining for point in points]
    worst = min((value for value in sli if value is not None), default=target)
    return {
        "sli": _chart(
            x,
            "%",
            [("SLI", sli, "accent", False), ("Target", [target] * len(x), "red", True)],
            low=min(worst, target) - (100 - target) / 2,
            high=100.0,
            marks=marks,
        ),
        "burn": _chart(
            x,
            "×",
            [
                ("Burn rate", [point.burn for point in points], "accent", False),
                ("Spends it all", [1.0] * len(x), "red", True),
            ],
            low=0.0,
            marks=marks,
        ),
        "budget": _chart(
            x,
            "%",
            [("Budget left", budget, "accent", False)],
            low=min([0.0, *(value for value in budget if value is not None)]),
            high=100.0,
            marks=marks,
        ),
    }


def happenings(screen: Screen, view: SloView, *, start: datetime) -> list[Mark]:
    """Deploys and other changes of the service, and its incidents, since then; at most a hundred of each."""
    made = changes.changes_between(
        screen.tx,
        start_at=start,
        end_at=screen.tx.now,
        service_ids=[view.slo.service_id],
        environment=view.slo.environment,
        limit=100,
    )
    found = paging.incident_list(screen.tx, service_id=view.slo.service_id, limit=100)
    marks = [
        Mark(at=int(one.last_at.timestamp()), label=one.version or one.kind, tone="accent")
        for one in made
        if one.last_at >= start
    ]
    marks += [
        Mark(at=int(line.incident.opened_at.timestamp()), label=f"#{line.incident.number}", tone="red")
        for line in found
        if line.incident.opened_at >= start
    ]
    return sorted(marks, key=lambda mark: mark.at)


def _chart(
    x: list[int],
    unit: str,
    series: list[tuple[str, list[Any], str, bool]],
    *,
    low: float | None = None,
    high: float | None = None,
    marks: Sequence[Mark] = (),
) -> str:
    lines = [{"label": label, "y": y, "tone": tone, "dash": dash} for label, y, tone, dash in series]
    drawn = {"x": x, "unit": unit, "series": lines, "low": low, "high": high, "marks": marks}
    return msgspec.json.encode(drawn).decode()
