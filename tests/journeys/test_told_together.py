"""Several senders tell one deploy in the same moment, in any order: it is one change all the same."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from watchbill.features import alerts, changes
from watchbill.features.changes import ChangeReport
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

SENDERS = ("deploys", "github", "argocd")


def test_reports_of_three_senders_at_once_make_one_change_each_round(database_url: str) -> None:
    """deploy.once"""
    db = Database(database_url, pool_size=6, pool_wait_seconds=30)
    with db.transaction() as tx:
        ids = {name: alerts.builtin_integration(tx, name=name).id for name in SENDERS}

    def tell(sender: str, state: str, number: int) -> None:
        report = ChangeReport(
            service="payments",
            state="started" if state == "started" else "finished",
            version=f"v{number}",
            external_id=f"{sender}-{number}",
        )
        with db.transaction() as tx:
            changes.record_change(
                tx, report=report, integration_id=ids[sender], source=sender, actor=ledger.system("test")
            )

    with ThreadPoolExecutor(6) as pool:
        for number in range(8):
            reports = [(sender, state, number) for sender in SENDERS for state in ("started", "finished")]
            random.Random(number).shuffle(reports)
            for done in [pool.submit(tell, *report) for report in reports]:
                done.result(20)
    with db.transaction() as tx:
        found = changes.newest_changes(tx, limit=100)
    db.dispose()
    assert Counter(one.version for one in found) == Counter(f"v{number}" for number in range(8))
    assert {one.state for one in found} == {"finished"}
