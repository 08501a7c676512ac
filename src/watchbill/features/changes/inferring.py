"""Deploys that nobody reported: a ``service.version`` that telemetry had not seen shows itself.

Only a version that appears beside or after another one is a deploy: with the first version ever seen, nothing changed.
A report is waited for, so that a deploy that is reported is not told twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from watchbill.features import alerts, catalog
from watchbill.features.changes import actions, store
from watchbill.features.changes.model import ChangeReport
from watchbill.features.changes.sameness import names_version
from watchbill.features.telemetry import SeenVersion
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx

INTEGRATION = "telemetry"
WAIT_FOR_REPORT = timedelta(minutes=5)
"""A version must have been seen for this long: whoever deploys it reports it meanwhile."""
LOOK_BACK = timedelta(hours=2)
"""A version silent for longer that shows itself again was put in place again."""
_RECENT = timedelta(minutes=30)
_TOLD_WITHIN = timedelta(hours=6)


def appeared(seen: Sequence[SeenVersion], *, now: datetime) -> list[tuple[SeenVersion, str]]:
    """The versions that were put in place lately, each with the one that was there before.

    ``seen`` is what sent spans in the last `LOOK_BACK`. A version is new when it was first seen in the last half hour,
    at least `WAIT_FOR_REPORT` ago, and another version of the service was seen before it.
    """
    found: list[tuple[SeenVersion, str]] = []
    for one in seen:
        if not now - _RECENT <= one.first_at <= now - WAIT_FOR_REPORT:
            continue
        before = [
            other
            for other in seen
            if (other.service_name, other.environment) == (one.service_name, one.environment)
            and other.version != one.version
            and other.first_at < one.first_at
        ]
        if before:
            found.append((one, max(before, key=lambda other: (other.last_at, other.first_at)).version))
    return found


def infer_deploys(tx: Tx, *, seen: Sequence[SeenVersion]) -> int:
    """Record what `appeared` and nobody reported; returns how many. Seeing it again records nothing."""
    new = appeared(seen, now=tx.now)
    if not new:
        return 0
    names = {service.telemetry_name: service.name for service in catalog.services(tx)}
    source = alerts.builtin_integration(tx, name=INTEGRATION)
    recorded = 0
    for one, before in new:
        name = names.get(one.service_name, one.service_name)
        told = store.between(
            tx,
            start_at=one.first_at - _TOLD_WITHIN,
            end_at=tx.now + timedelta(seconds=1),
            service_ids=None,
            environment=one.environment,
            kinds=None,
            limit=None,
        )
        if any(change.service_name == name and names_version(change, one.version) for change in told):
            continue
        done = actions.record_change(
            tx,
            report=ChangeReport(
                service=name,
                state="finished",
                environment=one.environment,
                external_id=f"{name}/{one.environment}/{one.version}/{one.first_at:%Y-%m-%dT%H:%M}",
                version=one.version,
                previous_version=before,
                occurred_at=one.first_at,
                inferred=True,
                note="nobody reported it: telemetry began to name this version",
            ),
            integration_id=source.id,
            source=INTEGRATION,
            actor=ledger.system("telemetry"),
        )
        recorded += done.outcome == "finished"
    return recorded
