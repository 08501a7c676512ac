"""After a rollback real spans in a real ClickHouse say whether it helped, did not, or cannot tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.contract.telemetry.test_counts import spans
from tests.journeys.rollback_stage import RollbackStage
from watchbill.features import catalog, incidents, rollback
from watchbill.features.slo.evaluator import Evaluator
from watchbill.features.telemetry import TelemetryStore, asking
from watchbill.kernel.clock import VirtualClock
from watchbill.manifest import File, Options, apply_files
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

STEP = timedelta(seconds=30)
SERVICE = """
apiVersion: watchbill/v1
kind: Service
metadata: {{name: {name}}}
spec:
  owner: payments
  tier: 2
  rollback: {{verifyFor: 2m, verifyWindow: 30s, shell: {{command: [put-back, "{{previous_version}}"]}}}}
  operations:
    - name: charge card
      match: {{spanName: POST /charge}}
      objectives: [{{name: availability, target: 99.5, window: 1d}}]
"""


def test_a_rollback_helps_does_not_help_or_nothing_can_say(
    store: TelemetryStore, virtual_db: Database, clock: VirtualClock
) -> None:
    """rollback.recovery"""
    clock.move_to(datetime.now(UTC).replace(microsecond=0))
    stage = RollbackStage(virtual_db, clock)
    stage.executor_takes = timedelta()
    stage.world.away = True  # versions are compared elsewhere; what is asked here are counts
    stage.world.counts = lambda question: asking.answer(store.engine, question)
    stage.team("payments", "alice", "bob")
    names = ["better", "still", "silent"]
    with virtual_db.transaction() as tx:
        files = [File(path=f"{name}.yaml", text=SERVICE.format(name=name)) for name in names]
        apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))
        stage.services = {one.name: one.id for one in catalog.services(tx)}
    observer = Evaluator(db=virtual_db, source=store, slice_seconds=5, base_url="http://watchbill.test")

    def live(steps: int, **bad: int) -> None:
        """Eight requests of each in every five seconds, so many of them bad; of one with -1 there are none."""
        for _ in range(steps):
            now = clock.now()
            batch = []
            for name, failing in bad.items():
                for second in range(0, int(STEP.total_seconds()), 5) if failing >= 0 else ():
                    at = now + timedelta(seconds=second)
                    failed = {"http.response.status_code": 500}
                    batch.append(spans(8 - failing, at=at, service=name))
                    if failing:
                        batch.append(spans(failing, at=at, service=name, attributes=failed))
            store.insert_traces(batch)
            stage.runner_seen()
            stage.pass_time(STEP, step=STEP / 3)
            observer.evaluate_once()
            stage.work()

    live(1, better=0, still=0, silent=0)
    deployed = [stage.deploy(name, "v2") for name in names]
    live(2, better=3, still=3, silent=3)
    with virtual_db.transaction() as tx:
        opened = incidents.incident_list(tx, state="open")
        assert len(opened) == 3
        for change in deployed:
            assert change is not None
            [mine] = [one for one in opened if change.service_name in one.title]
            rollback.press(tx, change_id=change.id, incident=mine, caller=stage.caller("alice"), via="test")
    live(2, better=3, still=3, silent=-1)  # the one runner takes one run after the other
    assert {run.state for run in stage.runs()} == {"verifying"}
    live(5, better=0, still=3, silent=-1)
    ended = {change.service_name: run for run in stage.runs() for change in deployed if change.id == run.change_id}  # type: ignore[union-attr]  # each was told
    assert {name: run.state for name, run in ended.items()} == {
        "better": "recovered",
        "still": "not_recovered",
        "silent": "unverified",
    }
    said = {name: run.end_reason or "" for name, run in ended.items()}
    assert "the burn is over: better · charge card (availability) burns 0.0× (it alerts from" in said["better"]
    assert " before: 0 of " in said["better"]
    assert "it still burns, so it was not (only) this change: still · charge card" in said["still"]
    assert "nothing can say whether it helped: silent · charge card (availability): no requests came" in said["silent"]
    verification = ended["still"].verification
    assert verification is not None
    assert [found.answer for found in verification.findings] == ["over"]
    number = {one.title: one.number for one in opened}
    still = next(value for title, value in number.items() if "still" in title)
    timeline = {entry.name: entry.why for entry in stage.incident(still).timeline}
    assert "must burn under the alert's threshold for 30s" in timeline["rollback.done"]
    assert timeline["rollback.not_recovered"] == said["still"]
    found = stage.ranking(still)
    assert found is not None
    undone = [one.service for one in found.suspects if any(each.kind == "undone" for each in one.evidence)]
    assert undone == ["still"]
    assert found.suspects[0].service != "still"
