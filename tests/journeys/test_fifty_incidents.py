"""Scripted incidents end with no wrong automatic rollback and every run in a named end state."""

from __future__ import annotations

from tests.journeys.fifty import scenarios
from tests.journeys.fifty_play import broken_promises, play_all, report
from tests.journeys.rollback_stage import RollbackStage
from watchbill.kernel.clock import VirtualClock
from watchbill.runtime.db import Database


def test_a_sample_of_the_fifty_incidents_ends_as_it_must(virtual_db: Database, clock: VirtualClock) -> None:
    """All fifty are played by ``make bench ONLY=fifty_incidents``; each run here takes a second of the suite's time."""
    assert len(list(scenarios())) == 50
    ended = play_all(RollbackStage(virtual_db, clock), every=17)
    assert broken_promises(ended) == []
    assert "0 wrong" in report(ended)
