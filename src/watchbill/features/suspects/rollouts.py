"""Every deploy is judged while it rolls out: beside the version that still serves, or before and after.

Looked at again and again for half an hour; the test behind a verdict allows for any number of looks. The newest verdict
of a deploy stands under the deploy's own id; one that says worse, or no worse, is in the ledger once.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import msgspec
import structlog

from watchbill.features import catalog, changes
from watchbill.features.suspects import measuring, store
from watchbill.features.suspects.looking import Asks
from watchbill.features.suspects.model import Verdict
from watchbill.kernel.errors import WatchbillError
from watchbill.runtime import ledger
from watchbill.runtime.db import Database, Tx

JUDGED_FOR = timedelta(minutes=30)
MOST = 40
"""Deploys that are looked at in one pass, the newest."""

log = structlog.get_logger("watchbill.suspects")


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """A young deploy of a service, and what to ask about it."""

    change_id: UUID
    title: str
    service_id: UUID
    service: str
    team_id: UUID
    environment: str
    measurement: measuring.Measurement


def young_rollouts(tx: Tx) -> list[Rollout]:
    """The deploys of the last half hour that go on or have finished, the newest first."""
    found = [
        change
        for change in changes.changes_between(
            tx, start_at=tx.now - JUDGED_FOR, end_at=tx.now + timedelta(seconds=1), kinds=["deploy"]
        )
        if change.service_id is not None
        and change.version is not None
        and change.state in ("started", "finished")
        and change.started_at >= tx.now - JUDGED_FOR
    ][:MOST]
    ids = {change.service_id for change in found if change.service_id is not None}
    services = {service.id: service for service in catalog.services(tx, ids=ids)} if ids else {}
    return [
        Rollout(
            change_id=change.id,
            title=change.title,
            service_id=service.id,
            service=service.name,
            team_id=service.team_id,
            environment=change.environment,
            measurement=measuring.Measurement(
                service_name=service.telemetry_name,
                environment=change.environment,
                changed_at=change.started_at,
                version=change.version,
                previous_version=change.previous_version,
            ),
        )
        for change in found
        if (service := services.get(change.service_id)) is not None  # type: ignore[arg-type]  # each has one: see above
    ]


def judge_rollouts(db: Database, observer: Asks) -> int:
    """One pass; returns 0: one pass does all. While the observer is away the verdicts stay as they are."""
    with db.transaction() as tx:
        young, now = young_rollouts(tx), tx.now
    for rollout in young:
        try:
            asked = observer.ask(measuring.question(rollout.measurement, now=now))
        except WatchbillError as error:
            log.info("rollouts are not judged", why=error.problem.message)
            return 0
        found = measuring.judge(rollout.measurement, asked)
        if found.answer != "not enough data":
            with db.transaction() as tx:
                write_verdict(tx, rollout, found)
    return 0


def write_verdict(tx: Tx, rollout: Rollout, found: Verdict) -> None:
    """Keep it; an answer that is new is an entry, and whoever looks at the service sees it."""
    before = store.keep_verdict(
        tx, id=rollout.change_id, service_id=rollout.service_id, environment=rollout.environment, found=found
    )
    if before == found.answer:
        return
    tx.hint("watchbill_live", f"change:{rollout.service}")
    if found.answer in ("worse", "no worse") or before == "worse":
        ledger.append(
            tx,
            name="change.judged",
            actor=ledger.system("suspects"),
            subject=("change", rollout.change_id),
            team_id=rollout.team_id,
            why=found.words,
            data={"answer": found.answer, "before": before, "title": rollout.title, "confidence": found.confidence},
        )
