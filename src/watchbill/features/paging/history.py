"""Pages of the past with who was asked and who answered, for replays."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa

from watchbill.features import incidents
from watchbill.features.incidents import Incident
from watchbill.features.paging import store
from watchbill.features.paging.model import Page
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx

_ANSWERS = frozenset({"page.acknowledged", "page.snoozed", "page.handed_over"})


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody was asked, at ``at``."""

    at: datetime
    person_id: UUID


class PastPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page as it really went: who was asked when, who answered when, and the services of its incident."""

    page: Page
    incident: Incident
    service_ids: list[UUID]
    asked: list[Asked]
    answered: list[tuple[datetime, UUID | None]]


def past_pages(tx: Tx, *, since: datetime, limit: int) -> list[PastPage]:
    """Pages opened from ``since`` on, oldest first; those of tests, and those that people opened, are left out."""
    rows = tx.execute(
        sa.select(store.page).where(store.page.c.created_at >= since).order_by(store.page.c.created_at).limit(limit)
    )
    pages = [page for page in map(store.to_page, rows) if _routed(page)]
    services = incidents.services_of(tx, incident_ids=[page.incident_id for page in pages])
    sent = store.notifications_of(tx, page_ids=[page.id for page in pages])
    asked: dict[UUID, dict[tuple[datetime, UUID], None]] = {}
    for one in sent:
        if one.person_id is not None and not one.watching:
            asked.setdefault(one.page_id, {})[one.queued_at, one.person_id] = None
    found: list[PastPage] = []
    for page in pages:
        incident = incidents.incident_by_id(tx, incident_id=page.incident_id)
        if incident is None or not services.get(page.incident_id):
            continue
        entries = ledger.entries(tx, subject=("page", page.id))
        found.append(
            PastPage(
                page=page,
                incident=incident,
                service_ids=services[page.incident_id],
                asked=[Asked(at=at, person_id=person) for at, person in asked.get(page.id, {})],
                answered=[(entry.at, entry.actor.person_id) for entry in entries if entry.name in _ANSWERS],
            )
        )
    return found


def _routed(page: Page) -> bool:
    """Opened by an alert, in its first epoch; what a person did to it later is theirs to repeat."""
    return page.reason != "a test of reaching you" and not page.reason.startswith(("reassigned", "a responder"))


def interruptions(tx: Tx, *, team_id: UUID, since: datetime) -> list[Asked]:
    """Each time that one of the team's pages asked a person, once however many ways it reached them."""
    sent, page = store.notification, store.page
    query = (
        sa.select(sa.func.min(sent.c.queued_at).label("at"), sent.c.person_id)
        .join(page, page.c.id == sent.c.page_id)
        .where(
            page.c.team_id == team_id,
            page.c.created_at >= since,
            sent.c.person_id.is_not(None),
            ~sent.c.watching,
            page.c.reason != "a test of reaching you",
        )
        .group_by(sent.c.page_id, sent.c.epoch, sent.c.step, sent.c.person_id)
    )
    return [Asked(at=row["at"], person_id=row["person_id"]) for row in tx.execute(query).mappings()]
