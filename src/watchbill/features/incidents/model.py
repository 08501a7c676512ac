"""Words of incidents: the unit of response."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

Phase = Literal["suspected", "declared"]
IncidentState = Literal["open", "resolved"]
IncidentSeverity = Literal["sev1", "sev2", "sev3", "sev4"]


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """Opens as suspected; declared when users are hurt. ``number`` is what people say aloud.

    ``team_id`` owns it (the owner of the first harmed service, or the fallback team when
    ``unowned``); ``settle_at`` is when an undeclared, recovered incident resolves by itself. One that was
    merged into another is resolved, and ``merged_into`` is that one.
    """

    id: UUID
    number: int
    title: str
    phase: Phase
    state: IncidentState
    severity: IncidentSeverity
    environment: str
    service_id: UUID | None
    team_id: UUID | None
    unowned: bool
    opened_at: datetime
    declared_at: datetime | None
    resolved_at: datetime | None
    settle_at: datetime | None
    resolution: str | None
    resolved_by: UUID | None
    merged_into: UUID | None = None


class EvidenceAction(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can be done about a line of evidence; ``name`` says what, ``subject`` to which thing.

    ``reply`` is the word that asks for it in a text message (empty: by link only).
    """

    name: str
    subject: UUID
    label: str
    reply: str = ""


class EvidenceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line that helps whoever is paged, and what they can do about it at once."""

    text: str
    action: EvidenceAction | None = None
