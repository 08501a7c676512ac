"""The tightest of rate, requests at once and fullness decides; an autoscaler's most counts."""

from __future__ import annotations

from datetime import UTC, date, datetime
from uuid import UUID

import msgspec
import pytest

from watchbill.features.capacity import limits, logic, usl
from watchbill.features.capacity.model import Curve, Declared, Kind, Outlook

LAW = (0.02773, 1.044e-4, 90.0)


def outlooks(**top: float) -> dict[Kind, Outlook]:
    kinds: dict[str, Kind] = {"rate": "rate", "concurrency": "concurrency", "saturation": "saturation"}
    return {
        kinds[name]: Outlook(first_day=date(2026, 3, 2), middle=[0.8 * high] * 40, high=[high] * 40)
        for name, high in top.items()
    }


def test_fullness_is_counted_with_the_spare_replica_away() -> None:
    declared = Declared(replicas=4, spare=1, saturation_limit=0.9)
    (one,) = limits.limits_of(outlooks(saturation=0.6), declared, None, None)
    assert one.capacity == pytest.approx(0.9 * 3 / 4)
    assert one.headroom == pytest.approx(1 - 0.6 / 0.675)
    assert one.replicas_needed == 4


def test_requests_at_once_are_those_of_the_load_test_at_its_latency() -> None:
    points = [(float(n), usl.throughput(*LAW, n)) for n in (1, 9, 18, 36, 72, 108, 144)]
    fitted = usl.fit(points)
    carries = usl.capacity_at_latency(fitted, 0.03)
    curve = Curve(
        service_id=UUID(int=1), fit=msgspec.to_builtins(fitted), points=points, latency_ms=30, capacity=carries,
        saved_at=datetime(2026, 3, 1, tzinfo=UTC),
    )  # fmt: skip
    declared = Declared(replicas=3, spare=1)
    found = limits.limits_of(outlooks(concurrency=50), declared, logic.carried(declared, carries), curve)
    (one,) = found
    # By Little's law N = X·R at the capacity.
    assert one.capacity == pytest.approx(2 * carries * 0.03, rel=0.01)
    assert "within 30 ms" in one.reason


def test_the_tightest_measure_comes_first_and_the_others_are_told_beside_it() -> None:
    declared = Declared(per_replica=50, replicas=4, concurrency_per_replica=10)
    carried = logic.carried(declared, None)
    found = limits.limits_of(outlooks(rate=60, concurrency=29, saturation=0.375), declared, carried, None)
    assert [one.kind for one in found] == ["concurrency", "saturation", "rate"]
    assert limits.beside(found) == "; by saturation 50% is left; by rate 60% is left"


def test_an_autoscalers_most_is_what_is_carried() -> None:
    declared = Declared(per_replica=50, replicas=2, max_replicas=10, spare=1)
    carried = logic.carried(declared, None)
    assert carried is not None
    assert (carried.total, carried.replicas, carried.running) == (450, 10, 2)
    (one,) = limits.limits_of(outlooks(rate=300), declared, carried, None)
    assert one.headroom == pytest.approx(1 / 3)
    assert "at most 10 replicas" in one.reason


def test_nothing_is_said_where_no_replicas_are_declared() -> None:
    assert limits.limits_of(outlooks(rate=1, saturation=1), Declared(per_replica=5), None, None) == []
