"""From counts to a person: an SLO burns, its owner is paged, the burn ends, the alert ends.

Real PostgreSQL and the real pager on a virtual clock. Counts come from a table in memory in place of
ClickHouse, which lives in real time only.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
import sqlalchemy as sa

from tests.journeys.stage import ACTOR, Stage
from watchbill.features import alerts, catalog, slo, telemetry
from watchbill.features.catalog.actions import write_services
from watchbill.features.slo.evaluator import Evaluator
from watchbill.kernel.errors import Unavailable
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

MINUTE = timedelta(minutes=1)


class Counts:
    """What was seen of each operation and objective in each slice."""

    def __init__(self, slice_seconds: int = 60) -> None:
        self.slice_seconds = slice_seconds
        self.seen: dict[tuple[UUID, str], dict[datetime, tuple[float, float]]] = {}
        self.spoken: set[datetime] = set()
        self.away = False

    def add(self, key: tuple[UUID, str], at: datetime, *, good: float, total: float) -> None:
        self.spoken.add(self._floor(at))
        self.seen.setdefault(key, {})[self._floor(at)] = (good, total)

    def others(self, at: datetime) -> None:
        self.spoken.add(self._floor(at))

    def _floor(self, at: datetime) -> datetime:
        return datetime.fromtimestamp(int(at.timestamp()) // self.slice_seconds * self.slice_seconds, UTC)

    def derive_counts(self, operations, *, start, end, slice_seconds):
        return self.stored_counts(operations, start=start, end=end, slice_seconds=slice_seconds)

    def stored_counts(self, operations, *, start, end, slice_seconds):
        if self.away:
            raise Unavailable("the telemetry engine does not answer")
        return [
            telemetry.SliceCount(
                operation_id=operation.operation_id,
                objective=operation.objective,
                slice_at=at,
                good=good,
                total=total,
                measured=True,
            )
            for operation in operations
            for at, (good, total) in self.seen.get((operation.operation_id, operation.objective), {}).items()
            if start <= at < end and total
        ]

    def take_past(self):
        return telemetry.Past()

    def reported(self, *, start, end, slice_seconds):
        return {at for at in self.spoken if start <= at < end}


class Watch:
    """The stage with one measured operation: payments · charge card, availability 99.9 over 30 days."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.counts = Counts()
        self.service_id = self._add_operation()
        with stage.db.transaction() as tx:
            [operation] = catalog.operations(tx, service_ids=[self.service_id])
        self.operation_id = operation.id
        self.key = (operation.id, "availability")
        self.promise("99.9")
        self.evaluator = self.new_observer()

    def _add_operation(self) -> UUID:
        service_id = new_id()
        with self.stage.db.transaction() as tx:
            write_services(
                tx,
                writes=[
                    catalog.ServiceWrite(
                        id=service_id,
                        name="card",
                        title="Card",
                        former_names=[],
                        telemetry_name="card",
                        team_id=self.stage.teams["payments"],
                        tier=1,
                        source="test",
                        spec={},
                        spec_hash="",
                        operations=[catalog.OperationWrite(name="charge card", match={}, environment="production")],
                        depends_on=[],
                        added=True,
                    )
                ],
                actor=ACTOR,
            )
        return service_id

    def promise(self, *targets: str) -> slo.SyncResult:
        with self.stage.db.transaction() as tx:
            return slo.sync_objectives(
                tx,
                service_id=self.service_id,
                objectives=[
                    slo.ObjectiveSpec(
                        operation_id=self.operation_id,
                        service_id=self.service_id,
                        name="availability",
                        target=Decimal(target),
                        window=timedelta(days=30),
                    )
                    for target in targets
                ],
                actor=ACTOR,
            )

    def new_observer(self, db: Database | None = None) -> Evaluator:
        return Evaluator(
            db=db or self.stage.db, source=self.counts, slice_seconds=60, base_url="https://watchbill.test"
        )

    def live(self, minutes: int, *, bad: int = 0, total: int = 100, reported: bool = True) -> None:
        """Time passes; each minute has its traffic and is evaluated, and the pager works."""
        for _ in range(minutes):
            now = self.stage.clock.now()
            if reported:
                self.counts.others(now)
                self.counts.add(self.key, now, good=total - bad, total=total)
            self.stage.wait(MINUTE)
            self.evaluator.evaluate_once()
            self.stage.work()

    def calm_past(self, minutes: int) -> None:
        now = self.stage.clock.now()
        for ago in range(1, minutes):
            self.counts.add(self.key, now - ago * MINUTE, good=100, total=100)
        self.evaluator.evaluate_once()

    @property
    def view(self) -> slo.SloView:
        with self.stage.db.transaction() as tx:
            [view] = slo.slos(tx, service_id=self.service_id)
        return view

    @property
    def state(self) -> str:
        row = self.view.state
        assert row is not None
        return f"{row.state} {row.tier}" if row.tier else row.state

    def alerts(self) -> list[alerts.Alert]:
        with self.stage.db.transaction() as tx:
            rows = tx.execute(sa.text("SELECT id FROM alert ORDER BY started_at")).scalars().all()
            found = [alerts.lock_alert(tx, alert_id=id) for id in rows]
        return [alert for alert in found if alert is not None]


@pytest.fixture
def watch(stage: Stage) -> Watch:
    return Watch(stage)


def test_a_burning_operation_pages_its_owner_and_ends_by_itself(watch: Watch):
    """slo.firing, slo.recovering: one alert, one page, and words that say why and until when."""
    watch.calm_past(600)
    assert watch.state == "ok"
    watch.live(2, bad=50)
    assert watch.state == "firing page"
    assert watch.stage.addresses() == ["alice"]
    [alert] = watch.alerts()
    assert alert.title.startswith("card · charge card: availability burning")
    assert (alert.urgency, alert.declares, alert.service_name) == ("page", True, "card")
    reason = watch.view.state.reason
    assert "of requests failed in the last" in reason
    assert "If failures stopped now, it would end in about" in reason
    watch.stage.acknowledge("alice")
    watch.live(10)
    assert watch.state == "recovering"
    assert [alert.state for alert in watch.alerts()] == ["resolved"]
    assert watch.stage.addresses() == ["alice"]


def test_each_change_of_state_is_one_ledger_entry(watch: Watch):
    watch.calm_past(600)
    watch.live(2, bad=50)
    watch.live(45)
    with watch.stage.db.transaction() as tx:
        entries = ledger.entries(tx, subject=("slo", watch.view.slo.id))
    assert [entry.name for entry in entries] == ["slo.added", "slo.met", "slo.fired", "slo.recovering"]


def test_a_slow_burn_is_a_ticket_and_wakes_nobody(watch: Watch):
    """slo.firing (ticket)"""
    watch.calm_past(120)
    for _ in range(120):
        watch.live(4)
        watch.live(1, bad=2)
        if watch.state == "firing ticket":
            break
    assert watch.state == "firing ticket"
    assert [alert.urgency for alert in watch.alerts()] == ["ticket"]
    assert watch.stage.addresses() == []


def test_when_telemetry_is_away_what_fires_keeps_firing(watch: Watch):
    """slo.freeze: the alert is neither resolved nor stale, and nobody is paged anew."""
    watch.calm_past(600)
    watch.live(2, bad=50)
    watch.counts.away = True
    watch.stage.acknowledge("alice")
    watch.live(20, reported=False)
    assert watch.state == "firing page"
    assert [alert.state for alert in watch.alerts()] == ["firing"]
    assert "keeps firing" in watch.view.state.reason


def test_when_nobody_reports_what_was_well_is_unmeasured(watch: Watch):
    """slo.freeze, slo.unmeasured"""
    watch.calm_past(600)
    watch.live(12, reported=False)
    assert watch.state == "unmeasured"
    assert watch.stage.addresses() == []
    watch.live(4)
    assert watch.state == "ok"


def test_lost_traffic_pages_the_owner_within_five_minutes_while_others_report(watch: Watch):
    """slo.silence"""
    watch.calm_past(600)
    watch.live(2)
    for _ in range(5):
        watch.live(1, total=0)
        if watch.stage.addresses():
            break
    assert watch.stage.addresses() == ["alice"]

    assert watch.alerts()[0].title == "card · charge card: traffic lost"
    assert watch.view.state.cause == "traffic"
    watch.live(4)
    assert watch.alerts()[0].state == "resolved"


def test_an_observer_that_restarts_neither_forgets_nor_pages_again(watch: Watch):
    watch.calm_past(600)
    watch.live(2, bad=50)
    before = watch.view.state
    watch.evaluator = watch.new_observer()
    watch.stage.clock.advance(timedelta(seconds=70))  # the lease of the one that died
    watch.live(1, bad=50)
    assert watch.view.state.since_at == before.since_at
    assert watch.stage.addresses() == ["alice"]
    assert watch.view.state.total == before.total + 100


@pytest.mark.parametrize("restarted", [False, True])
def test_an_absence_over_the_turn_of_an_hour_leaves_no_hole_in_the_series(watch: Watch, restarted: bool):
    def pass_by(minutes: int) -> None:
        now = watch.stage.clock.now()
        for minute in range(minutes):
            watch.counts.others(now + minute * MINUTE)
            watch.counts.add(watch.key, now + minute * MINUTE, good=90, total=100)
        watch.stage.clock.advance(minutes * MINUTE)
        watch.evaluator.evaluate_once()

    pass_by(5)
    pass_by(48)
    if restarted:
        watch.evaluator = watch.new_observer()
    pass_by(30)
    with watch.stage.db.transaction() as tx:
        stored = slo.buckets(tx, slo_id=watch.view.slo.id, start=tx.now - timedelta(hours=3), end=tx.now)
    assert (watch.view.state.total, sum(total for *_, total in stored)) == (8300, 8300)


def test_only_one_of_two_observers_evaluates(watch: Watch):
    watch.calm_past(10)
    second = watch.new_observer()
    with watch.stage.db.transaction() as tx:
        before = tx.execute(sa.text("SELECT holder FROM slo_evaluator")).scalar_one()
    assert second.evaluate_once() == 0
    assert before == watch.evaluator.holder
    watch.stage.clock.advance(timedelta(seconds=61))
    second.evaluate_once()
    with watch.stage.db.transaction() as tx:
        assert tx.execute(sa.text("SELECT holder FROM slo_evaluator")).scalar_one() == second.holder


def test_a_dead_observer_is_seen_as_stale_and_never_as_recovered(watch: Watch):
    watch.calm_past(600)
    watch.live(2, bad=50)
    watch.stage.wait(timedelta(minutes=7))
    assert [alert.state for alert in watch.alerts()] == ["stale"]
    with watch.stage.db.transaction() as tx:
        assert "The observer is away" in (slo.slo_detail(tx, id=watch.view.slo.id).observer_note or "")


def test_the_database_away_does_not_stop_evaluating_and_is_caught_up(watch: Watch, monkeypatch: pytest.MonkeyPatch):
    watch.calm_past(600)
    watch.live(1)
    url = watch.stage.db.url.rsplit("/", 1)[0] + "/there_is_no_such_database"
    away = Database(url, clock=watch.stage.clock)
    here, watch.evaluator.db = watch.evaluator.db, away
    monkeypatch.setattr("watchbill.features.slo.evaluator.time.monotonic", lambda: watch.stage.clock.now().timestamp())
    watch.evaluator._clock = (watch.stage.clock.now(), watch.stage.clock.now().timestamp())
    try:
        watch.live(3, bad=50)
    finally:
        away.dispose()
    assert watch.stage.addresses() == []
    watch.evaluator.db = here
    watch.live(1, bad=50)
    assert watch.state == "firing page"
    assert watch.stage.addresses() == ["alice"]


def test_changing_a_target_keeps_the_id_the_counts_and_the_history(watch: Watch):
    watch.calm_past(600)
    before = watch.view
    watch.stage.clock.advance(MINUTE)
    assert watch.promise("99") == slo.SyncResult(changed=1)
    assert watch.promise("99") == slo.SyncResult()
    watch.live(2)
    assert watch.view.slo.id == before.slo.id
    assert watch.view.state.total >= before.state.total
    with watch.stage.db.transaction() as tx:
        revisions = slo.slo_detail(tx, id=before.slo.id).revisions
    assert [revision.target for revision in revisions] == [Decimal("99.9"), Decimal("99")]


def test_removing_an_objective_that_fires_ends_its_alert(watch: Watch):
    watch.calm_past(600)
    watch.live(2, bad=50)
    slo_id = watch.view.slo.id
    assert watch.promise() == slo.SyncResult(retired=1)
    watch.stage.work()
    assert [alert.state for alert in watch.alerts()] == ["resolved"]
    watch.stage.clock.advance(MINUTE)
    assert watch.promise("99.9") == slo.SyncResult(added=1)
    assert watch.view.slo.id == slo_id


def test_budget_and_charts_are_read_from_postgresql_alone(watch: Watch):
    watch.calm_past(180)
    watch.live(60, bad=1, total=1000)
    now = watch.stage.clock.now()
    state = watch.view.state
    assert state.bad == 60
    assert state.budget_remaining == (1 - Decimal(60) / (state.total * Decimal("0.001"))).quantize(Decimal("0.000001"))
    with watch.stage.db.transaction() as tx:
        points = slo.series(tx, slo=watch.view.slo, start=now - timedelta(hours=1), end=now)
        few = slo.series(tx, slo=watch.view.slo, start=now - timedelta(hours=1), end=now, max_points=2)
    assert sum(point.bad for point in points) >= 50
    assert points[-1].burn == pytest.approx(1.0)
    assert len(few) == 2
    assert sum(point.total for point in few) == sum(point.total for point in points)
