"""Budgets of time slices, against the slow sums of their definition."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from watchbill.features.slo.model import Measure
from watchbill.features.slo.prometheus import counts_of, servers_of
from watchbill.features.slo.slicing import PARTS, slice_row

minutes = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200), st.booleans()), max_size=60)


def arrays(history: list[tuple[int, int, bool]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    total = np.array([total if known else 0 for total, _, known in history], np.int64)
    bad = np.array([min(bad, total) if known else 0 for total, bad, known in history], np.int64)
    return bad, total, np.array([int(known) for _, _, known in history], np.int64)


@given(minutes, st.integers(0, 1000), st.sampled_from([1, 2, 5, 15]), st.sampled_from(["90", "99.9", "100"]))
def test_a_slice_is_good_exactly_when_its_share_is_reached(
    history: list[tuple[int, int, bool]], first: int, length: int, target: str
) -> None:
    bad, total, measured = arrays(history)
    got_bad, got_total, got_measured = bad.copy(), total.copy(), measured.copy()
    measure = Measure(method="timeslices", slice_target=Decimal(target), slice_seconds=60 * length)
    slice_row(measure, got_bad, got_total, got_measured, first=first, slice_seconds=60)
    want_bad = want_total = 0
    for start in range(-first % length, len(history) - length + 1, length):
        part = slice(start, start + length)
        if not measured[part].all() or not total[part].sum():
            continue
        good_share = Fraction(int(total[part].sum() - bad[part].sum()), int(total[part].sum()))
        want_total += 1
        want_bad += good_share < Fraction(target) / 100
        assert got_total[start + length - 1] == 1
    assert (got_bad.sum(), got_total.sum()) == (want_bad, want_total)


@given(minutes)
def test_slices_of_one_ratio_each_weigh_the_same(history: list[tuple[int, int, bool]]) -> None:
    bad, total, measured = arrays(history)
    ratios = [Fraction(int(b), int(t)) for b, t in zip(bad, total, strict=True) if t]
    slice_row(Measure(method="ratio_timeslices"), bad, total, measured, first=0, slice_seconds=60)
    assert total.sum() == PARTS * len(ratios)
    if ratios:
        assert abs(bad.sum() / total.sum() - float(sum(ratios) / len(ratios))) < 1e-6


@given(
    st.dictionaries(st.integers(0, 20), st.floats(-5, 1e6)),
    st.dictionaries(st.integers(0, 20), st.floats(-5, 2e6)),
    st.booleans(),
)
def test_good_is_never_more_than_total_and_silence_of_the_total_is_no_row(
    total: dict[int, float], part: dict[int, float], part_is_good: bool
) -> None:
    rows = counts_of(total, part, part_is_good=part_is_good)
    assert [number for number, _, _ in rows] == sorted(total)
    for number, good, events in rows:
        assert 0 <= good <= events
        if number not in part:
            assert good == (0 if part_is_good else events), "no error series yet is no error"


def test_prometheus_servers_are_one_url_or_several_with_names() -> None:
    assert servers_of(None) == {}
    assert servers_of("http://prometheus:9090/") == {"default": "http://prometheus:9090"}
    assert servers_of("eu=https://a/prom, us=https://b?x=1") == {"eu": "https://a/prom", "us": "https://b?x=1"}
