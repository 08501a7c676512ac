"""A level with a bound, from the manifest to the state, with the real engine; and what a gauge cannot be."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.contract.slo.test_given_counts import SHOP, objective
from tests.contract.slo.test_states_when_it_hurts import Observed
from tests.contract.telemetry.test_level_counts import MINUTE, levels
from watchbill.features.slo.metrics import MetricCounter
from watchbill.features.telemetry import TelemetryStore
from watchbill.kernel.errors import Invalid
from watchbill.manifest import File, Options, apply_files
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

GAUGE = "metric: {gauge: {name: queue.depth}, atMost: 100}"


def test_minutes_in_which_a_queue_is_too_deep_burn_and_a_gauge_that_is_gone_freezes(
    store: TelemetryStore, database_url: str, db: Database
) -> None:
    observed = Observed(store, database_url, objective(db, GAUGE))
    counter = MetricCounter(db=observed.db, source=store, slice_seconds=60, back=timedelta(hours=3))
    store.insert_metrics([levels(*((60 * minute, 20) for minute in range(20)), attributes={"pod": "a"})])
    observed.clock.move_to(MINUTE + timedelta(minutes=20))
    counter.step()
    state = observed.state()
    assert (state.state, state.bad, state.total) == ("ok", 0, 20)
    store.insert_metrics([levels(*((1200 + 60 * minute, 300) for minute in range(10)), attributes={"pod": "b"})])
    observed.clock.move_to(MINUTE + timedelta(minutes=30))
    counter.step()
    state = observed.state()
    assert (state.state, state.tier, state.bad, state.total) == ("firing", "page", 10, 30)
    assert "of slices of 1m failed" in state.reason
    observed.clock.move_to(MINUTE + timedelta(minutes=50))
    counter.step()
    frozen = observed.state()
    assert (frozen.state, frozen.bad, frozen.total) == ("firing", 14, 34), "its last value stood for five minutes"
    assert "data is missing" in frozen.reason
    observed.db.dispose()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("{gauge: {name: depth}}", "no value of the gauge says when it is good"),
        ("{gauge: {name: depth}, atMost: 1, atLeast: 2}", "no value is within the gauge's bounds"),
        ("{gauge: {name: depth}, atMost: 1, total: {name: depth}}", "it cannot stand beside total, good or bad"),
        ("{total: {name: a}, bad: {name: b}, atMost: 1}", "bounds of a gauge, and there is none"),
    ],
)
def test_a_gauge_is_no_count(db: Database, lines: str, message: str) -> None:
    text = f"{SHOP}        - {{name: depth, target: 99, metric: {lines}}}\n"
    files = [File(path="shop.yaml", text=text)]
    with db.transaction() as tx, pytest.raises(Invalid) as refused:
        apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))
    assert message in str(refused.value.problem) + str(getattr(refused.value, "problems", ""))
