"""Words of changes: what was altered, where, by whom, and how it ended."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from watchbill.features.alerts import Link

ChangeKind = Literal["deploy", "flag", "config", "schema", "rollback"]
ChangeState = Literal["started", "finished", "failed", "cancelled", "rolled_back"]
Reversible = Literal["yes", "no", "unknown"]
Outcome = Literal["started", "finished", "failed", "cancelled", "amended", "unchanged", "refused"]

KINDS: tuple[ChangeKind, ...] = ("deploy", "flag", "config", "schema", "rollback")
STATES: tuple[ChangeState, ...] = ("started", "finished", "failed", "cancelled", "rolled_back")
ROLLS: frozenset[ChangeKind] = frozenset({"deploy", "rollback"})
"""Kinds that put a version in place."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One alteration of one service in one environment.

    ``service_id`` is None while nobody owns ``service_name``. ``previous_version`` is what was in place
    before. ``start_seen`` is False for a finish that no start preceded: ``started_at`` then equals
    ``finished_at``. ``last_at`` is ``finished_at``, else ``started_at``. ``external_id`` is the source's
    own identity, unique per integration. ``inferred``: nobody reported it, telemetry showed it.
    """

    id: UUID
    service_id: UUID | None
    service_name: str
    environment: str
    kind: ChangeKind
    state: ChangeState
    title: str
    version: str | None
    previous_version: str | None
    commits: list[str]
    author: str | None
    approver: str | None
    reversible: Reversible
    is_fix: bool
    started_at: datetime
    finished_at: datetime | None
    last_at: datetime
    start_seen: bool
    source: str
    integration_id: UUID
    external_id: str
    links: list[Link]
    inferred: bool
    note: str
    committed_at: datetime | None
    rolled_back_by: UUID | None
    created_at: datetime
    updated_at: datetime

    @property
    def is_over(self) -> bool:
        """Anything but started."""
        return self.state != "started"


class ChangeReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a source says about a change, normalised; None is "says nothing", which never erases what is known.

    ``external_id`` None: the change is found by service, environment, kind and version.
    ``committed_at`` is when the oldest commit of it was made, for the lead time.
    """

    service: str
    state: Literal["started", "finished", "failed", "cancelled"]
    kind: ChangeKind = "deploy"
    environment: str = "production"
    external_id: str | None = None
    title: str | None = None
    version: str | None = None
    previous_version: str | None = None
    commits: list[str] = []
    author: str | None = None
    approver: str | None = None
    reversible: Reversible | None = None
    is_fix: bool | None = None
    occurred_at: datetime | None = None
    committed_at: datetime | None = None
    links: list[Link] = []
    inferred: bool = False
    note: str | None = None
    waited: bool = False
    """It begins only now; what was told before had to wait for an approval or a free runner."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one report; ``reason`` says it in words ("finish without a start", "told before")."""

    outcome: Outcome
    change: Change
    reason: str
