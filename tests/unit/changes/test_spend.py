"""What a change cost of its budget."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.features.changes import spent_by_change

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def counts(bad_of, *, minutes: int = 240, start: datetime = NOW - timedelta(minutes=240)):
    return [(start + i * MINUTE, 60, bad_of(i), 100) for i in range(minutes)]


def spent(buckets, **more):
    given = {
        "started_at": NOW - timedelta(minutes=120), "ended_at": NOW - timedelta(minutes=118), "next_at": None,
        "now": NOW, "budget_share": 0.001, "window_total": 1_000_000,
    }  # fmt: skip
    return spent_by_change(buckets, **{**given, **more})


def test_a_bad_deploy_that_is_replaced_is_charged_until_then():
    buckets = counts(lambda i: 10 if i >= 120 else 0)
    until = spent(buckets, next_at=NOW - timedelta(minutes=89))
    assert (until.bad, until.share, until.ended_by) == (310, pytest.approx(0.31), "the next change")


def test_it_is_charged_until_recovery_and_only_above_what_was_usual_before():
    assert spent(counts(lambda i: 3 if i < 120 else 13 if i < 150 else 3)).bad == pytest.approx(300)
    recovered = spent(counts(lambda i: 10 if 120 <= i < 150 else 0 if i < 200 else 50))
    assert (recovered.bad, recovered.ended_by) == (300, "recovered")
    assert spent(counts(lambda i: 0)).share == 0


def test_the_outage_of_a_dependency_is_nobodys():
    exempt = [(NOW - timedelta(minutes=120), NOW - timedelta(minutes=100))]
    assert spent(counts(lambda i: 10 if 120 <= i < 150 else 0), exempt=exempt).bad == 100


def test_without_events_nothing_is_spent():
    assert spent([], window_total=0).share == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 100), min_size=240, max_size=240))
def test_no_change_is_charged_for_more_than_failed_in_its_time(bad):
    buckets = counts(lambda i: bad[i])
    found = spent(buckets)
    inside = sum(b for at, _, b, _ in buckets if found.start_at <= at < found.end_at)
    assert 0 <= found.bad <= inside
