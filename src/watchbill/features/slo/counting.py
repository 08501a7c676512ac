"""Bring counts from telemetry into the history: the newest slices again and again, the past once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

import numpy as np

from watchbill.features import telemetry
from watchbill.features.slo import slicing
from watchbill.features.slo.definitions import Definition, slice_of, window_seconds_of
from watchbill.features.slo.history import CountHistory, Ints
from watchbill.features.slo.left_out import LeftOut, covered

_CELLS = 50_000
"""Slices of all SLOs together that are read at once."""


class CountSource(Protocol):
    """Where counts come from; `telemetry.TelemetryStore` is one. The answers name only slices with events."""

    def derive_counts(
        self, operations: Sequence[telemetry.OperationMatch], *, start: datetime, end: datetime, slice_seconds: int
    ) -> list[telemetry.SliceCount]:
        """Count again what is stored for ``[start, end)``, keep it, and return it."""
        ...

    def stored_counts(
        self, operations: Sequence[telemetry.OperationMatch], *, start: datetime, end: datetime, slice_seconds: int
    ) -> list[telemetry.SliceCount]:
        """What was counted before for ``[start, end)``."""
        ...

    def given_counts(
        self, operations: Sequence[telemetry.OperationMatch], *, start: datetime, end: datetime, slice_seconds: int
    ) -> list[telemetry.SliceCount]:
        """What others counted and gave us for ``[start, end)``, the slices without events too."""
        ...

    def take_past(self) -> telemetry.Past:
        """What was written of the past since this was asked last."""
        ...

    def reported(self, *, start: datetime, end: datetime, slice_seconds: int) -> set[datetime]:
        """The slices in which anybody at all reported."""
        ...


def count(
    history: CountHistory,
    source: CountSource,
    definitions: Sequence[Definition],
    rows: Ints,
    *,
    start: datetime,
    now: datetime,
    derive: bool = True,
) -> set[UUID]:
    """Correct the history of ``[start, now]`` by deriving it again, or by what was derived by others meanwhile.

    What a sender dates into the future is left out. Returns the SLOs of which some slice is not measured because its
    spans are sampled nobody knows how.
    """
    width = history.slice_seconds
    first, last = slice_of(start, width), slice_of(now, width)
    whole = slicing.longest([definition.slo for definition in definitions], width)
    first -= first % whole
    last = max(last, min(last + -(last + 1) % whole, history.current))  # a time slice is judged as a whole
    begin, end = _at(first, width), _at(last + 1, width)
    counts = _read(source, definitions, begin, end, width, derive=derive)
    reported = source.reported(start=begin, end=end, slice_seconds=width)
    bad, total, measured = _table(
        definitions,
        counts,
        reported,
        first=first,
        last=last,
        width=width,
        left_out=history.left_out,
        since=history.current - history.fine_slices + 1,
    )
    history.update(
        rows=np.repeat(rows, last - first + 1),
        slices=np.tile(np.arange(first, last + 1), rows.size),
        bad=bad.ravel(),
        total=total.ravel(),
        measured=measured.ravel(),
    )
    unknown = {(one.operation_id, one.objective) for one in counts if one.reason == "sampling_unknown"}
    return {each.slo.id for each in definitions if (each.slo.operation_id, each.slo.name) in unknown}


def refill(history: CountHistory, source: CountSource, definitions: Sequence[Definition], now: datetime) -> None:
    """Read the whole past of these SLOs, an hour-bounded part at a time, into their empty rings."""
    if not definitions:
        return
    width = history.slice_seconds
    rows = history.rows([definition.slo.id for definition in definitions])
    last = slice_of(now, width)
    longest = max(window_seconds_of(definition.slo) for definition in definitions) // width + history.bucket_slices
    given = any(definition.slo.source is not None for definition in definitions)
    oldest_fine = last - history.fine_slices + 1
    for first, until in _parts(last - longest, oldest_fine - 1, last, width=width, slos=len(definitions)):
        begin, end = _at(first, width), _at(until + 1, width)
        reported = source.reported(start=begin, end=end, slice_seconds=width)
        if not reported and not given:
            continue
        counts = _read(source, definitions, begin, end, width, derive=False)
        bad, total, measured = _table(
            definitions, counts, reported, first=first, last=until, width=width, left_out=history.left_out
        )
        places = np.repeat(rows, until - first + 1), np.tile(np.arange(first, until + 1), rows.size)
        if until < oldest_fine:
            history.load_old(
                rows=places[0],
                slices=places[1],
                bad=bad.ravel(),
                total=total.ravel(),
                measured=measured.ravel().astype(np.int64),
            )
        else:
            history.update(
                rows=places[0], slices=places[1], bad=bad.ravel(), total=total.ravel(), measured=measured.ravel()
            )
    history.resum(rows)


def recount_old(
    history: CountHistory,
    source: CountSource,
    definitions: Sequence[Definition],
    rows: Ints,
    *,
    start: datetime,
    end: datetime,
) -> None:
    """Correct the buckets that ``[start, end)`` touches, as far as slices are not kept one by one any more.

    For spans that came days late: what was derived of them meanwhile is read, bucket by bucket as a whole.
    """
    width, per = history.slice_seconds, history.bucket_slices
    first = slice_of(start, width) // per * per
    last = min(slice_of(end, width), history.current - history.fine_slices)
    first = max(first, (history.current // per - history.buckets + 1) * per)
    whole = slicing.longest([definition.slo for definition in definitions], width)
    step = max(1, _CELLS // max(len(definitions), 1) // per) * per
    for begin in range(first, last + 1, step):
        until = min(begin + step, (last // per + 1) * per, history.current + 1)
        if (until - begin) % per:
            until = begin + (until - begin) // per * per
        low, high = begin - begin % whole, until + -until % whole
        counts = _read(source, definitions, _at(low, width), _at(high, width), width, derive=False)
        reported = source.reported(start=_at(low, width), end=_at(high, width), slice_seconds=width)
        bad, total, measured = _table(
            definitions, counts, reported, first=low, last=high - 1, width=width, left_out=history.left_out
        )
        part = slice(begin - low, until - low)
        history.replace_old(
            rows=rows, first=begin, bad=bad[:, part], total=total[:, part], measured=measured[:, part]
        )


def _read(
    source: CountSource, definitions: Sequence[Definition], begin: datetime, end: datetime, width: int, *, derive: bool
) -> list[telemetry.SliceCount]:
    """Counts of spans and counts that others gave, each from where they are."""
    of_spans = [definition.match for definition in definitions if definition.slo.source is None]
    given = [definition.match for definition in definitions if definition.slo.source is not None]
    read = source.derive_counts if derive else source.stored_counts
    counts = read(of_spans, start=begin, end=end, slice_seconds=width) if of_spans else []
    if given:
        counts = [*counts, *source.given_counts(given, start=begin, end=end, slice_seconds=width)]
    return counts


def _parts(first: int, border: int, last: int, *, width: int, slos: int) -> list[tuple[int, int]]:
    """[first, border] and [border + 1, last] in parts of six hours, longer for few SLOs, so that memory is bounded."""
    step = max(1, 6 * 3600 // width, _CELLS // slos)
    parts = []
    for start, end in ((first, border), (max(border + 1, first), last)):
        parts += [(begin, min(begin + step - 1, end)) for begin in range(start, end + 1, step)]
    return parts


def _table(
    definitions: Sequence[Definition],
    counts: Sequence[telemetry.SliceCount],
    reported: set[datetime],
    *,
    first: int,
    last: int,
    width: int,
    left_out: LeftOut,
    since: int = 0,
) -> tuple[Ints, Ints, Ints]:
    """(bad, total, measured) of shape (SLOs, slices). Weighted counts are rounded to whole events, once, here.

    Without a row of its own a slice is measured when somebody else reported: then there was no traffic. What is
    excluded is empty, and what it held goes to ``left_out``, from slice ``since`` on.
    """
    place: dict[tuple[UUID, str], int] = {
        (definition.slo.operation_id, definition.slo.name): row for row, definition in enumerate(definitions)
    }
    shape = (len(definitions), last - first + 1)
    bad, total = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    anybody = np.zeros(shape[1], np.int64)
    for at in reported:
        column = slice_of(at, width) - first
        if 0 <= column < shape[1]:
            anybody[column] = 1
    measured = np.broadcast_to(anybody, shape).copy()
    for index, definition in enumerate(definitions):
        if definition.slo.source is not None:
            measured[index] = 0  # what others give speaks for itself: a slice that is not given is not measured
    for counted in counts:
        row = place.get((counted.operation_id, counted.objective))
        column = slice_of(counted.slice_at, width) - first
        if row is None or not 0 <= column < shape[1]:
            continue
        measured[row, column] = counted.measured
        total[row, column] = whole = int(counted.total + 0.5)
        bad[row, column] = min(max(int(counted.total - counted.good + 0.5), 0), whole)
    for index, definition in enumerate(definitions):
        counts_of = bad[index], total[index], measured[index]
        if definition.excluded:
            _leave_out(definition, counts_of, first=first, width=width, left_out=left_out, since=since)
        else:
            _slice(definition, *counts_of, first=first, width=width)
    return bad, total, measured


def _slice(definition: Definition, bad: Ints, total: Ints, measured: Ints, *, first: int, width: int) -> None:
    measure = definition.slo.measure
    if measure is not None and measure.method != "occurrences":
        slicing.slice_row(measure, bad, total, measured, first=first, slice_seconds=width)


def _leave_out(
    definition: Definition,
    counts: tuple[Ints, Ints, Ints],
    *,
    first: int,
    width: int,
    left_out: LeftOut,
    since: int,
) -> None:
    """Empty the excluded slices in place. A time slice is then judged by what of it is not excluded."""
    bad, total, measured = counts
    hidden = covered(definition.excluded, first=first, count=bad.size, slice_seconds=width)
    all_bad, all_total = bad.copy(), total.copy()
    bad[hidden] = total[hidden] = 0
    _slice(definition, all_bad, all_total, measured.copy(), first=first, width=width)
    _slice(definition, bad, total, measured, first=first, width=width)
    known = measured.astype(bool)
    begin = max(since - first, 0)
    left_out.write(
        definition.slo.id,
        first=first + begin,
        bad=np.where(known, all_bad - bad, 0)[begin:],
        total=np.where(known, all_total - total, 0)[begin:],
    )


def read_slices(
    source: CountSource, definitions: Sequence[Definition], *, start: datetime, end: datetime, width: int
) -> tuple[int, Ints, Ints, LeftOut]:
    """(first slice, bad, total, what is left out) of [start, end) as counted before; arrays of shape (SLOs, slices)."""
    first, until = slice_of(start, width), slice_of(end, width)
    first -= first % slicing.longest([definition.slo for definition in definitions], width)
    begin, stop = _at(first, width), _at(until, width)
    counts = _read(source, definitions, begin, stop, width, derive=False)
    reported = source.reported(start=begin, end=stop, slice_seconds=width)
    left_out = LeftOut()
    bad, total, measured = _table(
        definitions, counts, reported, first=first, last=until - 1, width=width, left_out=left_out
    )
    return first, np.where(measured, bad, 0), np.where(measured, total, 0), left_out


def _at(number: int, width: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=number * width)
