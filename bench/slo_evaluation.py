"""Evaluate 10,000 SLOs over all windows: one cycle on one core, and the memory of one SLO with 30 days."""

from __future__ import annotations

import os
import resource
import time
from fractions import Fraction
from uuid import UUID, uuid4

import numpy as np

from bench import slo_peer
from bench.results import Result
from watchbill.features.slo import logic, traffic
from watchbill.features.slo.history import CountHistory
from watchbill.features.slo.objectives import plan_windows

NAMES = ("slo_memory", "slo_late_correction")
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
            name="slo_memory",
            value=max(grown, history.bytes_per_slo) / 1000,
            unit="KB per SLO with 30 days (resident)",
            better="lower",
            limit="100 KB",
            limit_value=100,
        ),
    ]
