"""When an SLO fires, for how long, and how urgently."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.features.slo import logic
from watchbill.features.slo.budget import as_decimal, budget, seconds_to_exhaustion, seconds_to_reset
from watchbill.features.slo.history import BUDGET, CountHistory
from watchbill.features.slo.model import STATES
from watchbill.features.slo.objectives import plan_windows

DAY = 86_400


@dataclass
class Bench:
    """One SLO that lives slice by slice; traffic is constant unless said otherwise."""

    target: str = "99.9"
    slice_seconds: int = 60
    window_days: int = 30
    now: int = 1_000_000

    def __post_init__(self) -> None:
        self.share = 1 - Fraction(self.target) / 100
        plan = plan_windows(
            budget_share=self.share, window_seconds=self.window_days * DAY, slice_seconds=self.slice_seconds
        )
        length = self.window_days * DAY // self.slice_seconds
        self.history = CountHistory(slice_seconds=self.slice_seconds, longest_window_slices=length, capacity=1)
        slo_id = uuid4()
        self.history.define({slo_id: logic.window_lengths(plan, window_slices=length, fresh_slices=6)})
        self.rows = self.history.rows([slo_id])
        self.plans = logic.stack_plans([plan], [self.share])
        self.previous = logic.Previous(np.array([logic.UNMEASURED]), np.array([0]), np.array([False]))

    def live(self, slices: int, *, bad: int = 0, total: int = 1000, measured: bool = True) -> None:
        for _ in range(slices):
            self.now += 1
            self.history.advance(self.now)
            if measured:
                self.history.update(
                    rows=self.rows,
                    slices=np.array([self.now]),
                    bad=np.array([bad]),
                    total=np.array([total]),
                    measured=np.array([True]),
                )
            self.evaluate()

    def past(self, slices: int, total: int = 1000) -> None:
        """A calm past, written at once."""
        first = self.now + 1
        self.now += slices
        self.history.advance(self.now)
        at = np.arange(first, self.now + 1)
        full = np.full(at.size, total)
        self.history.update(rows=np.repeat(self.rows, at.size), slices=at, bad=full * 0, total=full, measured=full > -1)
        self.evaluate()

    def evaluate(self, *, lost: bool = False) -> None:
        self.verdicts = logic.decide(
            self.plans,
            self.history.sums(self.rows),
            self.previous,
            lost=np.array([lost]),
            current=self.now,
            grace_slices=1,
        )
        v = self.verdicts
        self.previous = logic.Previous(v.state, v.tier, v.by_traffic)

    @property
    def state(self) -> str:
        tier = logic.TIERS[int(self.verdicts.tier[0])]
        return STATES[int(self.verdicts.state[0])] + (f" {tier}" if tier else "")

    def until(self, state: str, *, most: int, **traffic: int) -> int:
        for passed in range(1, most + 1):
            self.live(1, **traffic)
            if self.state == state:
                return passed
        raise AssertionError(f"still {self.state} after {most} slices")


def test_a_total_outage_pages_within_the_formula_and_one_slice():
    """slo.firing: detect = L·f·b/e = 52 s at 99.9 %, total outage."""
    bench = Bench()
    bench.past(4_000)
    assert bench.state == "ok"
    assert bench.until("firing page", most=2, bad=1000) == 1


# Rows of detection_reset.json (verified there by 1-second simulation), with slices of ten seconds.
# target, error ratio, factor's long window, seconds to detect, seconds to reset
FACTS = [
    ("99.9", 1.0, 3600 * 14.4 * 0.001 / 1.0, 300 * (1 - 14.4 * 0.001 / 1.0)),
    ("99.9", 0.1, 3600 * 14.4 * 0.001 / 0.1, 300 * (1 - 14.4 * 0.001 / 0.1)),
    ("99.9", 0.02, 3600 * 14.4 * 0.001 / 0.02, 300 * (1 - 14.4 * 0.001 / 0.02)),
    ("99", 0.5, 3600 * 14.4 * 0.01 / 0.5, 300 * (1 - 14.4 * 0.01 / 0.5)),
]


@pytest.mark.parametrize(("target", "ratio", "detect", "reset"), FACTS)
def test_detection_and_reset_take_what_the_formulas_say(target, ratio, detect, reset):
    bench = Bench(target=target, slice_seconds=10, window_days=30)
    bench.past(4_000)
    found = bench.until("firing page", most=int(detect / 10) + 3, bad=int(1000 * ratio))
    assert 0 < found * 10 - detect <= 10, "within one evaluation"
    # The quick pair alone: its short window is over for as long as the formula says.
    over = 0
    while bench.verdicts.over_short[0, 0]:
        bench.live(1)
        over += 1
    assert over * 10 == pytest.approx(reset, abs=20)
    assert seconds_to_reset(short_seconds=300, threshold=14.4 * float(bench.share), error_ratio=ratio) == pytest.approx(
        reset
    )


def test_an_unreachable_threshold_never_fires_and_is_dropped_with_a_reason():
    """90 %: 14.4 × 0.1 = 144 % of requests would have to fail."""
    plan = plan_windows(budget_share=Fraction(1, 10), window_seconds=30 * DAY, slice_seconds=60)
    assert [window.factor for window in plan.windows] == [6, 3, 1]
    assert "even a total outage" in plan.dropped[0].reason


def test_recovering_is_when_the_long_window_is_over_and_the_short_one_under():
    """slo.recovering"""
    bench = Bench()
    bench.past(4_000)
    bench.live(5, bad=1000)
    assert bench.state == "firing page"
    assert bench.until("recovering", most=40) <= 31
    assert bench.until("ok", most=4_400) > 60


def test_a_fast_burn_is_not_told_again_by_the_slow_windows_that_remember_it():
    bench = Bench()
    bench.past(4_000)
    bench.live(10, bad=1000)
    seen = set()
    for _ in range(2_000):
        bench.live(1)
        seen.add(bench.state)
    assert seen == {"firing page", "recovering"}


def test_a_burn_that_goes_on_slowly_after_a_page_becomes_a_ticket():
    bench = Bench()
    bench.past(4_000)
    bench.live(10, bad=500)
    bench.live(120, bad=4)
    assert bench.state == "firing ticket"


def test_a_slow_burn_is_a_ticket_and_nobody_is_paged():
    """slo.firing (ticket)"""
    bench = Bench()
    bench.past(4_000)
    seen = set()
    for _ in range(2_000):
        bench.live(1, bad=4)
        seen.add(bench.state)
    assert "firing ticket" in seen
    assert "firing page" not in seen


def test_missing_data_keeps_a_firing_slo_firing():
    """slo.freeze"""
    bench = Bench()
    bench.past(4_000)
    bench.live(10, bad=1000)
    bench.live(600, measured=False)
    assert bench.state == "firing page"
    assert bench.verdicts.frozen[0]


def test_an_operation_that_fell_silent_while_failing_keeps_firing():
    """slo.freeze: pods killed, so nobody fails any more."""
    bench = Bench()
    bench.past(4_000)
    bench.live(10, bad=1000)
    bench.live(40, total=0)
    assert bench.state == "firing page"
    bench.live(8)
    assert bench.state == "recovering"


def test_missing_data_makes_a_well_slo_unmeasured_and_it_comes_back():
    """slo.freeze, slo.unmeasured"""
    bench = Bench()
    bench.past(4_000)
    assert bench.until("unmeasured", most=10, measured=False) >= 3
    assert bench.until("ok", most=10) >= 2


def test_nothing_measured_yet_is_unmeasured():
    """slo.unmeasured"""
    bench = Bench()
    bench.live(3, measured=False)
    assert bench.state == "unmeasured"


def test_no_requests_at_all_are_unmeasured_never_100_percent():
    bench = Bench()
    bench.live(100, total=0)
    assert bench.state == "unmeasured"


def test_a_new_slo_fires_at_once_on_real_failures():
    bench = Bench()
    bench.live(3, bad=500)
    assert bench.state == "firing page"


def test_one_failure_on_a_quiet_service_is_a_ticket_two_are_a_page():
    bench = Bench()
    bench.past(4_000, total=0)
    bench.live(1, bad=1, total=1)
    assert bench.state == "firing ticket"
    bench.live(1, bad=1, total=1)
    assert bench.state == "firing page"


def test_lost_traffic_fires_as_a_page():
    """slo.silence"""
    bench = Bench()
    bench.past(4_000)
    bench.evaluate(lost=True)
    assert bench.state == "firing page"
    assert bench.verdicts.by_traffic[0]
    bench.evaluate(lost=False)
    assert bench.state == "ok"


def test_ok_is_when_neither_window_is_over():
    """slo.ok"""
    bench = Bench()
    bench.past(4_000)
    bench.live(5_000, bad=0)
    assert bench.state == "ok"


def test_a_busy_calm_half_day_and_a_quiet_bad_one_are_weighted_by_events_not_by_time():
    """avg_of_ratios.json: 0.495 % errors and 50.5 % of the 1-day budget left; an average of ratios says 24.9 %."""
    bench = Bench(target="99", window_days=1)
    bench.past(720, total=600)
    for _ in range(720):
        bench.now += 1
        bench.history.update(
            rows=bench.rows,
            slices=np.array([bench.now]),
            bad=np.array([3]),
            total=np.array([6]),
            measured=np.array([True]),
        )
    sums = bench.history.sums(bench.rows)
    spent = budget(bad=int(sums.bad[0, BUDGET]), total=int(sums.total[0, BUDGET]), share=bench.share)
    assert float(spent.spent) == pytest.approx(0.49504950495, abs=1e-9)
    assert as_decimal(spent.remaining) == Decimal("0.504950")


@given(st.integers(0, 2**40), st.integers(1, 2**40), st.decimals("0.0001", "99.9999", places=4))
def test_over_is_exact_even_at_the_very_threshold(bad, total, target):
    share = 1 - Fraction(target) / 100
    plan = plan_windows(budget_share=share, window_seconds=30 * DAY, slice_seconds=60)
    plans = logic.stack_plans([plan], [share])
    for number in (bad, int(plan.windows[0].factor * share * total), int(plan.windows[0].factor * share * total) + 1):
        counts = np.full((1, 4), number), np.full((1, 4), total)
        over = logic.over(plans, *counts)[0]
        for pair, window in enumerate(plan.windows):
            assert over[pair] == (Fraction(number, total) > window.factor * share)


def test_six_nines_have_an_exact_budget():
    spent = budget(bad=1, total=2_000_000, share=1 - Fraction("99.9999") / 100)
    assert spent.remaining == Fraction(1, 2)


def test_exhaustion_is_projected_from_what_remains_not_from_the_whole():
    assert seconds_to_exhaustion(remaining=Fraction(1, 4), burn=2.0, window_seconds=30 * DAY) == 3.75 * DAY
    assert seconds_to_exhaustion(remaining=Fraction(-1), burn=2.0, window_seconds=DAY) == 0
    assert seconds_to_exhaustion(remaining=Fraction(1), burn=0.0, window_seconds=DAY) is None
