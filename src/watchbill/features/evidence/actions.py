"""Evidence is taken over from telemetry, and forgotten when nobody has told it for long."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog

from watchbill.features import catalog
from watchbill.features.evidence import logic
from watchbill.features.evidence.model import Line
from watchbill.features.evidence.store import evidence_line
from watchbill.features.telemetry import SeenEvidence
from watchbill.runtime import ledger
from watchbill.runtime.bulk import upsert_many
from watchbill.runtime.db import Tx

KEPT = timedelta(days=400)
BATCH = 5000
_KEYS = ("service_name", "environment", "dependency", "primitive", "setting")
_TOLD = 20
_LOCK = 0x65766964
"""The bytes of "evid"."""

log = structlog.get_logger("watchbill.evidence")


def record_evidence(tx: Tx, *, seen: Sequence[SeenEvidence]) -> int:
    """Take over what telemetry has seen; returns how many lines were written. Seeing it again writes nothing.

    One ledger entry for each service that showed something new or was drilled.
    """
    named = [one for one in seen if one.service_name]
    if not named:
        return 0
    tx.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})  # two observers see the same at once
    rows = tx.execute(
        sa.select(evidence_line)
        .where(evidence_line.c.service_name == sa.any_(sa.literal(_names(named), sa.ARRAY(sa.Text))))
        .order_by(*(evidence_line.c[key] for key in _KEYS))
        .with_for_update()
    )
    known = {line.key: line for line in (msgspec.convert(row, Line, from_attributes=True) for row in rows)}
    found = logic.fold(known, named)
    written = sorted(found.write, key=lambda line: line.key)
    upsert_many(tx, evidence_line, [msgspec.structs.asdict(line) for line in written], keys=_KEYS, keep=("first_at",))
    _explain(tx, found)
    for service in sorted({line.service_name for line in found.refused}):
        log.warning("evidence is refused: too many lines of one service", service=service, most=logic.MOST_LINES)
    return len(written)


def _names(seen: Sequence[SeenEvidence]) -> list[str]:
    return sorted({one.service_name for one in seen})


def _explain(tx: Tx, found: logic.Fold) -> None:
    changed = sorted({(line.service_name, line.environment) for line in (*found.new, *found.drilled)})
    if not changed:
        return
    services = {name: one for one in catalog.services(tx) for name in (one.name, one.telemetry_name)}
    for name, environment in changed:
        of = (name, environment)
        new = [line for line in found.new if (line.service_name, line.environment) == of and line.primitive != "drill"]
        drilled = sorted({line.dependency for line in found.drilled if (line.service_name, line.environment) == of})
        words = [f"{line.dependency}: {line.primitive} {line.setting}".rstrip() for line in new]
        why = "; ".join(
            [
                *([f"first seen: {', '.join(words[:_TOLD])}{' …' if len(words) > _TOLD else ''}"] if words else []),
                *([f"drilled on: {', '.join(drilled[:_TOLD])}"] if drilled else []),
            ]
        )
        service = services.get(name)
        data: dict[str, Any] = {"service": name, "environment": environment, "new": words[:200], "drilled": drilled}
        ledger.append(
            tx,
            name="evidence.seen",
            actor=ledger.system("telemetry"),
            subject=("service", service.id if service else name),
            team_id=service.team_id if service else None,
            why=why,
            data=data,
        )


def forget_evidence(tx: Tx, *, limit: int = BATCH) -> int:
    """Delete up to ``limit`` lines that nobody has told for 400 days, the oldest first; returns how many."""
    keys = [evidence_line.c[key] for key in _KEYS]
    oldest = (
        sa.select(*keys)
        .where(evidence_line.c.reported_at < tx.now - KEPT)
        .order_by(evidence_line.c.reported_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("oldest")
    )
    same = sa.and_(*(evidence_line.c[key] == oldest.c[key] for key in _KEYS))
    return tx.execute(sa.delete(evidence_line).where(same)).rowcount
