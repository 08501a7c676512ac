"""Maintenance that is left out of a budget, and what happens when little of it remains: real PostgreSQL, real pager."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from tests.journeys.stage import ACTOR, Stage
from tests.journeys.test_slo_burn import MINUTE, Watch
from watchbill.api import slo_names
from watchbill.features import catalog, gates, slo
from watchbill.features.slo.exclusion_store import slo_exclusion
from watchbill.features.slo.store import slo_series
from watchbill.kernel.errors import Conflict, Forbidden, Invalid
from watchbill.runtime import ledger
from watchbill.runtime.db import Database


@pytest.fixture
def watch(stage: Stage) -> Watch:
    return Watch(stage)


def the_slo(watch: Watch) -> slo.Slo:
    with watch.stage.db.transaction() as tx:
        [view] = slo.slos(tx)
    return view.slo


def state(watch: Watch) -> slo.StateRow:
    with watch.stage.db.transaction() as tx:
        [view] = slo.slos(tx)
    assert view.state is not None
    return view.state


def live(watch: Watch, minutes: int, *, bad: int = 0, total: int = 100) -> None:
    """Minutes of traffic, evaluated as they end."""
    for _ in range(minutes):
        watch.counts.add(watch.key, watch.stage.clock.now(), good=total - bad, total=total)
        watch.stage.clock.advance(MINUTE)
        watch.evaluator.evaluate_once()


def quiet(watch: Watch, minutes: int, *, total: int = 100) -> None:
    """Minutes of good traffic, evaluated once at their end."""
    for _ in range(minutes):
        watch.counts.add(watch.key, watch.stage.clock.now(), good=total, total=total)
        watch.stage.clock.advance(MINUTE)
    watch.evaluator.evaluate_once()


def floor(watch: Watch):
    return watch.stage.clock.now().replace(second=0, microsecond=0)


def declare(watch: Watch, start, minutes: int, *, by: str = "alice") -> slo.Exclusion:
    one = the_slo(watch)
    person = watch.stage.people[by]
    with watch.stage.db.transaction() as tx:
        return slo.declare_exclusion(
            tx,
            wanted=slo.Wanted(
                service_id=one.service_id,
                slo_id=None,
                environment="production",
                start_at=start,
                end_at=start + minutes * MINUTE,
            ),
            reason="database upgrade",
            actor=ledger.person(person),
            person_id=person,
        )


def alerts_of(db: Database) -> list[tuple[str, str, str]]:
    with db.transaction() as tx:
        rows = tx.execute(sa.text("SELECT identity, state, urgency FROM alert ORDER BY identity"))
        return [(row.identity.partition(":")[0], row.state, row.urgency) for row in rows]


def entries(watch: Watch, *names: str) -> list[str]:
    with watch.stage.db.transaction() as tx:
        rows = tx.execute(
            sa.text("SELECT name FROM ledger_entry WHERE name = ANY(:names) ORDER BY id"), {"names": list(names)}
        )
        return [row.name for row in rows]


def test_announced_maintenance_pages_nobody_and_costs_no_budget(watch: Watch) -> None:
    """slo.exclusion, slo.exclusion_alerts: announced ahead one signature does, and no alert counts it."""
    quiet(watch, 40)
    made = declare(watch, floor(watch) + 2 * MINUTE, 12)
    assert made.needs_second is None
    live(watch, 2)
    live(watch, 10, bad=100)
    during = state(watch)
    assert during.state == "ok"
    assert "Excluded until" in during.reason
    assert "1000 of 1000 events failed" in during.reason
    live(watch, 2, bad=100)
    quiet(watch, 5)
    after = state(watch)
    assert (after.state, after.bad, after.excluded_bad, after.excluded_seconds) == ("ok", 0, 1200, 720)
    assert after.budget_remaining == 1
    assert after.budget_without is not None
    assert after.budget_without < 0
    assert alerts_of(watch.stage.db) == []
    # it still fails after its end: at once as always
    live(watch, 4, bad=100)
    assert state(watch).state == "firing"


def test_afterwards_two_people_must_sign_and_a_revocation_puts_everything_back(watch: Watch) -> None:
    """slo.exclusion, slo.exclusion_history: two people after the fact; everything about it is kept."""
    quiet(watch, 70)
    begin = floor(watch)
    live(watch, 6, bad=50)
    quiet(watch, 130)
    spent = state(watch)
    assert spent.bad == 300
    made = declare(watch, begin, 6)
    assert made.needs_second == "it is declared after it began"
    live(watch, 1)
    assert state(watch).bad == 300  # one signature is not enough
    with watch.stage.db.transaction() as tx:
        alice, bob = watch.stage.people["alice"], watch.stage.people["bob"]
        with pytest.raises(Forbidden):
            slo.sign_exclusion(tx, exclusion_id=made.id, person_id=alice, actor=ledger.person(alice))
        slo.sign_exclusion(tx, exclusion_id=made.id, person_id=bob, actor=ledger.person(bob))
    live(watch, 1)
    signed = state(watch)
    assert (signed.bad, signed.excluded_bad, signed.budget_remaining) == (0, 300, 1)
    one = the_slo(watch)
    with watch.stage.db.transaction() as tx:
        rows = tx.execute(sa.select(slo_series.c.bad, slo_series.c.excluded_bad)).all()
        assert sum(map(sum, (row.bad for row in rows))) == 300  # the series keeps what happened
        assert sum(sum(row.excluded_bad or ()) for row in rows) == 300
        points = slo.series(tx, slo=one, start=begin - timedelta(hours=2), end=tx.now)
        assert sum(point.bad for point in points) == 0
        hour = begin.replace(minute=0)
        [line] = slo.kept(tx, start=hour, end=hour + timedelta(hours=2))
        assert (line.bad, line.excluded_bad, line.kept) == (0, 300, True)
        assert line.spent_without is not None
        assert line.spent_without > 1
        [said] = slo_names.excluded(tx, one, hour, hour + timedelta(hours=2))
        assert said.startswith("6 minutes excluded by ")
        assert said.endswith(": database upgrade")
        assert tx.execute(sa.select(slo_exclusion.c.counted_at)).scalar_one() is not None
        with pytest.raises(Invalid):
            slo.revoke_exclusion(tx, exclusion_id=made.id, reason=" ", actor=ledger.person(alice))
        slo.revoke_exclusion(tx, exclusion_id=made.id, reason="it was no maintenance", actor=ledger.person(alice))
        with pytest.raises(Conflict):
            slo.revoke_exclusion(tx, exclusion_id=made.id, reason="again, please", actor=ledger.person(alice))
    live(watch, 1)
    back = state(watch)
    assert (back.bad, back.excluded_seconds, back.budget_without) == (300, 0, None)
    with watch.stage.db.transaction() as tx:
        assert all(row.excluded_bad is None for row in tx.execute(sa.select(slo_series.c.excluded_bad)))
    names = ("slo.exclusion_declared", "slo.exclusion_signed", "slo.exclusion_revoked")
    assert entries(watch, *names) == list(names)


def test_a_budget_policy_tells_the_team_once_stops_the_gate_and_says_what_lifted_it(watch: Watch) -> None:
    """slo.budget_policy: once per window and direction, with the rule named by the gate, and what lifted it."""
    with watch.stage.db.transaction() as tx:
        rules = (
            slo.Rule(remaining=Decimal(50), do=("ticket",)),
            slo.Rule(remaining=Decimal(20), do=("freeze", "postmortem")),
        )
        said = {("team", watch.stage.teams["payments"]): slo.BudgetPolicy(rules=rules)}
        assert slo.sync_policies(tx, said=said, actor=ACTOR) == 1
        assert slo.sync_policies(tx, said=said, actor=ACTOR) == 0
    quiet(watch, 100, total=1000)
    live(watch, 1, bad=60, total=1000)  # of 101 allowed
    live(watch, 2, total=1000)
    live(watch, 1, bad=35, total=1000)
    live(watch, 1, total=1000)
    one = the_slo(watch)

    def crossed() -> list[tuple[str, str, str, bool]]:
        with watch.stage.db.transaction() as tx:
            found = slo.crossings(tx, slo_id=one.id)
        return [(f"{c.threshold.normalize():f}", c.direction, c.cause, c.told) for c in reversed(found)]

    assert crossed() == [("0.5", "down", "spent", True), ("0.2", "down", "spent", True)]
    tickets = [alert for alert in alerts_of(watch.stage.db) if alert[0] == "slo-budget"]
    assert tickets == [("slo-budget", "firing", "ticket")] * 2
    with watch.stage.db.transaction() as tx:
        service = catalog.service(tx, id=watch.service_id)
        decision, _ = gates.look_at_gate(tx, service=service, environment="production")
        assert decision.answer == "no-go"
        assert any(reason.code == "budget_freeze" for reason in decision.reasons)
        due = next(c for c in slo.crossings(tx, slo_id=one.id) if c.review_due)
        bob = watch.stage.people["bob"]
        with pytest.raises(Invalid, match="link"):
            slo.review_crossing(
                tx, crossing_id=due.id, slo_id=one.id, text="we talked about it", person_id=bob, actor=ACTOR
            )
        text = "retries get a budget: https://wiki.example.org/pm/12"
        slo.review_crossing(tx, crossing_id=due.id, slo_id=one.id, text=text, person_id=bob, actor=ACTOR)
    watch.promise("99")  # a softer promise lifts it, and it says so
    live(watch, 1, total=1000)
    assert crossed()[2:] == [("0.5", "up", "target", True), ("0.2", "up", "target", True)]
    assert {alert[1] for alert in alerts_of(watch.stage.db) if alert[0] == "slo-budget"} == {"resolved"}
    watch.promise("99.9")  # and back within the window: the level falls, nobody is told twice
    live(watch, 1, total=1000)
    assert crossed()[4:] == [("0.5", "down", "target", False), ("0.2", "down", "target", False)]
    assert {alert[1] for alert in alerts_of(watch.stage.db) if alert[0] == "slo-budget"} == {"resolved"}
    with watch.stage.db.transaction() as tx:
        decision, _ = gates.look_at_gate(tx, service=service, environment="production")
        assert any(reason.code == "budget_freeze" for reason in decision.reasons)
        assert len(slo.slo_detail(tx, id=one.id).revisions) == 3  # what was promised when is kept
    assert entries(watch, "slo.policy_changed", "slo.budget_fell", "slo.budget_rose", "slo.budget_reviewed") == [
        "slo.policy_changed", "slo.budget_fell", "slo.budget_fell", "slo.budget_reviewed",
        "slo.budget_rose", "slo.budget_rose", "slo.budget_fell", "slo.budget_fell",
    ]  # fmt: skip


def silent(watch: Watch, minutes: int) -> None:
    """Nothing of the operation, while others report."""
    for _ in range(minutes):
        watch.counts.others(watch.stage.clock.now())
        watch.stage.clock.advance(MINUTE)
        watch.evaluator.evaluate_once()


def test_silence_of_a_maintenance_is_no_lost_traffic_and_silence_after_it_is(watch: Watch) -> None:
    """slo.exclusion_alerts, slo.silence: what it lets expect is not lowered by the excluded minutes."""
    quiet(watch, 90)
    declare(watch, floor(watch) + MINUTE, 12)
    live(watch, 1)
    silent(watch, 12)
    assert (state(watch).state, alerts_of(watch.stage.db)) == ("ok", [])
    silent(watch, 5)
    after = state(watch)
    assert (after.state, after.cause) == ("firing", "traffic")
