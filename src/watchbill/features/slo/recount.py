"""Write anew the hours of the series that an exclusion touched: declared late, signed, ended early, or revoked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from watchbill.features.slo import counting, exclusion_store, store
from watchbill.features.slo.counting import CountSource
from watchbill.features.slo.definitions import Definition
from watchbill.features.slo.history import Ints
from watchbill.features.slo.outcome import bucket_seconds_of, hour_row
from watchbill.runtime.db import Database

_HOUR = timedelta(hours=1)


def recount(
    db: Database, source: CountSource, definitions: Sequence[Definition], *, slice_seconds: int, now: datetime
) -> None:
    """Bring the past hours of the series in step with every exclusion that was changed; the hour of now is not past.

    What the engine keeps no counts of any more stays as it is.

    Raises:
        Unavailable: the engine is away; ask again later.
    """
    with db.transaction() as tx:
        waiting = exclusion_store.uncounted(tx)
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    for one in waiting:
        items = [
            item
            for item in definitions
            if one.concerns(slo_id=item.slo.id, service_id=item.slo.service_id, environment=item.slo.environment)
        ]
        start = one.start_at.replace(minute=0, second=0, microsecond=0)
        end = min(this_hour, one.end_at.replace(minute=0, second=0, microsecond=0) + _HOUR)
        rows = _hours(source, items, start, end, slice_seconds) if items and start < end else []
        with db.transaction() as tx:
            store.write_series(tx, rows=rows)
            exclusion_store.note_counted(tx, seen=[one])


def _hours(
    source: CountSource, items: Sequence[Definition], start: datetime, end: datetime, width: int
) -> list[dict[str, Any]]:
    first, bad, total, left_out = counting.read_slices(source, items, start=start, end=end, width=width)
    per_hour = 3600 // width
    rows: list[dict[str, Any]] = []
    nothing: Ints = np.zeros(per_hour, np.int64)
    at = start
    while at < end:
        begin = int(at.timestamp()) // width
        place = slice(begin - first, begin - first + per_hour)
        for index, item in enumerate(items):
            gone = left_out.columns(item.slo.id, start=begin, count=per_hour)
            if total[index, place].any() or gone is not None:
                rows.append(
                    hour_row(
                        item.slo.id,
                        at,
                        bad[index, place],
                        total[index, place],
                        gone or (nothing, nothing),
                        bucket_seconds=bucket_seconds_of(width),
                        slice_seconds=width,
                    )
                )
        at += _HOUR
    return rows
