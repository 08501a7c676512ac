"""What an apply is about: the documents of all its files, and the world that they meet."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal
from uuid import UUID

import msgspec

from watchbill.kernel.errors import Problem
from watchbill.manifest.documents import (
    DEFAULT_OPERATION,
    Member,
    Operation,
    ServiceManifest,
    TeamManifest,
)
from watchbill.runtime.ledger import Actor
from watchbill.runtime.yaml import Document, Path, field

_encoder = msgspec.json.Encoder(order="deterministic")


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file as sent. ``named``: the user named it, so it must be a manifest; else others are passed over."""

    path: str
    text: str
    named: bool = False


class _Item:
    """A document that could be read."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def problem(
        self,
        code: str,
        message: str,
        path: Path,
        hint: str,
        *,
        severity: Literal["error", "warning"] = "error",
        key: bool = False,
    ) -> Problem:
        """A problem at ``path`` of this document."""
        return Problem(
            code=code,
            message=message,
            place=self.document.place(path, key=key),
            field=field(path),
            hint=hint or None,
            severity=severity,
        )


class TeamItem(_Item):
    """A Team document."""

    def __init__(self, document: Document, manifest: TeamManifest) -> None:
        super().__init__(document)
        self.manifest = manifest
        self.name = manifest.metadata.name
        self.members = [
            Member(login=each.lower()) if isinstance(each, str) else Member(login=each.login.lower(), role=each.role)
            for each in manifest.spec.members
        ]

    @cached_property
    def logins(self) -> list[str]:
        """Everybody in the team."""
        return [member.login for member in self.members]

    @property
    def rotating(self) -> list[str]:
        """Who takes turns by default: everybody but shadows."""
        return [member.login for member in self.members if member.role != "shadow"]

    @property
    def has_lead(self) -> bool:
        return any(member.role == "lead" for member in self.members)


class ServiceItem(_Item):
    """A Service document."""

    def __init__(self, document: Document, manifest: ServiceManifest) -> None:
        super().__init__(document)
        self.manifest = manifest
        self.name = manifest.metadata.name

    @property
    def operations(self) -> list[Operation]:
        """As written; one over everything where none is written."""
        written = self.manifest.spec.operations
        return [DEFAULT_OPERATION] if written is None else written

    @property
    def telemetry_name(self) -> str:
        telemetry = self.manifest.spec.telemetry
        return self.name if telemetry is None else telemetry.service_name


Item = TeamItem | ServiceItem


class Bundle:
    """All documents of one apply."""

    def __init__(self, teams: Sequence[TeamItem], services: Sequence[ServiceItem]) -> None:
        self.teams = teams
        self.services = services

    @cached_property
    def logins(self) -> frozenset[str]:
        """Everybody who is in a team of this bundle."""
        return frozenset(login for item in self.teams for login in item.logins)


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What is known beside the bundle: from the server, or nothing when there is none.

    ``external`` is true when a name that is not known may still exist elsewhere.
    """

    teams: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    logins: frozenset[str] = frozenset()
    fallback: str | None = None
    external: bool = False


class Applying(msgspec.Struct, kw_only=True):
    """What the sections get to work with: the documents that are written, and the ids of everything named."""

    source: str
    actor: Actor
    teams: list[TeamItem]
    services: list[ServiceItem]
    removed_teams: list[UUID]
    removed_services: list[UUID]
    team_ids: dict[str, UUID]
    service_ids: dict[str, UUID]
    people: dict[str, UUID]
    operation_ids: dict[tuple[UUID, str], UUID] = {}


def spec_of(item: Item) -> dict[str, Any]:
    """The ``spec`` as plain JSON data, without what equals the defaults; numbers like targets stay exact text."""
    spec: dict[str, Any] = msgspec.to_builtins(item.manifest.spec)
    return spec


def hash_of(item: Item) -> str:
    """Equal for two documents that mean the same, whatever their layout, comments and order of keys."""
    metadata = item.manifest.metadata
    content = _encoder.encode((metadata.title, metadata.formerly, item.manifest.spec))
    return hashlib.sha256(content).hexdigest()
