"""What a look after a rollback says when telemetry is away, and when it was traffic that was lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from watchbill.features.rollback import Run, Verification, VerifyRun, Witness
from watchbill.features.rollback.verifying import Job
from watchbill.features.slo import StateRow
from watchbill.kernel.errors import Unavailable

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ID = UUID(int=1)


class Away:
    """An observer that does not answer."""

    def ask(self, question: Any) -> Any:
        raise Unavailable("the observer does not answer", code="observer_away")


def witness(cause: str) -> Witness:
    return Witness(
        slo_id=ID, operation_id=ID, objective="availability", name="shop · pay (availability)", cause=cause,  # type: ignore[arg-type]  # a word
        factor=14.4, budget_share=0.001, window_seconds=60,
    )  # fmt: skip


def job(cause: str, **more: Any) -> Job:
    chosen = Verification(rule="burn", chosen="", witnesses=[witness(cause)])
    run = Run(
        id=ID, number=1, service_id=ID, incident_id=ID, change_id=ID, mode="button", state="verifying",
        executor="shell", plan={}, runner_name=None, environment="production", version="v2", previous_version="v1",
        confidence=None, reason="", requested_by_kind="person", requested_by_id="", timeout_seconds=60,
        verify_seconds=600, created_at=NOW - timedelta(minutes=6), claimed_by=ID, lease=None, lease_until=None,
        started_at=NOW - timedelta(minutes=6), finished_at=NOW - timedelta(minutes=5),
        verify_until=NOW + timedelta(minutes=5), ended_at=None, end_reason=None, exit_code=0, output="",
        output_bytes=0, cancel_requested=None, verification=chosen,
    )  # fmt: skip
    return Job(run=run, now=NOW, slice_seconds=5, witnesses=chosen.witnesses, **more)


def test_an_observer_that_is_away_proves_nothing() -> None:
    """rollback.recovery"""
    looked = VerifyRun(observer=Away()).perform(job("burn"))
    assert [(each.answer, each.words) for each in looked.findings] == [
        ("unknown", "shop · pay (availability): not measured, the observer does not answer")
    ]
    assert looked.still is None


@pytest.mark.parametrize(
    ("state", "minutes_ago", "answer"),
    [("ok", 1, "under"), ("firing", 1, "over"), ("unmeasured", 1, "unknown"), ("ok", 5, "unknown")],
)
def test_lost_traffic_is_back_when_its_objective_says_so_after_the_rollback(
    state: str, minutes_ago: int, answer: str
) -> None:
    row = StateRow(
        slo_id=ID, state=state, tier="page" if state == "firing" else None,  # type: ignore[arg-type]  # a word
        cause="traffic" if state == "firing" else None, reason="traffic lost", since_at=NOW,
        evaluated_at=NOW - timedelta(minutes=minutes_ago), budget_remaining=None, bad=0, total=0, burn=None,
        exhausted_at=None, windows=[], memory={},
    )  # fmt: skip
    looked = VerifyRun(observer=Away()).perform(job("traffic", states={ID: row}))
    assert [each.answer for each in looked.findings] == [answer]
