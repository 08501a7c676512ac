"""What screens, the API and readiness checks read of evidence: from PostgreSQL only."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from watchbill.features import catalog
from watchbill.features.evidence import logic
from watchbill.features.evidence.model import Line, ServiceEvidence
from watchbill.features.evidence.store import evidence_line
from watchbill.runtime.db import Tx

PRODUCTION = "production"


def evidence_of(tx: Tx, *, service: catalog.Service, environment: str = PRODUCTION) -> ServiceEvidence:
    """What a service has shown of the protections of each of its dependencies, and what it has not."""
    names = [service.telemetry_name, service.name, *service.former_names]
    rows = tx.execute(
        sa.select(evidence_line).where(
            evidence_line.c.service_name == sa.any_(sa.literal(names, sa.ARRAY(sa.Text))),
            evidence_line.c.environment == environment,
        )
    )
    lines = [msgspec.convert(row, Line, from_attributes=True) for row in rows]
    needed = catalog.dependencies(tx, service_id=service.id).depends_on
    declared = [
        logic.Declared(
            name=one.name, title=one.title, names=frozenset({one.name, one.telemetry_name, *one.former_names})
        )
        for one in (catalog.services(tx, ids=needed) if needed else [])
    ]
    return logic.judge(lines, service=service.name, environment=environment, declared=declared, now=tx.now)


def environments_of(tx: Tx, *, service: catalog.Service) -> list[str]:
    """Where the service has told anything, by name."""
    names = [service.telemetry_name, service.name, *service.former_names]
    return list(
        tx.execute(
            sa.select(evidence_line.c.environment)
            .where(evidence_line.c.service_name == sa.any_(sa.literal(names, sa.ARRAY(sa.Text))))
            .distinct()
            .order_by(evidence_line.c.environment)
        ).scalars()
    )
