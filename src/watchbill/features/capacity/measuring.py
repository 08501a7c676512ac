"""What operations call, measured every night over their traces. numpy is imported here."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import structlog

from watchbill.features import catalog
from watchbill.features.capacity import fanout, reads, store
from watchbill.features.capacity.model import Journey
from watchbill.features.telemetry import GetCalls, Observer
from watchbill.kernel.errors import Unavailable
from watchbill.runtime.bulk import upsert_many
from watchbill.runtime.db import Database, Tx

log = structlog.get_logger("watchbill.capacity")

JOURNEYS_A_NIGHT = 500


def measure_journeys(db: Database, observer: Observer) -> int:
    """Ask what operations call, those measured longest ago first; returns how many were measured."""
    with db.transaction() as tx:
        now = tx.now
        services = {one.id: one for one in catalog.services(tx)}
        seen = {(one.service_id, one.operation): one.measured_at for one in reads.journeys(tx)}
        wanted = sorted(
            (one for one in catalog.operations(tx) if one.service_id in services),
            key=lambda one: (seen.get((one.service_id, one.name)) or datetime.min.replace(tzinfo=now.tzinfo),
                             services[one.service_id].tier),
        )[:JOURNEYS_A_NIGHT]  # fmt: skip
    measured = 0
    for operation in wanted:
        question = GetCalls(
            service_name=services[operation.service_id].telemetry_name,
            environment=operation.environment,
            start_at=now - timedelta(days=1),
            end_at=now,
            name=operation.match.get("route") or operation.match.get("spanName"),
        )
        try:
            traces = observer.ask(question)
        except Unavailable as error:
            log.warning("what operations call was not measured", why=str(error), left=len(wanted) - measured)
            return measured
        found = fanout.estimate(traces)
        if not found:
            continue
        with db.transaction() as tx:
            write_journey(
                tx,
                Journey(
                    service_id=operation.service_id,
                    operation=operation.name,
                    measured_at=tx.now,
                    traces=len(traces),
                    fanouts=found,
                ),
            )
        measured += 1
    return measured


def write_journey(tx: Tx, journey: Journey) -> None:
    """Keep what an operation calls."""
    row = msgspec.to_builtins(journey, builtin_types=(UUID, datetime))
    upsert_many(tx, store.capacity_journey, [row], keys=("service_id", "operation"))
