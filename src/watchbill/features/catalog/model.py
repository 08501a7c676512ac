"""Who owns what: teams, their members, services, operations and dependencies."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec

MemberRole = Literal["lead", "member", "shadow"]
"""A shadow watches and learns: notified with the others, but may not acknowledge."""

Kind = Literal["Team", "Service"]


class Team(msgspec.Struct, frozen=True, kw_only=True):
    """A group of people that answers for services.

    ``id`` is permanent, ``name`` may change (``former_names`` still find it). ``spec`` is the validated
    ``spec`` of its manifest, with the manifest's own keys (``onCall``, ``escalation`` …). ``source`` is
    the name under which it was applied. ``fallback``: pages of unowned alerts come here.
    """

    id: UUID
    name: str
    title: str
    former_names: list[str]
    source: str
    spec: dict[str, Any]
    spec_hash: str
    fallback: bool
    removed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """Something that runs, owned by exactly one team.

    ``tier`` is 1 (most critical) to 4. ``telemetry_name`` is its OpenTelemetry ``service.name``.
    """

    id: UUID
    name: str
    title: str
    former_names: list[str]
    telemetry_name: str
    team_id: UUID
    tier: int
    source: str
    spec: dict[str, Any]
    spec_hash: str
    removed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """Something a user does with a service, such as "place order".

    ``match`` holds any of ``route``, ``spanName`` and ``attributes``; empty means every root or SERVER
    span of the service.
    """

    id: UUID
    service_id: UUID
    name: str
    match: dict[str, Any]
    environment: str
    position: int
    removed_at: datetime | None


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A person in a team; ``position`` is the order in the manifest, which is the order of the rotation."""

    team_id: UUID
    person_id: UUID
    role: MemberRole
    position: int


class Dependencies(NamedTuple):
    """What a service calls, and what calls it."""

    depends_on: frozenset[UUID]
    dependents: frozenset[UUID]


class FieldChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One field that differs; ``before`` or ``after`` is None where there was or will be nothing."""

    field: str
    before: Any = None
    after: Any = None


class TeamWrite(msgspec.Struct, frozen=True, kw_only=True):
    """A team as it shall be. ``id`` is new or that of the team it replaces (``added`` says which)."""

    id: UUID
    name: str
    title: str
    former_names: list[str]
    source: str
    spec: dict[str, Any]
    spec_hash: str
    fallback: bool
    members: list[tuple[UUID, MemberRole]]
    added: bool
    changes: list[FieldChange] = []


class OperationWrite(msgspec.Struct, frozen=True, kw_only=True):
    """An operation as it shall be; its id is found by its name within the service."""

    name: str
    match: dict[str, Any]
    environment: str


class ServiceWrite(msgspec.Struct, frozen=True, kw_only=True):
    """A service as it shall be, with its operations and the services it depends on."""

    id: UUID
    name: str
    title: str
    former_names: list[str]
    telemetry_name: str
    team_id: UUID
    tier: int
    source: str
    spec: dict[str, Any]
    spec_hash: str
    operations: list[OperationWrite]
    depends_on: list[UUID]
    added: bool
    changes: list[FieldChange] = []


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the catalog holds under a name. A removed one comes back under its old id."""

    kind: Kind
    id: UUID
    name: str
    title: str
    former_names: list[str]
    source: str
    spec_hash: str
    removed: bool
    fallback: bool = False


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One place that manifests are applied from, usually a repository; ``changed_at`` is its last real change."""

    name: str
    applied_at: datetime
    changed_at: datetime
