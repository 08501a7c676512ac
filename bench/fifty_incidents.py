"""Fifty scripted incidents on a virtual clock and a real database: wrong rollbacks, and who is blamed first.

The peer is "latest change": what a person asks first, "what changed last?".
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bench.results import Result
from tests.journeys.fifty_play import broken_promises, play_all, report
from tests.journeys.rollback_stage import RollbackStage
from watchbill.kernel.clock import VirtualClock
from watchbill.runtime import migrate
from watchbill.runtime.db import Database
from watchbill.runtime.postgres import EmbeddedPostgres

NAMES = ("suspects_top1",)


def run() -> list[Result]:
    """Play all fifty; each broken promise is printed, and counts as a wrong rollback."""
    with tempfile.TemporaryDirectory(prefix="wbbench-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's user must get in when root starts it
        postgres = EmbeddedPostgres(Path(folder))
        url = postgres.start()
        try:
            migrate.upgrade(url)
            clock = VirtualClock(datetime(2026, 3, 2, 9, 0, tzinfo=UTC))
            db = Database(url, name="bench", clock=clock)
            try:
                ended = play_all(RollbackStage(db, clock))
            finally:
                db.dispose()
        finally:
            postgres.stop()
    broken = broken_promises(ended)
    for line in broken:
        print(f"     broken: {line}")
    print(f"     {report(ended)}")
    caused = [each for each in ended if each.guilty]
    ours = sum(each.top in each.guilty for each in caused) / len(caused)
    latest = sum(each.latest in each.guilty for each in caused) / len(caused)
    return [
        Result(
            name="fifty_incidents",
            value=len(broken),
            unit="of 50 with a wrong rollback or no named end",
            better="lower",
            limit="none",
            limit_value=0,
        ),
        Result(
            name="suspects_top1",
            value=round(ours, 3),
            unit="of incidents have the guilty change first",
            better="higher",
            peer="latest change",
            peer_value=round(latest, 3),
            ratio=round(ours / latest, 2),
            limit="better than the latest change",
            limit_value=round(latest, 3),
        ),
    ]
