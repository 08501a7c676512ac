"""Silence is a symptom: noticed within minutes, and never by chance."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.features.slo import traffic
from watchbill.features.slo.history import CountHistory

LENGTHS = [5, 60, 30, 360, 120, 1440, 360, 4320, 43_200, 6]


class Operation:
    """One operation's traffic per slice, watched as the observer does."""

    def __init__(self, slice_seconds: int = 60) -> None:
        self.history = CountHistory(slice_seconds=slice_seconds, capacity=1)
        slo_id = uuid4()
        self.history.define({slo_id: LENGTHS})
        self.rows = self.history.rows([slo_id])
        self.now = 1_000_000
        self.history.advance(self.now)
        self.watch = traffic.nobody(1)
        self.length = traffic.check_slices(slice_seconds)

    def see(self, *totals: int, reported: bool = True) -> list[bool]:
        lost = []
        for total in totals:
            self.now += 1
            self.history.advance(self.now)
            # The newest slice is only partly over: its spans come with the next look.
            if reported:
                self.history.update(
                    rows=self.rows,
                    slices=np.array([self.now - 1]),
                    bad=np.array([0]),
                    total=np.array([total]),
                    measured=np.array([True]),
                )
            reading = traffic.read_traffic(self.history, self.rows, length=self.length, skip=1)
            self.watch = traffic.watch_traffic(
                self.watch,
                seen=reading.seen,
                checkable=reading.checkable,
                expected=reading.expected,
                current=self.now,
                slice_seconds=self.history.slice_seconds,
            )
            lost.append(bool(self.watch.lost[0]))
        return lost


def test_an_operation_that_falls_silent_is_noticed_within_five_minutes():
    """slo.silence"""
    operation = Operation()
    operation.see(*[100] * 90)
    lost = operation.see(*[0] * 5)
    assert lost.index(True) <= 4


def test_with_slices_of_five_seconds_it_is_noticed_within_two_minutes():
    operation = Operation(slice_seconds=5)
    operation.see(*[20] * 500)
    assert operation.see(*[0] * 24)[-1]


def test_it_is_back_when_half_of_what_was_expected_is_back():
    operation = Operation()
    operation.see(*[100] * 90)
    operation.see(*[0] * 120)
    assert operation.watch.lost[0]
    assert operation.see(*[20] * 10)[-1]
    assert not operation.see(*[70] * 6)[-1]


def test_silence_of_everybody_is_missing_data_and_not_lost_traffic():
    operation = Operation()
    operation.see(*[100] * 90)
    assert not any(operation.see(*[0] * 30, reported=False))


def test_lost_traffic_stays_lost_while_nobody_reports():
    operation = Operation()
    operation.see(*[100] * 90)
    operation.see(*[0] * 10)
    assert all(operation.see(*[0] * 30, reported=False))


def test_an_operation_with_too_little_traffic_is_not_judged():
    operation = Operation()
    operation.see(*[3] * 90)
    assert not any(operation.see(*[0] * 60))


def test_batches_with_pauses_between_them_are_no_outage():
    operation = Operation()
    lost = operation.see(*([500] * 5 + [0] * 15) * 10)
    assert not any(lost)


def test_a_pause_that_is_there_every_night_is_no_outage():
    operation = Operation()
    day = [100] * 1200 + [0] * 240
    operation.see(*day)  # the first night nobody can know
    operation.see(*[100] * 10)
    assert not any(operation.see(*day[10:-7], *[0] * 14))  # and today it lasts a little longer


def test_a_decline_over_the_evening_is_no_outage():
    operation = Operation()
    operation.see(*[10_000] * 90)
    assert not any(operation.see(*[int(10_000 * 0.98**minute) for minute in range(240)]))


def test_after_a_day_of_silence_the_silence_is_normal():
    operation = Operation()
    operation.see(*[100] * 90)
    operation.see(*[0] * 1445)
    assert not operation.watch.lost[0]


@given(st.floats(1, 400), st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_steady_traffic_never_raises_a_false_alarm(mean, seed):
    random = np.random.default_rng(seed)
    operation = Operation()
    assert not any(operation.see(*random.poisson(mean, 400).tolist()))


@pytest.mark.parametrize(("expected", "bound"), [(5.0, -1), (16.0, -1), (17.0, 0), (100.0, 20), (100_000.0, 20_000)])
def test_the_bound_asks_for_both_chance_and_share(expected, bound):
    assert traffic.lower_bound(np.array([expected]))[0] == bound
