"""From verdicts to what is written: state rows, alert events, ledger entries and hours of the series."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from watchbill.features import alerts, catalog
from watchbill.features.slo import logic, store, words
from watchbill.features.slo.budget import as_decimal, budget, period_budget, seconds_to_exhaustion
from watchbill.features.slo.definitions import Definition
from watchbill.features.slo.history import BUDGET, CountHistory, Ints, Sums
from watchbill.features.slo.left_out import Excluded, whole_units
from watchbill.features.slo.model import PARTS, STATES, Budget, StateRow, WindowReading
from watchbill.features.slo.policy import Standing
from watchbill.features.slo.traffic import Watch
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx

EXPIRES_AFTER = timedelta(minutes=5)
"""How long an alert stays fresh without word from the evaluator; then it is stale, which is not recovery."""


class Evaluation(msgspec.Struct, frozen=True):
    """One evaluation of all SLOs, as arrays; ``since`` is when each came into its state.

    ``sampled``: those that are not measured because nobody knows how their spans are sampled. ``excluded``: what is
    left out of those that have exclusions.
    """

    at: datetime
    slice_seconds: int
    sums: Sums
    burns: logic.Floats
    verdicts: logic.Verdicts
    watch: Watch
    seen: Ints
    check_slices: int
    since: Sequence[datetime]
    sampled: Collection[UUID] = frozenset()
    excluded: Mapping[UUID, Excluded] = msgspec.field(default_factory=dict)


def state_row(definition: Definition, row: int, evaluation: Evaluation) -> tuple[StateRow, words.Facts]:
    """What is written about one SLO."""
    slo, verdicts, sums = definition.slo, evaluation.verdicts, evaluation.sums
    windows = _readings(definition, row, evaluation)
    bad, total = int(sums.bad[row, BUDGET]), int(sums.total[row, BUDGET])
    burn = words.burn_of(windows)
    spent, whole = _budget(definition, bad, total, evaluation.at)
    left = _seconds_left(definition, whole, burn or 0.0, evaluation.at)
    excluded = evaluation.excluded.get(slo.id)
    without = _without(definition, bad, total, excluded, evaluation.at)
    state = STATES[int(verdicts.state[row])]
    tier = logic.TIERS[int(verdicts.tier[row])]
    by_traffic = bool(verdicts.by_traffic[row])
    facts = words.Facts(
        state=state,
        tier=tier,
        by_traffic=by_traffic,
        frozen=bool(verdicts.frozen[row]),
        fresh=bool(verdicts.fresh[row]),
        single=bool(verdicts.single[row]),
        seen_ever=int(sums.first[row]) >= 0,
        windows=windows,
        bad=bad,
        total=total,
        expected=float(evaluation.watch.expected[row]),
        seen=int(evaluation.seen[row]),
        check_seconds=evaluation.check_slices * evaluation.slice_seconds,
        sampled=slo.id in evaluation.sampled,
        few=_few(definition, row, evaluation),
    )
    memory: dict[str, Any] = {}
    if evaluation.watch.lost[row]:
        memory["traffic"] = {"expected": facts.expected, "since_slice": int(evaluation.watch.since[row])}
    return (
        StateRow(
            slo_id=slo.id,
            state=state,
            tier=tier,
            cause=None if state != "firing" else "traffic" if by_traffic else "burn",
            reason=words.explain(slo, facts)
            + words.new(slo, facts, at=evaluation.at)
            + words.left_out(slo, excluded, begun=excluded is not None and excluded.until_at is not None),
            since_at=evaluation.since[row],
            evaluated_at=evaluation.at,
            budget_remaining=as_decimal(spent.remaining) if total else None,
            bad=bad,
            total=total,
            burn=burn,
            exhausted_at=None if left is None else evaluation.at + timedelta(seconds=min(left, 366 * 86400)),
            windows=windows,
            memory=memory,
            excluded_seconds=excluded.seconds if excluded else 0,
            excluded_bad=excluded.bad if excluded else 0,
            excluded_total=excluded.total if excluded else 0,
            budget_without=None if without is None else as_decimal(without[0].remaining),
        ),
        facts,
    )


def standing_of(definition: Definition, row: int, evaluation: Evaluation) -> Standing | None:
    """What remains, for the budget's policy; None while it is unknown, or the objective burns in."""
    slo, sums = definition.slo, evaluation.sums
    bad, total = int(sums.bad[row, BUDGET]), int(sums.total[row, BUDGET])
    new = slo.burns_in_until is not None and evaluation.at < slo.burns_in_until
    if total == 0 or new or int(evaluation.verdicts.state[row]) == logic.UNMEASURED:
        return None
    _, whole = _budget(definition, bad, total, evaluation.at)
    without = _without(definition, bad, total, evaluation.excluded.get(slo.id), evaluation.at)
    return Standing(
        slo_id=slo.id,
        remaining=whole,
        without=whole if without is None else without[1],
        bad=bad,
        total=total,
        target=slo.target,
        window_seconds=slo.window_seconds,
        period_begin=None if definition.period is None else definition.period.begin,
    )


def _few(definition: Definition, row: int, evaluation: Evaluation) -> tuple[int, int] | None:
    """(bad, total) of the first pair that would page if its failures were not so few."""
    verdicts = evaluation.verdicts
    if not verdicts.single[row]:
        return None
    for pair, window in enumerate(definition.plan.windows):
        if window.tier == "page" and verdicts.over_short[row, pair] and verdicts.over_long[row, pair]:
            long = 2 * pair + 1
            return int(evaluation.sums.bad[row, long]), int(evaluation.sums.total[row, long])
    return None


def _budget(
    definition: Definition, bad: int, total: int, at: datetime, *, nothing_excluded: bool = False
) -> tuple[Budget, Fraction]:
    """The budget, and the share that remains of the whole window's (of a calendar's period, if traffic goes on)."""
    slo, period = definition.slo, definition.period
    if period is None:
        spent = budget(bad=bad, total=total, share=slo.budget_share)
        return spent, spent.remaining
    whole = None
    if slo.unit_seconds and slo.measure is not None:
        units = period.seconds // slo.unit_seconds
        if not nothing_excluded:
            units -= whole_units(
                definition.excluded, start=period.begin, end=period.end, unit_seconds=slo.unit_seconds
            )
        whole = units * (PARTS if slo.measure.method == "ratio_timeslices" else 1)
    passed = min(max(int((at - period.begin).total_seconds()), 1), period.seconds)
    return period_budget(
        bad=bad, total=total, share=slo.budget_share, elapsed=Fraction(passed, period.seconds), whole=whole
    )


def _without(
    definition: Definition, bad: int, total: int, excluded: Excluded | None, at: datetime
) -> tuple[Budget, Fraction] | None:
    """The same if nothing were excluded; None when nothing is."""
    if excluded is None or not excluded.seconds:
        return None
    return _budget(definition, bad + excluded.bad, total + excluded.total, at, nothing_excluded=True)


def _seconds_left(definition: Definition, remaining: Fraction, burn: float, at: datetime) -> float | None:
    """In how many seconds the budget is gone at this rate; None: not, or not in the calendar's period."""
    period = definition.period
    if period is None:
        return seconds_to_exhaustion(
            remaining=remaining, burn=burn, window_seconds=definition.slo.window_seconds
        )
    left = seconds_to_exhaustion(remaining=remaining, burn=burn, window_seconds=period.seconds)
    return None if left is None or at + timedelta(seconds=left) >= period.end else left


def _readings(definition: Definition, row: int, evaluation: Evaluation) -> list[WindowReading]:
    readings = []
    for pair, window in enumerate(definition.plan.windows):
        short, long = (float(evaluation.burns[row, 2 * pair + side]) for side in (0, 1))
        readings.append(
            WindowReading(
                tier=window.tier,
                short_seconds=window.short_slices * evaluation.slice_seconds,
                long_seconds=window.long_slices * evaluation.slice_seconds,
                factor=float(window.factor),
                short_burn=_or_none(short),
                long_burn=_or_none(long),
                over_short=bool(evaluation.verdicts.over_short[row, pair]),
                over_long=bool(evaluation.verdicts.over_long[row, pair]),
            )
        )
    return readings


def _or_none(rate: float) -> float | None:
    return None if math.isnan(rate) else rate


def event_of(definition: Definition, state: StateRow, facts: words.Facts, *, base_url: str) -> alerts.Event:
    """The alert event that says this state: one identity per SLO, whatever its tier."""
    slo = definition.slo
    place = words.label(definition.service, definition.operation)
    new = slo.burns_in_until is not None and state.evaluated_at < slo.burns_in_until
    wakes = state.tier == "page" and slo.environment == "production" and not new
    urgency: alerts.Urgency = "page" if wakes else "ticket"
    return alerts.Event(
        identity=f"slo:{slo.id}",
        action="trigger" if state.state == "firing" else "resolve",
        title=words.title(slo, place, facts),
        description=state.reason,
        severity="critical" if urgency == "page" else "warning",
        urgency=urgency,
        labels={
            "slo": slo.name,
            "service": definition.service,
            "operation": definition.operation,
            "environment": slo.environment,
        },
        annotations={"cause": state.cause or "", "tier": state.tier or ""},
        links=[alerts.Link(title="SLO", url=f"{base_url}/slos/{slo.id}")],
        environment=slo.environment,
        service=definition.service,
        operation=definition.operation,
        expires_at=state.evaluated_at + EXPIRES_AFTER,
        declares=urgency == "page" and state.cause == "burn",
    )


def write_outcome(
    tx: Tx,
    *,
    states: Sequence[StateRow],
    moved: Sequence[tuple[Definition, StateRow, str]],
    events: Sequence[alerts.Event],
) -> None:
    """States, one ledger entry for each SLO that moved (with the state it left), and the alerts: one commit."""
    store.write_states(tx, states=states)
    service_ids = {definition.slo.service_id for definition, _, _ in moved}
    teams = {service.id: service.team_id for service in catalog.services(tx, ids=service_ids)} if moved else {}
    for definition, state, before in moved:
        ledger.append(
            tx,
            name=f"slo.{_PARTICIPLE[state.state]}",
            actor=ledger.system("observer"),
            subject=("slo", state.slo_id),
            team_id=teams.get(definition.slo.service_id),
            why=state.reason,
            data={"before": before, "tier": state.tier, "cause": state.cause, "burn": state.burn},
        )
    if events:
        integration = alerts.builtin_integration(tx, name="slo")
        alerts.accept_events(tx, integration_id=integration.id, events=events)


_PARTICIPLE = {"firing": "fired", "recovering": "recovering", "ok": "met", "unmeasured": "unmeasured"}


def bucket_seconds_of(slice_seconds: int) -> int:
    """Length of the series' buckets: ten slices, but about ten seconds when slices are short; divides an hour."""
    least = slice_seconds * 10 if slice_seconds >= 60 else max(slice_seconds, 10)
    for length in range(least, 3601):
        if length % slice_seconds == 0 and 3600 % length == 0:
            return length
    return 3600


def series_rows(
    definitions: Sequence[Definition], rows: Ints, history: CountHistory, *, hour_at: datetime
) -> list[dict[str, Any]]:
    """The hour that begins at ``hour_at``, up to the current slice, of every SLO that had events in it."""
    width = history.slice_seconds
    per_bucket = bucket_seconds_of(width) // width
    start = int(hour_at.timestamp()) // width
    ends = min(start + 3600 // width, history.current + 1)
    count = ends - start
    if count <= 0 or start <= history.current - history.fine_slices:
        return []
    bad, total, _ = history.fine(rows, start=start, count=count)
    found = []
    edges = list(range(0, count, per_bucket))
    in_buckets = np.add.reduceat(bad, edges, axis=1), np.add.reduceat(total, edges, axis=1)
    events = in_buckets[1].sum(axis=1)
    for row, item in enumerate(definitions):
        gone = history.left_out.columns(item.slo.id, start=start, count=count) if item.excluded else None
        if gone is None and events[row]:
            found.append(
                {
                    "slo_id": item.slo.id,
                    "hour_at": hour_at.astimezone(UTC),
                    "bucket_seconds": per_bucket * width,
                    "bad": in_buckets[0][row].tolist(),
                    "total": in_buckets[1][row].tolist(),
                    "excluded_bad": None,
                    "excluded_total": None,
                }
            )
        elif gone is not None:
            found.append(
                hour_row(
                    item.slo.id,
                    hour_at,
                    bad[row],
                    total[row],
                    gone,
                    bucket_seconds=per_bucket * width,
                    slice_seconds=width,
                )
            )
    return found


def hour_row(
    slo_id: UUID,
    hour_at: datetime,
    bad: Ints,
    total: Ints,
    left_out: tuple[Ints, Ints],
    *,
    bucket_seconds: int,
    slice_seconds: int,
) -> dict[str, Any]:
    """One hour of the series from its slices: ``bad`` and ``total`` are what counts, ``left_out`` what does not."""
    edges = list(range(0, bad.size, bucket_seconds // slice_seconds))
    counted = [np.add.reduceat(column, edges) for column in (bad, total, *left_out)]
    some = bool(left_out[0].any() or left_out[1].any())
    return {
        "slo_id": slo_id,
        "hour_at": hour_at.astimezone(UTC),
        "bucket_seconds": bucket_seconds,
        "bad": (counted[0] + counted[2]).tolist(),
        "total": (counted[1] + counted[3]).tolist(),
        "excluded_bad": counted[2].tolist() if some else None,
        "excluded_total": counted[3].tolist() if some else None,
    }
