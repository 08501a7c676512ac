"""What a service has shown of how it stands the failure of what it calls."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

Answer = Literal["pass", "fail", "unknown"]
Key = tuple[str, str, str, str, str]
"""Service, environment, dependency, primitive, setting."""

State = Literal["at_work", "unused", "idle", "stale"]
"""Used lately; configured and never used; configured, and no call for a while; no longer told."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One protection of one dependency with one setting, as a service told it, in any language.

    ``service_name`` is the ``service.name`` of its telemetry. ``used_at`` None: configured, never used. ``senseless``:
    the last value told was no Unix time in seconds.
    """

    service_name: str
    environment: str
    dependency: str
    primitive: str
    setting: str
    used_at: datetime | None
    reported_at: datetime
    first_at: datetime
    senseless: bool = False

    @property
    def key(self) -> Key:
        return (self.service_name, self.environment, self.dependency, self.primitive, self.setting)


class Protection(msgspec.Struct, frozen=True, kw_only=True):
    """One primitive of a dependency; ``settings`` are those in force. ``says`` is for people."""

    primitive: str
    settings: list[str]
    state: State
    used_at: datetime | None
    reported_at: datetime
    says: str


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One question of readiness: is there a timeout, a breaker, was it drilled on?"""

    primitive: str
    answer: Answer
    why: str


class DependencyEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What protects calls to one dependency.

    ``declared``: it is in the service's ``dependsOn``. ``answer`` is the worst of its checks: fail, then unknown.
    """

    dependency: str
    title: str
    declared: bool
    answer: Answer
    checks: list[Check]
    protections: list[Protection]
    says: str


class ServiceEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that one service has shown in one environment.

    ``reported_at`` is when it last told anything, None when it never did. ``own`` are protections of the service
    itself (its limiter, its switches). ``problems`` are lines that could not be read as the contract has them.
    """

    service: str
    environment: str
    answer: Answer
    says: str
    reported_at: datetime | None
    dependencies: list[DependencyEvidence]
    own: list[Protection]
    problems: list[str]
