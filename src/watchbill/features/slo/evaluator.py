"""The observer's duty: derive counts, evaluate every SLO, write what changed.

PostgreSQL away: counting and evaluating go on in memory and what changed is written when it is back.
ClickHouse away: the newest slices stay unmeasured, which freezes the states.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import numpy as np
import structlog

from watchbill.features import alerts
from watchbill.features.slo import counting, logic, outcome, policing, recount, store, traffic
from watchbill.features.slo.counting import CountSource
from watchbill.features.slo.definitions import (
    Definitions,
    definitions_mark,
    load_definitions,
    slice_of,
    window_seconds_of,
)
from watchbill.features.slo.history import CountHistory, Ints
from watchbill.features.slo.left_out import Excluded, excluded_now, slices_of
from watchbill.features.slo.model import STATES, StateRow
from watchbill.kernel.errors import Unavailable
from watchbill.kernel.ids import new_id
from watchbill.runtime.db import Database, Tx

log = structlog.get_logger("watchbill.slo")

LEASE_FOR = timedelta(seconds=60)
RESEND_EVERY = timedelta(minutes=1)
LATE_FOR = timedelta(minutes=15)
_UNWRITTEN = timedelta(hours=2)
"""How far back a new observer writes the series: the one before may have ended in the midst of an hour."""
_MOST_HOURS = 24
"""Once a minute counts are derived this far back; late spans correct them."""
REREAD_EVERY, REREAD_FOR, REREAD_PARTS = timedelta(minutes=1), timedelta(hours=2), 5
"""Spans later than that are derived beside us; their counts are read again this far back, a part each time."""
FRESH_FOR = timedelta(seconds=60)
"""Each time they are derived at least this far back."""
GRACE_SECONDS = 15
"""What is newer may still be on its way from an exporter."""
SERIES_KEPT = timedelta(days=400)


class Written(msgspec.Struct, frozen=True):
    """What PostgreSQL holds about one SLO: enough to know what is news."""

    state: str
    tier: str | None
    cause: str | None


class Evaluator:
    """Evaluates every SLO; one per observer process. Only the holder of the lease does anything."""

    def __init__(
        self, *, db: Database, source: CountSource, slice_seconds: int, base_url: str, holder: UUID | None = None
    ) -> None:
        self.db = db
        self.source = source
        self.slice_seconds = slice_seconds
        self.base_url = base_url.rstrip("/")
        self.holder = holder or new_id()
        self.history = CountHistory(slice_seconds=slice_seconds, longest_window_slices=120, capacity=1)
        self._definitions: Definitions | None = None
        self._rows: Ints = np.zeros(0, np.int64)
        self._previous = logic.Previous(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, bool))
        self._watch = traffic.nobody(0)
        self._since: list[datetime] = []
        self._written: dict[UUID, Written] = {}
        self._sampled: set[UUID] = set()
        self._reread: set[UUID] = set()
        self._uncounted = True
        self._clock: tuple[datetime, float] | None = None
        self._sent_at: datetime | None = None
        self._full_at: datetime | None = None
        self._reread_at: datetime | None = None
        self._reread_part = 0
        self._series_at: datetime | None = None
        self._purged_at: datetime | None = None

    def evaluate_once(self) -> int:
        """One evaluation; returns how many SLOs changed their state.

        Raises:
            Unavailable: PostgreSQL is away and nothing was loaded yet.
        """
        now, holds = self._prepare()
        if not holds or self._definitions is None or not self._definitions.items:
            return 0
        self._count(self._definitions, now)
        evaluation = self._evaluate(self._definitions, now)
        try:
            return self._write(self._definitions, evaluation)
        except Unavailable as error:
            log.warning("states are not written; evaluating goes on", why=error.problem.message)
            return 0

    def _prepare(self) -> tuple[datetime, bool]:
        """The instant of this evaluation, and whether it is ours to make."""
        try:
            with self.db.transaction() as tx:
                self._clock = (tx.now, time.monotonic())
                if not store.take_lease(tx, holder=self.holder, until=tx.now + LEASE_FOR):
                    self._definitions = None  # another evaluates; read everything anew when it is ours again
                    return tx.now, False
                if (
                    self._definitions is None
                    or definitions_mark(tx) != self._definitions.mark
                    or _turned(self._definitions, tx.now)
                ):
                    self._load(tx)
                return tx.now, True
        except Unavailable:
            if self._definitions is None or self._clock is None:
                raise
            log.warning("the database is away; evaluating with what is known")
            known_at, counter = self._clock
            return known_at + timedelta(seconds=time.monotonic() - counter), True

    def _load(self, tx: Tx) -> None:
        definitions = load_definitions(tx, slice_seconds=self.slice_seconds)
        written = store.states_of(tx)
        self._written = {row.slo_id: Written(row.state, row.tier, row.cause) for row in written.values()}
        longest = -(-definitions.longest_window_seconds // self.slice_seconds)
        if longest > self.history.longest_window_slices or self._definitions is None:
            self.history = CountHistory(
                slice_seconds=self.slice_seconds,
                longest_window_slices=max(longest, 120),
                capacity=len(definitions.items) or 1,
            )
        self.history.advance(slice_of(tx.now, self.slice_seconds))
        fresh = max(6, -(-60 // self.slice_seconds) + 2)
        new = self.history.define(
            {
                item.slo.id: logic.window_lengths(
                    item.plan,
                    window_slices=-(-window_seconds_of(item.slo) // self.slice_seconds),
                    fresh_slices=min(fresh, 12) if self.slice_seconds >= 10 else fresh,
                )
                for item in definitions.items
            },
            since={
                item.slo.id: slice_of(item.period.begin, self.slice_seconds)
                for item in definitions.items
                if item.period is not None
            },
        )
        self._restore(definitions, written, tx.now)
        before = {item.slo.id: item.excluded for item in self._definitions.items} if self._definitions else {}
        self._reread |= {
            item.slo.operation_id
            for item in definitions.items
            if item.slo.id in before and before[item.slo.id] != item.excluded
        }
        self._uncounted = True
        self._definitions = definitions
        self._rows = self.history.rows(definitions.ids)
        self._refill(definitions, set(new), tx.now)

    def _restore(self, definitions: Definitions, written: dict[UUID, StateRow], now: datetime) -> None:
        """Go on from the states as written, so that a restart neither forgets nor repeats."""
        count = len(definitions.items)
        state = np.full(count, logic.UNMEASURED, np.int64)
        tier, by_traffic = np.zeros(count, np.int64), np.zeros(count, bool)
        lost, expected, since_slice = np.zeros(count, bool), np.zeros(count), np.full(count, -1, np.int64)
        since = [now] * count
        for row, slo_id in enumerate(definitions.ids):
            known = written.get(slo_id)
            if known is None:
                continue
            state[row] = STATES.index(known.state)
            tier[row] = logic.TIERS.index(known.tier)
            by_traffic[row] = known.cause == "traffic"
            since[row] = known.since_at
            if remembered := known.memory.get("traffic"):
                lost[row], expected[row] = True, remembered["expected"]
                since_slice[row] = remembered["since_slice"]
        self._previous = logic.Previous(state, tier, by_traffic)
        self._watch = traffic.Watch(lost, expected, since_slice)
        self._since = since

    def _refill(self, definitions: Definitions, new: set[UUID], now: datetime) -> None:
        try:
            counting.refill(self.history, self.source, [d for d in definitions.items if d.slo.id in new], now)
        except Unavailable as error:
            log.warning("old counts cannot be read; budgets start from what comes now", why=error.problem.message)

    def _count(self, definitions: Definitions, now: datetime) -> None:
        """Derive the newest slices; once a minute further back, for what came late."""
        full = self._full_at is None or now - self._full_at >= RESEND_EVERY
        back = max(LATE_FOR if full else FRESH_FOR, timedelta(seconds=4 * self.slice_seconds))
        self.history.advance(slice_of(now, self.slice_seconds))
        try:
            self._sampled = counting.count(
                self.history, self.source, definitions.items, self._rows, start=now - back, now=now
            )
            self._reread_late(definitions, now)
            self._read_past(definitions, now)
        except Unavailable as error:
            log.warning("counts cannot be derived; states are frozen", why=error.problem.message)
            return
        if full:
            self._full_at = now

    def _reread_late(self, definitions: Definitions, now: datetime) -> None:
        """What was counted of the last two hours beside us; a part each minute, all of it after an absence."""
        if self._reread_at is not None and now - self._reread_at < REREAD_EVERY:
            return
        absent = self._reread_at is None or now - self._reread_at > 3 * REREAD_EVERY
        part = REREAD_FOR if absent else REREAD_FOR / REREAD_PARTS
        self._reread_part = 0 if absent else (self._reread_part + 1) % REREAD_PARTS
        until = now - part * self._reread_part
        counting.count(
            self.history, self.source, definitions.items, self._rows, start=until - part, now=until, derive=False
        )
        self._reread_at = now

    def _read_past(self, definitions: Definitions, now: datetime) -> None:
        """Take over what was counted of the past beside us: late spans, counts that were sent, old spans."""
        past = self.source.take_past()
        for start, end in past.stretches:
            counting.count(self.history, self.source, definitions.items, self._rows, start=start, now=end, derive=False)
            counting.recount_old(self.history, self.source, definitions.items, self._rows, start=start, end=end)
        self._reread |= past.operations  # kept until it was read, should the engine be away
        chosen = [item for item in definitions.items if item.slo.operation_id in self._reread]
        if chosen:
            self.history.clear(self.history.rows([item.slo.id for item in chosen]))
            counting.refill(self.history, self.source, chosen, now)
        self._reread.clear()

    def _evaluate(self, definitions: Definitions, now: datetime) -> outcome.Evaluation:
        sums = self.history.sums(self._rows)
        grace = -(-GRACE_SECONDS // self.slice_seconds)
        watch, seen, length = self._watch_traffic(definitions, grace)
        verdicts = logic.decide(
            definitions.plans, sums, self._previous, lost=watch.lost, current=self.history.current, grace_slices=grace
        )
        before = self._previous
        changed = (verdicts.state != before.state) | (verdicts.tier != before.tier)
        for row in np.flatnonzero(changed):
            self._since[row] = now
        self._previous = logic.Previous(verdicts.state, verdicts.tier, verdicts.by_traffic)
        self._watch = watch
        return outcome.Evaluation(
            at=now,
            slice_seconds=self.slice_seconds,
            sums=sums,
            burns=logic.burn_rates(definitions.plans, sums),
            verdicts=verdicts,
            watch=watch,
            seen=seen,
            check_slices=length,
            since=self._since,
            sampled=self._sampled,
            excluded=self._excluded(definitions, now),
        )

    def _excluded(self, definitions: Definitions, now: datetime) -> dict[UUID, Excluded]:
        """What is left out of the SLOs that have exclusions."""
        return {
            item.slo.id: excluded_now(
                self.history.left_out,
                item.slo.id,
                item.excluded,
                now=now,
                edge=self.history.budget_edge(item.slo.id),
                current=self.history.current,
                slice_seconds=self.slice_seconds,
            )
            for item in definitions.items
            if item.excluded
        }

    def _watch_traffic(self, definitions: Definitions, grace: int) -> tuple[traffic.Watch, Ints, int]:
        length = traffic.check_slices(self.slice_seconds)
        watchers = np.array([item.watches_traffic for item in definitions.items], dtype=bool)
        hidden = [
            (row, first, end)
            for row, item in enumerate(definitions.items)
            for first, end in slices_of(item.excluded, self.slice_seconds)
        ]
        reading = traffic.read_traffic(self.history, self._rows, length=length, skip=grace, hidden=hidden)
        for row, first, end in hidden:
            if first <= self.history.current < end:
                self._watch.lost[row] = False  # what is silent while it is excluded is not lost
        watch = traffic.watch_traffic(
            self._watch,
            seen=reading.seen,
            checkable=reading.checkable & watchers,
            expected=reading.expected,
            current=self.history.current,
            slice_seconds=self.slice_seconds,
        )
        return watch, reading.seen, length

    def _write(self, definitions: Definitions, evaluation: outcome.Evaluation) -> int:
        minute = self._sent_at is None or evaluation.at - self._sent_at >= RESEND_EVERY
        states: list[StateRow] = []
        moved = []
        events: list[alerts.Event] = []
        verdicts = evaluation.verdicts
        for row, item in enumerate(definitions.items):
            written = self._written.get(item.slo.id)
            state = STATES[int(verdicts.state[row])]
            tier = logic.TIERS[int(verdicts.tier[row])]
            same = written is not None and (written.state, written.tier) == (state, tier)
            if same and state == "firing":
                cause = "traffic" if verdicts.by_traffic[row] else "burn"
                same = written is not None and written.cause == cause
            if same and not minute:
                continue
            described, facts = outcome.state_row(item, row, evaluation)
            states.append(described)
            if not same:
                moved.append((item, described, written.state if written else "new"))
            was_firing = written is not None and written.state == "firing"
            if state == "firing" or was_firing:
                events.append(outcome.event_of(item, described, facts, base_url=self.base_url))
        if states:
            with self.db.transaction() as tx:
                outcome.write_outcome(tx, states=states, moved=moved, events=events)
                store.note_evaluation(tx, holder=self.holder, slice_seconds=self.slice_seconds)
                for item, described, _ in moved:
                    tx.hint("watchbill_live", f"slo:{item.slo.id}")
                    log.info(
                        "slo changed",
                        service=item.service,
                        operation=item.operation,
                        slo=item.slo.name,
                        state=described.state,
                        tier=described.tier,
                        why=described.reason,
                    )
        self._written.update({row.slo_id: Written(row.state, row.tier, row.cause) for row in states})
        if minute:
            with self.db.transaction() as tx:
                policing.act_on_budgets(
                    tx,
                    definitions=definitions.items,
                    standing_of=lambda row: outcome.standing_of(definitions.items[row], row, evaluation),
                    base_url=self.base_url,
                )
            self._sent_at = evaluation.at
        self._recount(definitions, evaluation.at)
        self._write_series(definitions, evaluation.at)
        return len(moved)

    def _recount(self, definitions: Definitions, now: datetime) -> None:
        """Once after each change of what is excluded."""
        if not self._uncounted:
            return
        recount.recount(self.db, self.source, definitions.items, slice_seconds=self.slice_seconds, now=now)
        self._uncounted, self._series_at = False, None

    def _write_series(self, definitions: Definitions, now: datetime) -> None:
        every = timedelta(seconds=max(10, outcome.bucket_seconds_of(self.slice_seconds)))
        if self._series_at is not None and now - self._series_at < every:
            return
        hour = now.replace(minute=0, second=0, microsecond=0)
        # After an absence also the hours that it lay in: what came late was counted meanwhile.
        since = min(now - LATE_FOR, self._series_at or now - _UNWRITTEN)
        back = min((hour - since) // timedelta(hours=1) + 1 if since < hour else 0, _MOST_HOURS)
        hours = [hour - timedelta(hours=ago) for ago in range(back, -1, -1)]
        with self.db.transaction() as tx:
            for hour_at in hours:
                store.write_series(
                    tx, rows=outcome.series_rows(definitions.items, self._rows, self.history, hour_at=hour_at)
                )
            if self._purged_at is None or now - self._purged_at > timedelta(hours=6):
                store.delete_series_before(tx, before=now - SERIES_KEPT)
                self._purged_at = now
        self._series_at = now


def _turned(definitions: Definitions, now: datetime) -> bool:
    """Whether a calendar's period has ended since these were read."""
    return definitions.turns_at is not None and now >= definitions.turns_at
