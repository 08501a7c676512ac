"""Headroom, exhaustion, what-if and bounds, as arithmetic."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from watchbill.features.capacity import bounds_manifest, logic
from watchbill.features.capacity.logic import Component
from watchbill.features.capacity.model import Carried, Declared, Exhaustion, Fanout, Limit, Outlook, PeakEvent
from watchbill.kernel.errors import Invalid

TODAY = date(2026, 11, 2)
CYBER = PeakEvent(name="Cyber Week", start="2026-11-23", end="2026-11-30", factor=1.71)
positive = st.floats(1.0, 1e6)


def outlook(middle: list[float], spread: float = 1.2) -> Outlook:
    return Outlook(first_day=TODAY, middle=middle, high=[value * spread for value in middle])


def component(name: str, demand: float, per_replica: float, replicas: int) -> Component:
    declared = Declared(per_replica=per_replica, replicas=replicas, lead_time="14d", replica_price=90.0)
    return Component(service=name, demand=demand, carried=logic.carried(declared, None), declared=declared, team="t")


def called(name: str, times: float, *, depends: bool = False) -> Fanout:
    return Fanout(component=name, mean=times, low=times, high=times, busy_ms=1, depends_on_load=depends)


def test_capacity_is_what_is_left_with_the_spare_replicas_away() -> None:
    found = logic.carried(Declared(per_replica=100, replicas=6, spare=2), 80.0)
    assert found == Carried(per_replica=100, replicas=6, spare=2, total=400, source="declared")
    assert logic.carried(Declared(replicas=6), 80.0).total == 400  # type: ignore[union-attr]  # fails the test if None
    assert logic.carried(Declared(per_replica=100), None) is None


def test_a_declared_event_lifts_its_days_by_the_share_its_operations_bring() -> None:
    lifted = logic.with_events(outlook([100.0] * 40), [CYBER], {"Cyber Week": 0.5})
    at = (date(2026, 11, 23) - TODAY).days
    assert lifted.middle[at - 1] == 100
    assert lifted.middle[at] == pytest.approx(135.5)
    assert lifted.middle[at + 8] == 100


def test_growth_runs_out_within_an_interval_of_dates() -> None:
    found = logic.exhaustion(outlook([100 * 1.01**day for day in range(120)]), 200.0, 0.05)
    assert found.earliest is not None
    assert found.likely is not None
    assert found.latest is not None
    assert found.earliest < found.likely < found.latest
    assert found.likely == TODAY + timedelta(days=70)


@given(positive, positive, st.floats(1.001, 3))
def test_more_capacity_is_never_a_greater_chance_of_shortage(middle: float, capacity: float, spread: float) -> None:
    less = logic.chance_above(capacity, middle, middle * spread)
    assert 0 <= logic.chance_above(capacity * 1.5, middle, middle * spread) <= less <= 1


@given(positive, st.floats(0.5, 1e4), st.integers(0, 5))
def test_recommended_replicas_carry_the_demand_with_the_spare_away(demand: float, each: float, spare: int) -> None:
    declared = Declared(spare=spare, min_replicas=1)
    needed = logic.replicas_for(demand, each, declared)
    assert (needed - spare) * each >= demand * (1 - 1e-6) or needed == 1


def test_orders_count_the_lead_time_back_and_are_never_in_the_past() -> None:
    runs_out = Exhaustion(earliest=date(2026, 12, 1), likely=None, latest=None)
    assert logic.order_by(runs_out, Declared(lead_time="14d"), TODAY) == date(2026, 11, 17)
    assert logic.order_by(runs_out, Declared(lead_time="90d"), TODAY) == TODAY


def test_what_runs_out_within_the_lead_time_is_a_finding_and_what_is_far_is_not() -> None:
    near = Exhaustion(earliest=TODAY + timedelta(days=15), likely=None, latest=None)
    far = Exhaustion(earliest=TODAY + timedelta(days=60), likely=None, latest=None)
    declared = Declared(lead_time="14d")
    assert "2026-11-17" in (logic.finding(near, -0.1, declared, TODAY, []) or "")
    assert logic.finding(far, 0.1, declared, TODAY, []) is None
    event = Exhaustion(earliest=date(2026, 11, 24), likely=None, latest=None)
    assert "Cyber Week" in (logic.finding(event, -0.1, Declared(lead_time="1d"), TODAY, [CYBER]) or "")


def test_a_what_if_names_the_component_that_breaks_first_and_what_to_order_by_when() -> None:
    found = logic.what_if(
        rate=100.0,
        growth=0.71,
        fanouts=[called("shop", 1), called("stock", 3, depends=True), called("mail", 0.1)],
        components={
            "shop": component("shop", 100, 50, 5),
            "stock": component("stock", 300, 70, 6),
            "mail": component("mail", 10, 100, 2),
        },
        start=date(2026, 11, 23),
        today=TODAY,
    )
    assert [one.service for one in found] == ["stock", "shop", "mail"]
    stock = found[0]
    assert stock.after == pytest.approx(513)
    assert stock.breaks_at == pytest.approx((350 - 300) / 300)
    assert stock.more_replicas == 3
    assert stock.order_by == date(2026, 11, 9)
    assert stock.cost == 270
    assert any("change with load" in warning for warning in stock.warnings)
    assert found[1].more_replicas == 0


def test_a_what_if_is_told_by_the_measure_that_runs_out_first() -> None:
    """The rate leaves half; requests at once only a tenth, so they break at +11% and decide what to order."""
    never = Exhaustion(earliest=None, likely=None, latest=None)
    at_once = Limit(
        kind="concurrency", demand=36, demand_middle=30, capacity=40, headroom=0.1, exhaustion=never,
        replicas_needed=6, replicas_usual=5, reason="", each=10,
    )  # fmt: skip
    shop = msgspec.structs.replace(component("shop", 100, 50, 5), limits=[at_once])
    (found,) = logic.what_if(
        rate=100.0, growth=0.5, fanouts=[called("shop", 1)], components={"shop": shop}, start=TODAY, today=TODAY
    )
    assert (found.kind, found.capacity, found.after) == ("concurrency", 40, pytest.approx(54))
    assert found.breaks_at == pytest.approx(40 / 36 - 1)
    assert found.more_replicas == 2
    assert any("near saturation" in warning for warning in found.warnings)


def test_an_order_that_comes_too_late_says_so() -> None:
    (found,) = logic.what_if(
        rate=100.0,
        growth=1.0,
        fanouts=[called("shop", 1)],
        components={"shop": component("shop", 100, 50, 3)},
        start=TODAY + timedelta(days=3),
        today=TODAY,
    )
    assert found.order_by == TODAY
    assert any("too late" in warning for warning in found.warnings)


def test_bounds_are_manifests_of_kubernetes_and_keda() -> None:
    hpa = yaml.safe_load(bounds_manifest("hpa", service="shop", least=3, most=9, per_replica=50))
    assert (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (3, 9)
    assert hpa["spec"]["metrics"][0]["pods"]["target"]["averageValue"] == "40000m"
    keda = yaml.safe_load(bounds_manifest("keda", service="shop", least=3, most=9, per_replica=50))
    assert keda["kind"] == "ScaledObject"
    assert keda["spec"]["triggers"][0]["metadata"]["threshold"] == "40"
    with pytest.raises(Invalid):
        bounds_manifest("helm", service="shop", least=1, most=1, per_replica=1)
