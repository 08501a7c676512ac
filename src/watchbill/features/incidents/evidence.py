"""Lines of evidence that other features add to an incident: shown on its screen and in the messages of its pages."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features.incidents.actions import LIVE
from watchbill.features.incidents.model import EvidenceLine, Incident
from watchbill.features.incidents.store import incident_evidence
from watchbill.runtime.db import Tx


def put_evidence(tx: Tx, *, incident: Incident, source: str, lines: Sequence[EvidenceLine]) -> bool:
    """Replace what ``source`` said before; False when it says the same again."""
    said = msgspec.to_builtins(list(lines))
    known = tx.execute(
        sa.select(incident_evidence.c.lines).where(
            incident_evidence.c.incident_id == incident.id, incident_evidence.c.source == source
        )
    ).scalar()
    if known == said or (known is None and not said):
        return False
    values = {"lines": said, "written_at": tx.now}
    statement = insert(incident_evidence).values(incident_id=incident.id, source=source, **values)
    tx.execute(statement.on_conflict_do_update(index_elements=["incident_id", "source"], set_=values))
    tx.hint(LIVE, f"incident:{incident.number}")
    return True


def evidence_of(tx: Tx, *, incident_id: UUID) -> list[EvidenceLine]:
    """All lines, by source."""
    rows = tx.execute(
        sa.select(incident_evidence.c.lines)
        .where(incident_evidence.c.incident_id == incident_id)
        .order_by(incident_evidence.c.source)
    )
    return [msgspec.convert(line, EvidenceLine) for lines in rows.scalars() for line in lines]
