"""What is excluded is left out exactly: sums and budgets equal a slow reference in whole integers and fractions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.features import telemetry
from watchbill.features.slo import counting, logic, outcome
from watchbill.features.slo.calendar import period_at
from watchbill.features.slo.definitions import Definition
from watchbill.features.slo.exclusion import (
    LONGEST,
    Exclusion,
    Question,
    check_span,
    second_signature,
    seconds_within,
    status,
    union,
)
from watchbill.features.slo.history import BUDGET, CountHistory
from watchbill.features.slo.left_out import excluded_now
from watchbill.features.slo.model import Calendar, Measure, Plan, Slo
from watchbill.kernel.errors import Invalid

MINUTE = timedelta(minutes=1)
SHIFT = datetime(2026, 3, 29, 1, tzinfo=UTC)  # the clocks of Berlin go forward
WEEK = Calendar(amount=1, unit="w", start="2026-01-05T00:00:00", zone="Europe/Berlin")
DAY = Calendar(amount=1, unit="d", start="2026-01-05T00:00:00", zone="Europe/Berlin")
SLO = Slo(
    id=UUID(int=1),
    operation_id=UUID(int=2),
    service_id=UUID(int=3),
    name="availability",
    target=Decimal("99.9"),
    window_seconds=600 * 60,
    threshold_ms=None,
    environment="production",
    created_at=SHIFT,
    changed_at=SHIFT,
    removed_at=None,
)


class Source:
    """Counts by minute number, as they are known now."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[int, int]] = {}

    def stored_counts(self, operations, *, start, end, slice_seconds):
        return [
            telemetry.SliceCount(
                operation_id=SLO.operation_id,
                objective=SLO.name,
                slice_at=datetime.fromtimestamp(at * 60, UTC),
                good=total - bad,
                total=total,
                measured=True,
            )
            for at, (bad, total) in self.known.items()
            if start.timestamp() <= at * 60 < end.timestamp()
        ]

    def derive_counts(self, operations, *, start, end, slice_seconds):
        return self.stored_counts(operations, start=start, end=end, slice_seconds=slice_seconds)

    def reported(self, *, start, end, slice_seconds):
        numbers = range(int(start.timestamp()) // 60, int(end.timestamp()) // 60)
        return {datetime.fromtimestamp(at * 60, UTC) for at in numbers}


def defined(slo: Slo, spans, now: datetime) -> Definition:
    return Definition(
        slo=slo,
        service="payments",
        operation="charge card",
        match=telemetry.OperationMatch(operation_id=slo.operation_id, objective=slo.name, service_name="payments"),
        plan=Plan(windows=(), dropped=()),
        watches_traffic=False,
        period=None if slo.calendar is None else period_at(slo.calendar, now),
        excluded=tuple(union(spans)),
    )


minutes = st.integers(0, 1500)
spans = st.lists(
    st.tuples(minutes, st.integers(1, 300)).map(
        lambda pair: (SHIFT + (pair[0] - 700) * MINUTE, SHIFT + (pair[0] - 700 + pair[1]) * MINUTE)
    ),
    max_size=5,
)
events = st.lists(
    st.tuples(minutes, st.integers(0, 10**7), st.integers(1, 10**8), st.booleans()), min_size=1, max_size=40
)


@given(events=events, spans=spans, kind=st.sampled_from(["rolling", "day", "week", "slices"]))
@settings(max_examples=40, deadline=None)
def test_excluded_minutes_are_left_out_exactly_with_overlaps_late_data_and_changed_clocks(events, spans, kind):
    """slo.exclusion: nothing of an excluded minute counts, and nothing else is lost."""
    now = SHIFT + 800 * MINUTE + timedelta(seconds=30)
    current = int(now.timestamp()) // 60
    measure = {
        "rolling": None,
        "day": Measure(calendar=DAY),
        "week": Measure(calendar=WEEK),
        "slices": Measure(calendar=DAY, method="timeslices", slice_target=Decimal(99), slice_seconds=300),
    }[kind]
    slo = msgspec.structs.replace(SLO, measure=measure)
    definition = defined(slo, spans, now)
    source, base = Source(), int((SHIFT - 700 * MINUTE).timestamp()) // 60
    history = CountHistory(slice_seconds=60, longest_window_slices=11_000, capacity=1)
    history.advance(current)
    since = {} if definition.period is None else {slo.id: int(definition.period.begin.timestamp()) // 60}
    lengths = logic.window_lengths(definition.plan, window_slices=600 if not since else 11_000, fresh_slices=6)
    history.define({slo.id: lengths}, since=since)
    rows = history.rows([slo.id])
    late = []
    for at, bad, total, is_late in events:
        if is_late:
            late.append((base + at, (min(bad, total), total)))
        else:
            source.known[base + at] = min(bad, total), total
    counting.refill(history, source, [definition], now)
    for at, counts in late:  # comes after the first reading, and stands above what was known
        source.known[at] = counts
    begin = SHIFT - 700 * MINUTE - timedelta(minutes=base % 5)
    counting.count(history, source, [definition], rows, start=begin, now=now)

    def reference(excluding: bool) -> tuple[int, int]:
        inside = [
            (at, bad, total)
            for at, (bad, total) in source.known.items()
            if (since.get(slo.id, current - 599)) <= at <= current
            and not (
                excluding
                and any(start <= datetime.fromtimestamp(at * 60, UTC) < end for start, end in spans)
            )
        ]
        if kind != "slices":
            return sum(bad for _, bad, _ in inside), sum(total for _, _, total in inside)
        by_slice: dict[int, list[int]] = {}
        for at, bad, total in inside:
            one = by_slice.setdefault(at // 5, [0, 0])
            one[0], one[1] = one[0] + bad, one[1] + total
        over = {number: counts for number, counts in by_slice.items() if number * 5 + 5 <= current + 1}
        return sum(100 * bad > total for bad, total in over.values()), len(over)

    sums = history.sums(rows)
    counted = int(sums.bad[0, BUDGET]), int(sums.total[0, BUDGET])
    assert counted == reference(True)
    gone = excluded_now(
        history.left_out,
        slo.id,
        definition.excluded,
        now=now,
        edge=history.budget_edge(slo.id),
        current=current,
        slice_seconds=60,
    )
    assert (counted[0] + gone.bad, counted[1] + gone.total) == reference(False)
    start = datetime.fromtimestamp(history.budget_edge(slo.id) * 60, UTC)
    at, excluded = start, 0
    while at < now.replace(second=0):
        excluded += any(low <= at < high for low, high in spans)
        at += MINUTE
    last = 30 if any(low <= now < high for low, high in spans) else 0
    assert gone.seconds == 60 * excluded + last
    spent, whole = outcome._budget(definition, *counted, now)
    if kind == "rolling" and counted[1]:
        assert spent.remaining == 1 - Fraction(1000 * counted[0], counted[1]) == whole
    if kind == "slices" and definition.period is not None:
        held = sum(
            1
            for number in range(since[slo.id] // 5, int(definition.period.end.timestamp()) // 300)
            if not all(
                any(low <= datetime.fromtimestamp((number * 5 + part) * 60, UTC) < high for low, high in spans)
                for part in range(5)
            )
        )
        assert spent.total == max(held, counted[1])
        assert definition.period.seconds in (23 * 3600, 24 * 3600)


def question(*others, firing: bool = False) -> Question:
    return Question(
        name="availability", window=timedelta(days=30), share=Fraction(1, 1000), others=others, firing=firing
    )


NOW = datetime(2026, 3, 2, 9, 0, 30, tzinfo=UTC)
AHEAD = (NOW.replace(second=0) + 60 * MINUTE, NOW.replace(second=0) + 80 * MINUTE)


@pytest.mark.parametrize(
    ("span", "asked", "incident", "why"),
    [
        (AHEAD, question(), None, None),
        ((NOW - 5 * MINUTE, AHEAD[1]), question(), None, "after it began"),
        ((NOW.replace(second=0), AHEAD[1]), question(), None, "after it began"),
        (AHEAD, question(), 12, "incident 12"),
        (AHEAD, question(firing=True), None, "availability is burning"),
        ((AHEAD[0], AHEAD[0] + 22 * MINUTE), question(), None, "over 50 % of the 43m12s"),
        (AHEAD, question((AHEAD[0] - 9000 * MINUTE, AHEAD[0] - 8998 * MINUTE)), None, "22m of one window"),
        (AHEAD, question((AHEAD[0] - 45000 * MINUTE, AHEAD[0] - 44000 * MINUTE)), None, None),
        (AHEAD, question((AHEAD[0], AHEAD[1])), None, None),
    ],
)
def test_one_signature_is_enough_only_for_what_is_announced_calm_and_small(span, asked, incident, why):
    found = second_signature(span, [asked], now=NOW, incident=incident)
    assert found is None if why is None else why in (found or "")


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        (NOW, AHEAD[1], "start_at"),
        (AHEAD[1], AHEAD[0], "end_at"),
        (AHEAD[0], AHEAD[0] + LONGEST + MINUTE, "end_at"),
        (AHEAD[0] + timedelta(days=91), AHEAD[1] + timedelta(days=91), "start_at"),
        (AHEAD[0] - timedelta(days=401), AHEAD[1] - timedelta(days=401), "start_at"),
    ],
)
def test_a_span_is_of_whole_minutes_in_order_and_within_reach(start, end, field):
    with pytest.raises(Invalid) as refused:
        check_span(start, end, now=NOW)
    assert refused.value.problem.field == field


@given(spans=spans)
@settings(max_examples=30, deadline=None)
def test_overlapping_spans_count_once(spans):
    merged = union(spans)
    assert all(first[1] < second[0] for first, second in pairwise(merged))
    inside = {at for start, end in spans for at in range(int(start.timestamp()) // 60, int(end.timestamp()) // 60)}
    assert seconds_within(spans, SHIFT - timedelta(days=9), SHIFT + timedelta(days=9)) == 60 * len(inside)


def test_an_exclusion_holds_only_signed_and_as_long_as_it_was_not_ended_or_revoked():
    one = Exclusion(
        id=UUID(int=1), service_id=UUID(int=3), slo_id=None, environment="production", start_at=AHEAD[0],
        end_at=AHEAD[1], reason="upgrade", needs_second=None, created_at=NOW, actor_kind="person", actor_id="a",
        first_by=UUID(int=7), second_by=None, second_at=None, ended_at=None, revoked_at=None, revoked_kind=None,
        revoked_id=None, revoke_reason=None, changed_at=NOW, counted_at=None,
    )  # fmt: skip
    change = msgspec.structs.replace
    assert [status(one, now=at) for at in (NOW, AHEAD[0], AHEAD[1])] == ["announced", "in force", "over"]
    waiting = change(one, needs_second="after it began")
    assert (status(waiting, now=NOW), waiting.holds) == ("waiting", False)
    assert change(waiting, second_by=UUID(int=8)).holds
    early = change(one, ended_at=AHEAD[0] + MINUTE)
    assert status(early, now=AHEAD[0] + 2 * MINUTE) == "over"
    assert early.span == (AHEAD[0], AHEAD[0] + MINUTE)
    assert not change(one, revoked_at=NOW).holds
