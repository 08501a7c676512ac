# ruff: noqa: RUF012  msgspec copies an empty list default for each instance
"""``spec.capacity`` of a Service and ``spec.peakEvents`` of a Team. Contributed by the feature *capacity*.

Both are read from the stored specs (`capacity.declared_of`, `capacity.events_of`), so applying needs nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from watchbill.features.capacity import knows_holidays
from watchbill.kernel.errors import Problem
from watchbill.manifest.words import Duration, Part, Text

if TYPE_CHECKING:
    from watchbill.manifest.bundle import Bundle, Item, World

Day = Annotated[
    str,
    Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", extra={"expected": "a day such as 2026-11-27, in quotes"}),
]


class Demand(Part, frozen=True, kw_only=True):
    """Demand that a Prometheus measures: PromQL of one series each, whose value at an instant is the measure's."""

    server: Annotated[Text, Meta(description="A name in WATCHBILL_PROMETHEUS_URLS.")] = "default"
    rate: Annotated[Text, Meta(description="Requests per second: sum(rate(http_requests_total[2m])).")] | None = None
    concurrency: Annotated[Text, Meta(description="Requests at once: sum(http_server_active_requests).")] | None = None
    saturation: Annotated[Text, Meta(description="How full the fullest replica is, 1 is full.")] | None = None


class Capacity(Part, frozen=True, kw_only=True):
    """What the service carries and costs. Without ``perReplica`` a fitted load test says what a replica carries."""

    per_replica: Annotated[float, Meta(gt=0, description="Requests per second that one replica carries.")] | None = None
    concurrency_per_replica: (
        Annotated[float, Meta(gt=0, description="Requests at once that one replica serves within the SLO's latency.")]
        | None
    ) = None
    saturation_limit: Annotated[
        float, Meta(gt=0, le=2, description="How full a replica may be at the peak: 0.8 is 80%.")
    ] = 1.0
    replicas: Annotated[int, Meta(ge=1, le=100_000, description="How many run.")] | None = None
    spare: Annotated[int, Meta(ge=0, le=1000, description="So many may be away at the peak (N − k).")] = 1
    min_replicas: Annotated[int, Meta(ge=1, le=100_000, description="Never recommend fewer.")] = 2
    max_replicas: (
        Annotated[int, Meta(ge=1, le=100_000, description="The autoscaler's most: what so many carry is the capacity.")]
        | None
    ) = None
    lead_time: Annotated[Duration, Meta(description="From ordering more to having it.")] = "14d"
    replica_price: Annotated[float, Meta(ge=0, description="Price of one replica for a month.")] | None = None
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", extra={"expected": "a currency such as EUR"})] = "EUR"
    risk: Annotated[float, Meta(gt=0, lt=0.5, description="Accepted chance that a day's peak exceeds capacity.")] = 0.05
    holidays: (
        Annotated[str, Meta(max_length=16, description="Public holidays that shape demand, such as DE or DE-BE.")]
        | None
    ) = None
    prometheus: Demand | None = None


class PeakEvent(Part, frozen=True, kw_only=True):
    """A peak that the business knows of and no trend does. Days are inclusive, in UTC."""

    name: Text
    start: Day
    end: Day
    factor: Annotated[float, Meta(gt=0, le=1000, description="Times the usual peak: 1.71 is +71%.")]
    at_most: (
        Annotated[float, Meta(gt=0, le=1000, description="What it may reach; the factor when left out.")] | None
    ) = None
    operations: Annotated[
        list[Text], Meta(max_length=100, description="service/operation that grow; all of the team's when left out.")
    ] = []


def check(bundle: Bundle, _world: World) -> Iterator[Problem]:
    """Days there are, in order; operations as service/operation; a calendar there is."""
    for service in bundle.services:
        declared = service.manifest.spec.capacity
        if declared is not None and declared.holidays is not None and not knows_holidays(declared.holidays):
            yield service.problem(
                "manifest.value",
                f"there are no public holidays for '{declared.holidays}'",
                ("spec", "capacity", "holidays"),
                "write a country and, where holidays differ, its part: DE, DE-BE, US-CA",
            )
        pulled = declared.prometheus if declared is not None else None
        if pulled is not None and not (pulled.rate or pulled.concurrency or pulled.saturation):
            yield service.problem(
                "manifest.value",
                "prometheus has no query",
                ("spec", "capacity", "prometheus"),
                "give rate, concurrency or saturation, or leave it out",
            )
        if declared is not None and declared.max_replicas is not None and declared.max_replicas < declared.min_replicas:
            yield service.problem(
                "manifest.value",
                "maxReplicas is below minReplicas",
                ("spec", "capacity", "maxReplicas"),
                "raise maxReplicas, or lower minReplicas",
            )
    for team in bundle.teams:
        for at, event in enumerate(team.manifest.spec.peak_events):
            yield from _check_event(team, ("spec", "peakEvents", at), event)


def _check_event(item: Item, path: tuple[str | int, ...], event: PeakEvent) -> Iterator[Problem]:
    try:
        ordered = date.fromisoformat(event.start) <= date.fromisoformat(event.end)
    except ValueError as error:
        yield item.problem("manifest.value", f"the event '{event.name}': {error}", path, "write days there are")
        return
    if not ordered:
        yield item.problem(
            "manifest.value", f"the event '{event.name}' ends before it starts", path, "put the earlier day first"
        )
    for place, text in enumerate(event.operations):
        service, slash, operation = text.partition("/")
        if not (service and slash and operation):
            yield item.problem(
                "manifest.value",
                f"'{text}' is not service/operation",
                (*path, "operations", place),
                "write shop/place order",
            )
