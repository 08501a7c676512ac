"""From the observer's slices to events of one stretch of time, the way the objective counts them."""

from __future__ import annotations

from datetime import datetime

from watchbill.features.rollback.model import Counted, Witness
from watchbill.features.telemetry import CountColumns


def counted_between(columns: CountColumns, witness: Witness, *, start_at: datetime, end_at: datetime) -> Counted:
    """The events in [start_at, end_at), which are edges of slices (of time slices, where those are counted).

    A time slice is one event: bad when more than ``unit_share`` of its own are, or bad by its share where every slice
    weighs the same (OpenSLO's *Timeslices* and *RatioTimeslices*). One without events is none.
    """
    width = columns.slice_seconds
    low, high = (int(at.timestamp()) // width - columns.first for at in (start_at, end_at))
    low, high = max(low, 0), min(high, columns.slices)
    if high <= low:
        return Counted(seconds=max(0.0, (end_at - start_at).total_seconds()))
    silent = sum(max(0, min(until, high) - max(begin, low)) for begin, until in columns.unmeasured)
    units: dict[int, tuple[float, float]] = {}
    per = max(1, witness.unit_seconds // width)
    for offset, bad, total in zip(columns.offsets, columns.bad, columns.total, strict=True):
        if low <= offset < high:
            unit = (columns.first + offset) // per if witness.unit_seconds else 0
            known = units.get(unit, (0.0, 0.0))
            units[unit] = (known[0] + bad, known[1] + total)
    if not witness.unit_seconds:
        bad_events, events = units.get(0, (0.0, 0.0))
    else:
        shares = [bad / total for bad, total in units.values() if total > 0]
        events = float(len(shares))
        limit = witness.unit_share
        bad_events = sum(shares) if limit is None else float(sum(share > limit for share in shares))
    return Counted(
        bad=bad_events,
        total=events,
        coverage=1 - silent / (high - low),
        seconds=(end_at - start_at).total_seconds(),
    )
