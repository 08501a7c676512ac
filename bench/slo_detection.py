"""How long after the formula an outage pages: L · f · b / e, in slices of five seconds, evaluated at each."""

from __future__ import annotations

from fractions import Fraction
from uuid import uuid4

import numpy as np

from bench.results import Result
from watchbill.features.slo import logic
from watchbill.features.slo.history import CountHistory
from watchbill.features.slo.objectives import plan_windows

WIDTH = 5
WINDOW_SECONDS = 7 * 86_400
TARGETS = ("99", "99.5", "99.9", "99.95", "99.99")
RATIOS = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
EVENTS = 10_000
_CALM = 9000


def run() -> list[Result]:
    """Every target with every error ratio that can page; the worst delay beyond the formula."""
    late = [found for target in TARGETS for ratio in RATIOS if (found := _late(target, ratio)) is not None]
    print(f"  {len(late)} outages, {min(late):.1f} to {max(late):.1f} s after the formula")
    return [
        Result(
            name="slo_detection",
            value=round(max(late), 3),
            unit=f"s after the formula at most, evaluated every {WIDTH} s",
            better="lower",
            limit="one evaluation (5 s)",
            limit_value=float(WIDTH),
        )
    ]


def _late(target: str, ratio: float) -> float | None:
    """Seconds from the instant of the formula to the evaluation that pages; None where nothing may page."""
    share = 1 - Fraction(target) / 100
    plan = plan_windows(budget_share=share, window_seconds=WINDOW_SECONDS, slice_seconds=WIDTH)
    pages = [window for window in plan.windows if window.tier == "page"]
    formula = min(
        (w.long_slices * WIDTH * float(w.factor * share) / ratio for w in pages if ratio > w.factor * share),
        default=None,
    )
    if formula is None:
        return None
    history = CountHistory(slice_seconds=WIDTH, longest_window_slices=WINDOW_SECONDS // WIDTH, capacity=1)
    one, now = uuid4(), 300_000_000
    history.advance(now)
    lengths = logic.window_lengths(plan, window_slices=WINDOW_SECONDS // WIDTH, fresh_slices=12)
    history.define({one: lengths})
    rows = history.rows([one])
    history.update(
        rows=np.repeat(rows, 4320),
        slices=np.arange(now - 4319, now + 1),
        bad=np.zeros(4320, np.int64),
        total=np.full(4320, EVENTS),
        measured=np.ones(4320, bool),
    )
    plans = logic.stack_plans([plan], [share])
    previous = logic.Previous(np.full(1, logic.OK), np.zeros(1, np.int64), np.zeros(1, bool))
    for passed in range(1, _CALM):
        history.update(
            rows=rows,
            slices=np.array([now + passed]),
            bad=np.array([round(EVENTS * ratio)]),
            total=np.array([EVENTS]),
            measured=np.ones(1, bool),
        )
        verdicts = logic.decide(
            plans, history.sums(rows), previous, lost=np.zeros(1, bool), current=now + passed, grace_slices=0
        )
        previous = logic.Previous(verdicts.state, verdicts.tier, verdicts.by_traffic)
        if verdicts.tier[0] == logic.PAGE:
            return passed * WIDTH - formula
    raise AssertionError(f"{target} % never pages at {ratio}")
