"""What comes late: read again as a whole time slice, wherever the minute that it touches lies in it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from tests.unit.slo.test_slo_exclusion import MINUTE, SHIFT, SLO, Source, defined
from watchbill.features.slo import counting, logic
from watchbill.features.slo.history import BUDGET, CountHistory
from watchbill.features.slo.model import Measure


@pytest.mark.parametrize("ago", range(300, 306))
def test_a_late_minute_judges_its_whole_time_slice_again_and_loses_no_coverage(ago: int) -> None:
    measure = Measure(method="timeslices", slice_target=Decimal(99), slice_seconds=300)
    definition = defined(msgspec.structs.replace(SLO, measure=measure), [], SHIFT)
    current = int(SHIFT.timestamp()) // 60
    history = CountHistory(slice_seconds=60, longest_window_slices=600, capacity=1)
    history.advance(current)
    history.define({SLO.id: logic.window_lengths(definition.plan, window_slices=600, fresh_slices=6)})
    rows = history.rows([SLO.id])
    source = Source()
    source.known = dict.fromkeys(range(current - 590, current + 1), (0, 100))
    counting.refill(history, source, [definition], SHIFT)
    before = history.sums(rows)
    source.known[current - ago] = (50, 100)
    at = SHIFT - ago * MINUTE
    counting.count(history, source, [definition], rows, start=at, now=at + timedelta(seconds=59), derive=False)
    after = history.sums(rows)
    assert after.bad[0, BUDGET] == before.bad[0, BUDGET] + 1, "ten percent of its slice failed"
    assert after.total[0, BUDGET] == before.total[0, BUDGET]
    assert after.measured[0, BUDGET] == before.measured[0, BUDGET]
