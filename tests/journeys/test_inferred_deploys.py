"""A version that telemetry begins to name, and that nobody reported, is a deploy too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from watchbill.features import alerts, changes
from watchbill.features.changes import ChangeReport
from watchbill.features.changes.inferring import WAIT_FOR_REPORT, appeared
from watchbill.features.telemetry import SeenVersion
from watchbill.kernel.clock import VirtualClock
from watchbill.manifest import File, Options, apply_files
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
SHOP = """
apiVersion: watchbill/v1
kind: Team
metadata: {name: payments}
spec: {members: [alice@example.org]}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: payments-api}
spec: {owner: payments, telemetry: {serviceName: payments}}
"""


def seen(version: str, first: int, last: int = 0, *, service: str = "payments") -> SeenVersion:
    """A version first and last seen so many minutes ago."""
    return SeenVersion(
        service_name=service,
        environment="production",
        version=version,
        first_at=NOW - timedelta(minutes=first),
        last_at=NOW - timedelta(minutes=last),
    )


def apply_shop(db: Database) -> None:
    with db.transaction() as tx:
        files = [File(path="shop.yaml", text=SHOP)]
        apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))


def test_a_new_version_is_a_deploy_once_and_says_that_it_is_inferred(virtual_db: Database, clock: VirtualClock) -> None:
    apply_shop(virtual_db)
    rolled_out = [seen("v1", 119, 6), seen("v2", 7)]
    for expected in (1, 0):
        with virtual_db.transaction() as tx:
            assert changes.infer_deploys(tx, seen=rolled_out) == expected
    with virtual_db.transaction() as tx:
        [found] = changes.changes_between(tx, start_at=NOW - timedelta(hours=1), end_at=tx.now)
    assert (found.service_name, found.version, found.previous_version, found.inferred) == (
        "payments-api",
        "v2",
        "v1",
        True,
    )
    assert found.started_at == NOW - timedelta(minutes=7)


def test_a_deploy_that_was_reported_is_not_told_twice(virtual_db: Database) -> None:
    apply_shop(virtual_db)
    with virtual_db.transaction() as tx:
        changes.record_change(
            tx,
            report=ChangeReport(service="payments-api", state="started", version="v2"),
            integration_id=alerts.builtin_integration(tx, name="deploys").id,
            source="api",
            actor=ledger.system("test"),
        )
        assert changes.infer_deploys(tx, seen=[seen("v1", 119, 6), seen("v2", 7)]) == 0


def test_the_first_version_ever_seen_changed_nothing(virtual_db: Database) -> None:
    with virtual_db.transaction() as tx:
        assert changes.infer_deploys(tx, seen=[seen("v1", 7), seen("v9", 119, service="checkout")]) == 0


def test_a_change_of_a_service_nobody_owned_is_its_own_once_the_service_is_applied(virtual_db: Database) -> None:
    with virtual_db.transaction() as tx:
        changes.record_change(
            tx,
            report=ChangeReport(service="payments-api", state="finished", version="v1"),
            integration_id=alerts.builtin_integration(tx, name="deploys").id,
            source="api",
            actor=ledger.system("test"),
        )
        [unowned] = changes.changes_between(tx, start_at=NOW - timedelta(hours=1), end_at=NOW + timedelta(hours=1))
    assert unowned.service_id is None
    apply_shop(virtual_db)
    with virtual_db.transaction() as tx:
        owned = changes.change(tx, id=unowned.id)
        [entry] = [e for e in ledger.newest(tx, limit=50) if e.name == "change.adopted"]
    assert owned.service_id is not None
    assert entry.subject_id == str(unowned.id)


versions = st.lists(
    st.builds(
        lambda version, first, length: seen(version, first, max(0, first - length)),
        st.sampled_from(["v1", "v2", "v3", "v4"]),
        st.integers(0, 120),
        st.integers(0, 120),
    ),
    unique_by=lambda one: one.version,
)


@given(versions)
def test_what_appeared_came_after_something_and_was_waited_for(found: list[SeenVersion]) -> None:
    for one, before in appeared(found, now=NOW):
        assert one.first_at <= NOW - WAIT_FOR_REPORT
        assert before != one.version
        assert any(other.version == before and other.first_at < one.first_at for other in found)
