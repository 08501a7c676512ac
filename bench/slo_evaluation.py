"""Evaluate 10,000 SLOs over all windows: one cycle on one core, and the memory of one SLO with 30 days."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID, uuid4

import numpy as np

from bench import slo_peer
from bench.results import Result
from watchbill.features.slo import logic, traffic
from watchbill.features.slo.counting import recount_old
from watchbill.features.slo.definitions import Definition
from watchbill.features.slo.history import BUDGET, CountHistory, Ints
from watchbill.features.slo.model import Plan, Slo
from watchbill.features.slo.objectives import plan_windows
from watchbill.features.telemetry import OperationMatch, Past, SliceCount

NAMES = ("slo_memory", "slo_late_correction", "slo_days_late_correction")
SLOS = 10_000
CYCLES = 15
MONTH = 30 * 86_400


def run() -> list[Result]:
    """Each cycle: a new minute of counts for every SLO, four late minutes corrected, every window, every state.

    Then, where it is installed, a Prometheus that evaluates the same promises on one core.
    """
    peer = slo_peer.seconds_per_slo()
    if hasattr(os, "sched_setaffinity"):
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(before)})
    try:
        return _measure(peer)
    finally:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, before)


class _Counted:
    """What the engine answers of every minute; asking it is not measured here."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def stored_counts(
        self, operations: Sequence[OperationMatch], *, start: datetime, end: datetime, slice_seconds: int
    ) -> list[SliceCount]:
        began = time.process_time()
        slices = sorted(self.reported(start=start, end=end, slice_seconds=slice_seconds))
        found = [
            SliceCount(operation_id=one, objective="a", slice_at=at, good=150.0, total=200.0, measured=True)
            for one in (match.operation_id for match in operations)
            for at in slices
        ]
        self.seconds += time.process_time() - began
        return found

    derive_counts = given_counts = stored_counts

    def take_past(self) -> Past:
        return Past()

    def reported(self, *, start: datetime, end: datetime, slice_seconds: int) -> set[datetime]:
        count = int((end - start).total_seconds()) // slice_seconds
        return {start + timedelta(seconds=at * slice_seconds) for at in range(count)}


def _days_late(history: CountHistory, ids: list[UUID], plan: Plan, rows: Ints, now: int) -> float:
    """CPU seconds for all SLOs after spans of one minute came nine days late, without the engine's part."""
    epoch = datetime.fromtimestamp(0, UTC)
    definitions = [
        Definition(
            slo=Slo(
                id=one,
                operation_id=one,
                service_id=one,
                name="a",
                target=Decimal("99.9"),
                window_seconds=MONTH,
                threshold_ms=None,
                environment="production",
                created_at=epoch,
                changed_at=epoch,
                removed_at=None,
            ),
            service="a",
            operation="a",
            match=OperationMatch(operation_id=one, objective="a", service_name="a"),
            plan=plan,
            watches_traffic=True,
        )
        for one in ids
    ]
    source = _Counted()
    at = epoch + timedelta(minutes=now) - timedelta(days=9)
    before = int(history.sums(rows[:1]).bad[0, BUDGET])
    began = time.process_time()
    recount_old(history, source, definitions, rows, start=at, end=at + timedelta(minutes=1))
    seconds = time.process_time() - began - source.seconds
    assert int(history.sums(rows[:1]).bad[0, BUDGET]) > before
    return seconds


def _measure(peer: float | None) -> list[Result]:
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    share = Fraction(1, 1000)
    plan = plan_windows(budget_share=share, window_seconds=MONTH, slice_seconds=60)
    history = CountHistory(slice_seconds=60, longest_window_slices=MONTH // 60, capacity=SLOS)
    lengths = logic.window_lengths(plan, window_slices=MONTH // 60, fresh_slices=6)
    ids: list[UUID] = [uuid4() for _ in range(SLOS)]
    now = 30_000_000
    history.advance(now)
    history.define(dict.fromkeys(ids, lengths))
    rows = history.rows(ids)
    chance = np.random.default_rng(1)
    for back in range(MONTH // 60, 0, -10):  # the month before, in one go
        put = history.load_old if back > history.fine_slices else history.update
        total = chance.poisson(200, SLOS)
        put(
            rows=rows,
            slices=np.full(SLOS, now - back),
            bad=chance.binomial(total, 0.0005),
            total=total,
            measured=np.ones(SLOS, np.int64),
        )
    history.resum()
    plans = logic.stack_plans([plan] * SLOS, [share] * SLOS)
    previous = logic.Previous(np.zeros(SLOS, np.int64), np.zeros(SLOS, np.int64), np.zeros(SLOS, bool))
    watch = traffic.nobody(SLOS)
    seconds, late = [], []
    for cycle in range(CYCLES):
        now += 1
        slices = np.arange(now - 4, now + 1)
        total = chance.poisson(200, SLOS * slices.size)
        bad = chance.binomial(total, 0.0005 if cycle < CYCLES // 2 else 0.2)
        began = time.perf_counter()
        history.advance(now)
        history.update(
            rows=np.repeat(rows, slices.size),
            slices=np.tile(slices, SLOS),
            bad=bad,
            total=total,
            measured=np.ones(total.size, bool),
        )
        late.append(time.perf_counter() - began)
        sums = history.sums(rows)
        reading = traffic.read_traffic(history, rows, length=2, skip=1)
        watch = traffic.watch_traffic(
            watch,
            seen=reading.seen,
            checkable=reading.checkable,
            expected=reading.expected,
            current=now,
            slice_seconds=60,
        )
        verdicts = logic.decide(plans, sums, previous, lost=watch.lost, current=now, grace_slices=1)
        logic.burn_rates(plans, sums)
        previous = logic.Previous(verdicts.state, verdicts.tier, verdicts.by_traffic)
        seconds.append(time.perf_counter() - began)
    assert (verdicts.state == logic.FIRING).all()
    days_late = _days_late(history, ids, plan, rows, now)
    median = float(np.median(seconds))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) * 1024 / SLOS
    return [
        Result(
            name="slo_evaluation",
            value=median,
            unit=f"s per cycle of {SLOS:,} SLOs, one core",
            better="lower",
            limit="0.5 s",
            limit_value=0.5,
            peer=None if peer is None else f"Prometheus with Sloth-style rules, {slo_peer.SLOS} SLOs scaled to as many",
            peer_value=None if peer is None else peer * SLOS,
            ratio=None if peer is None else peer * SLOS / median,
        ),
        Result(
            name="slo_late_correction",
            value=float(np.median(late)),
            unit=f"s to take a new minute and correct four, {SLOS:,} SLOs (part of the above)",
            better="lower",
        ),
        Result(
            name="slo_days_late_correction",
            value=days_late,
            unit=f"CPU s to take over a minute that was corrected nine days later, {SLOS:,} SLOs",
            better="lower",
        ),
        Result(
            name="slo_memory",
            value=max(grown, history.bytes_per_slo) / 1000,
            unit="KB per SLO with 30 days (resident)",
            better="lower",
            limit="100 KB",
            limit_value=100,
        ),
    ]
