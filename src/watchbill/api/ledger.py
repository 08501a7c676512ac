"""The ledger: who did what, to what, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.params import FromQuery, QueryParameter

from watchbill.api.given import GivenCaller, GivenDb
from watchbill.api.incidents import Names, with_people
from watchbill.features import identity
from watchbill.runtime import ledger


class LedgerView(msgspec.Struct, frozen=True, kw_only=True):
    """One entry; ``name`` is noun.past_participle."""

    id: int
    at: datetime
    name: str
    by: str
    subject_kind: str
    subject_id: str
    why: str
    data: dict[str, Any]


@get("/ledger", sync_to_thread=True)
def list_entries(
    caller: GivenCaller,
    db: GivenDb,
    name: FromQuery[str | None] = None,
    before: Annotated[int | None, QueryParameter(ge=1, le=2**62)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
) -> list[LedgerView]:
    """Entries newest first (admins). ``name`` filters by a prefix such as ``page.``; ``before`` an id, to page on."""
    identity.require(caller, "administer")
    with db.transaction() as tx:
        names = Names(tx)
        return [
            LedgerView(
                id=entry.id,
                at=entry.at,
                name=entry.name,
                by=names.actor(entry.actor.kind, entry.actor.id),
                subject_kind=entry.subject_kind,
                subject_id=entry.subject_id,
                why=entry.why,
                data=with_people(entry.data, names),
            )
            for entry in ledger.newest(tx, name_prefix=name, before_id=before, limit=limit)
        ]


handlers = [list_entries]
