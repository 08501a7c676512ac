"""From an SLO of any format to the operation and objectives that Watchbill measures.

One SLO becomes one operation, each of its objectives one of ours. A composite burns when any of its objectives burns,
and a weight multiplies that burn: so its objectives stand side by side, with the limits of their alerts divided by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from watchbill.kernel.errors import Problem
from watchbill.manifest.openslo import noted, ratios
from watchbill.manifest.openslo.files import Found, Reading
from watchbill.manifest.openslo.ours import KIND
from watchbill.manifest.openslo.place import Place
from watchbill.manifest.openslo.promql import NotCountable
from watchbill.manifest.openslo.rules import slug
from watchbill.manifest.openslo.spec import Alert, Goal, Indicator, SloSpec
from watchbill.manifest.sections.objective_windows import MOST_ALERTS

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_PROMETHEUS = frozenset({"prometheus", "mimir", "thanos", "victoriametrics", "cortex", "promql", "amazonprometheus"})
_OWNERS = (noted.OWNER, "owner", "team", "pyrra.dev/team", "pyrra.dev/owner")
_MINUTES = range(60, 901, 60)


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """An operation as a manifest writes it, the service it belongs to, and who owns that (None: nobody says)."""

    service: str
    owner: str | None
    tier: int | None
    data: dict[str, Any]
    place: Place


def operations(reading: Reading) -> list[Operation]:
    """One for each SLO that Watchbill can measure; what it cannot is noted at its place and left out."""
    return [made for one in reading.slos if (made := _operation(one, reading.services)) is not None]


def nobody_owns(service: str) -> Problem:
    """A service without an owner cannot be applied."""
    return Problem(
        code="openslo.owner",
        message=f"nobody says who owns the service '{service}'",
        hint="give --owner TEAM, or the annotation watchbill/owner",
        severity="warning",
    )


def manifests(made: Iterable[Operation], *, owner: str | None = None) -> list[dict[str, Any]]:
    """Service documents of ``watchbill/v1``; ``owner`` is for services of which nobody says who owns them."""
    written: dict[str, dict[str, Any]] = {}
    for one in made:
        document = written.setdefault(
            one.service,
            {
                "apiVersion": "watchbill/v1",
                "kind": "Service",
                "metadata": {"name": one.service},
                "spec": {"owner": one.owner or owner, "operations": []},
            },
        )
        spec = document["spec"]
        spec["owner"] = spec["owner"] or one.owner
        if one.tier is not None:
            spec.setdefault("tier", one.tier)
        merge(spec["operations"], one.data)
    for document in written.values():
        if document["spec"]["owner"] is None:
            del document["spec"]["owner"]
    return list(written.values())


def merge(into: list[dict[str, Any]], operation: dict[str, Any]) -> None:
    """Add an operation; objectives of one that is there already join it, under a name of their own."""
    known = next((one for one in into if one["name"] == operation["name"]), None)
    if known is None:
        into.append({**operation, "objectives": list(operation["objectives"])})
        return
    objectives = known.setdefault("objectives", [])
    names = {one["name"] for one in objectives}
    for one in operation["objectives"]:
        name, number = one["name"], 2
        while name in names:
            name, number = f"{one['name']}-{number}", number + 1
        names.add(name)
        objectives.append({**one, "name": name})


def service_name(text: str) -> str:
    """A name as Watchbill allows it."""
    return text if _NAME.fullmatch(text) else slug(text)


def _operation(found: Found, services: dict[str, Place]) -> Operation | None:
    spec, place = found.spec, found.place
    objectives: list[dict[str, Any]] = []
    match: dict[str, Any] = {}
    for index, goal in enumerate(spec.goals):
        indicator = goal.indicator or spec.indicator
        if indicator is None:
            continue
        written = _objective(spec, goal, indicator, index, place)
        spans = _spans(indicator)
        if spans is not None:
            match = spans
        if written is not None:
            objectives.append(written)
    if not objectives:
        return None
    name = spec.annotations.get(noted.OPERATION) or spec.title or spec.name
    data: dict[str, Any] = {"name": name[:200]}
    data |= {"match": match} if match else {}
    data["objectives"] = objectives
    service = services.get(spec.service)
    tier = spec.annotations.get(noted.TIER)
    return Operation(
        service=service_name(spec.annotations.get(noted.SERVICE, spec.service)),
        owner=_owner(spec.annotations, spec.labels) or (_owner_of(service) if service else None),
        tier=int(tier) if tier and tier.isdigit() and 1 <= int(tier) <= 4 else None,
        data=data,
        place=place,
    )


def _owner(annotations: dict[str, Any], labels: dict[str, Any]) -> str | None:
    for key in _OWNERS:
        for source in (annotations, labels):
            value = source.get(key)
            values = value if isinstance(value, list) else [value]
            if len(values) == 1 and isinstance(values[0], str) and _NAME.fullmatch(values[0]):
                return values[0]
    return None


def _owner_of(service: Place) -> str | None:
    metadata = service.data.get("metadata") or {}
    return _owner(metadata.get("annotations") or {}, metadata.get("labels") or {})


def _objective(spec: SloSpec, goal: Goal, indicator: Indicator, index: int, place: Place) -> dict[str, Any] | None:
    path = ("spec", "objectives", index)
    if goal.target <= 0:
        place.note("openslo.target", "a target of 0 promises nothing", path, "write a target above 0")
        return None
    written: dict[str, Any] = {"name": _name(spec, goal, indicator, index), "target": percent(goal.target)}
    written |= _window(spec)
    if not _measure(written, goal, indicator, place, path):
        return None
    if spec.method != "Occurrences" and goal.slice_length is not None:
        if goal.slice_length.usual_seconds not in _MINUTES:
            hint = "write timeSliceWindow: 1m, 5m or another whole number of minutes up to 15m"
            place.note("openslo.unsupported", f"time slices of {goal.slice_length} are not kept here", path, hint)
            return None
        slices: dict[str, Any] = {"length": f"{goal.slice_length.usual_seconds // 60}m"}
        if spec.method == "Timeslices" and goal.slice_target is not None:
            slices["target"] = percent(goal.slice_target)
        else:
            slices["weighted"] = True
        written["timeSlices"] = slices
    alerts = _alerts(spec.alerts, goal, place)
    return written | ({"alerts": alerts} if alerts else {})


def _name(spec: SloSpec, goal: Goal, indicator: Indicator, index: int) -> str:
    if len(spec.goals) == 1:
        if spec.annotations.get(noted.OBJECTIVE):
            return spec.annotations[noted.OBJECTIVE]
        return "availability" if indicator.value is None else slug(indicator.name)
    return goal.title or (indicator.name if goal.indicator else f"objective-{index + 1}")


def percent(ratio: Decimal) -> Decimal:
    """Exact: 0.999 is 99.9."""
    return (ratio * 100).normalize() if ratio * 100 % 10 else Decimal(int(ratio * 100))


def _window(spec: SloSpec) -> dict[str, Any]:
    window = spec.window
    if window.start is None or window.zone is None:
        days, rest = divmod(window.span.usual_seconds, 86_400)
        return {"window": f"{days}d" if not rest else f"{window.span.usual_seconds // 60}m"}
    start = window.start.replace(" ", "T").removesuffix("T00:00:00")
    return {"calendar": {"every": str(window.span), "start": start, "timeZone": window.zone}}


def _spans(indicator: Indicator) -> dict[str, Any] | None:
    query = indicator.total
    if query is None or query.kind.lower() != KIND:
        return None
    spans = query.spec.get("spans")
    if not isinstance(spans, dict):
        return None
    return {key: spans[key] for key in ("route", "spanName", "attributes") if spans.get(key)}


def _measure(written: dict[str, Any], goal: Goal, indicator: Indicator, place: Place, path: tuple[Any, ...]) -> bool:
    query = indicator.total or indicator.raw or indicator.value
    if query is None:
        return False
    kind = query.kind.lower()
    if kind == KIND:
        ours = ("threshold", "metric", "probe", "pushed", "degraded")
        written |= {key: query.spec[key] for key in ours if query.spec.get(key)}
        return True
    if kind not in _PROMETHEUS:
        hint = "send its counts to POST /api/v1/slos/{id}/counts, or measure it by a Prometheus"
        place.lint("openslo.source", f"Watchbill does not ask {query.kind}: counts are sent to it", path, hint)
        written["pushed"] = True
        return True
    try:
        counts = ratios.prometheus(indicator, goal, place, path)
    except NotCountable as why:
        hint = "write a query that counts events: sum(increase(requests_total[$window]))"
        place.note("openslo.query", f"this cannot be counted: {why}", path, hint)
        return False
    if query.source:
        counts["server"] = query.source
    written["prometheus"] = counts
    return True


def _alerts(alerts: list[Alert], goal: Goal, place: Place) -> list[dict[str, Any]]:
    if len(alerts) > MOST_ALERTS:
        left = len(alerts) - MOST_ALERTS
        hint = f"keep {MOST_ALERTS}, such as two pages and two tickets"
        place.lint("openslo.unsupported", f"{left} of {len(alerts)} alerts are left out", ("spec",), hint)
    shortest = sorted(alerts, key=lambda one: one.long.usual_seconds)[:MOST_ALERTS]
    weight = goal.weight or Decimal(1)
    return [
        {"tier": one.tier, "burn": round(one.burn / weight, 9).normalize(), "window": _length(one.long.usual_seconds)}
        | ({"short": _length(one.short.usual_seconds)} if one.short else {})
        for one in shortest
    ]


def _length(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3600)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds // 60}m"
