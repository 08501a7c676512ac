"""What was promised and what was kept over a period: the rows of the weekly report, of CSV and of JSON."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import msgspec

from watchbill.features.slo import reads, store
from watchbill.features.slo.budget import as_decimal, budget
from watchbill.features.slo.reads import SloView
from watchbill.runtime.db import Tx


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One SLO over one period; its counts are events, or slices where the objective counts those.

    ``achieved`` is the percent of good events, None without any. ``spent`` is the share of *this period's* budget that
    its failures took (1 is all of it; more is broken), ``kept`` whether the promise held. The target is today's; when
    it changed within the period ``changed`` is true, and `slo_detail` says from what. Excluded minutes count in none of
    these: ``excluded_bad`` and ``excluded_total`` are what they held, ``spent_without`` what would be spent if nothing
    were excluded (None: nothing is).
    """

    view: SloView
    bad: int
    total: int
    achieved: Decimal | None
    spent: Decimal | None
    kept: bool | None
    changed: bool
    excluded_bad: int = 0
    excluded_total: int = 0
    spent_without: Decimal | None = None


def kept(tx: Tx, *, start: datetime, end: datetime, team_id: UUID | None = None, limit: int = 5000) -> list[Kept]:
    """What was kept in [start, end), whole hours; the worst first, those without events last."""
    views = reads.slos(tx, team_id=team_id, limit=limit)
    ids = [view.slo.id for view in views]
    sums = store.series_sums(tx, slo_ids=ids, start=start, end=end)
    gone = store.series_left_out(tx, slo_ids=ids, start=start, end=end)
    lines = [
        _line(view, sums.get(view.slo.id, (0, 0)), gone.get(view.slo.id, (0, 0)), start=start, end=end)
        for view in views
    ]
    return sorted(
        lines,
        key=lambda line: (
            line.spent is None,
            -(line.spent or 0),
            line.view.service,
            line.view.operation,
            line.view.slo.name,
        ),
    )


def _line(
    view: SloView, counted: tuple[int, int], gone: tuple[int, int], *, start: datetime, end: datetime
) -> Kept:
    bad, total = counted
    figures = budget(bad=bad, total=total, share=view.slo.budget_share)
    without = budget(bad=bad + gone[0], total=total + gone[1], share=view.slo.budget_share)
    return Kept(
        view=view,
        bad=view.slo.told(bad),
        total=view.slo.told(total),
        achieved=as_decimal(100 * (1 - Fraction(bad, total)), places=5) if total else None,
        spent=as_decimal(figures.spent, places=4) if total else None,
        kept=figures.spent <= 1 if total else None,
        changed=start < view.slo.changed_at < end and view.slo.changed_at > view.slo.created_at,
        excluded_bad=view.slo.told(gone[0]),
        excluded_total=view.slo.told(gone[1]),
        spent_without=as_decimal(without.spent, places=4) if gone != (0, 0) else None,
    )


def totals(lines: Collection[Kept]) -> tuple[int, int, int]:
    """How many promises were kept, how many broken, how many had no events."""
    return (
        sum(1 for line in lines if line.kept),
        sum(1 for line in lines if line.kept is False),
        sum(1 for line in lines if line.kept is None),
    )
