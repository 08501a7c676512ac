"""Words of rollback: a team's rules, a run with its named end, and the runners that do it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec

RunState = Literal[
    "queued",
    "running",
    "verifying",
    "succeeded",
    "recovered",
    "not_recovered",
    "unverified",
    "failed",
    "timed_out",
    "refused",
    "cancelled",
    "lost",
    "no_runner",
]
"""
queued → running → succeeded, or verifying → recovered | not_recovered | unverified; and each other end by itself:
``refused`` (a rule spoke against it when it was about to begin), ``cancelled`` (a person stopped it, or deployed),
``lost`` (the runner went silent: nobody knows what it did; it is never started again by itself), ``no_runner`` (none
took it in time), ``unverified`` (done, but nothing could say whether it helped).
"""

BUSY: frozenset[str] = frozenset({"queued", "running"})
"""While a run is in one of these, no other may touch its service."""
DONE: frozenset[str] = frozenset({"verifying", "succeeded", "recovered", "not_recovered", "unverified"})
"""The executor did what was asked: once more would undo what was put back."""
ENDED: frozenset[str] = frozenset(
    {
        "succeeded",
        "recovered",
        "not_recovered",
        "unverified",
        "failed",
        "timed_out",
        "refused",
        "cancelled",
        "lost",
        "no_runner",
    }
)

Mode = Literal["automatic", "button", "rehearsal", "dry_run"]
"""``button`` is any person's doing: link, screen, CLI or API. A rehearsal runs for real where nothing is wrong."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What a service's manifest says about undoing it; ``executor`` is None when it says nothing."""

    executor: str | None = None
    plan: dict[str, Any] = {}
    automatic: bool = False
    confidence: float = 0.9
    runner: str | None = None
    timeout: timedelta = timedelta(minutes=5)
    verify_for: timedelta = timedelta(minutes=10)
    verify_window: timedelta | None = None
    kinds: tuple[str, ...] = ("deploy",)


class Runner(msgspec.Struct, frozen=True, kw_only=True):
    """A process that a team operates. It calls us; nobody calls it. ``team_id`` None: an administrator's, for all."""

    id: UUID
    name: str
    team_id: UUID | None
    executors: list[str]
    created_at: datetime
    last_seen_at: datetime | None
    revoked_at: datetime | None


BurnAnswer = Literal["under", "over", "unknown"]
"""Whether an SLO burns under its alert's threshold after a rollback."""


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """An SLO that burned in the incident, and what it must show after a rollback.

    ``factor`` is the burn that its alert tells from, as a multiple of the sustainable one; ``threshold`` the same as a
    share of bad events. With cause ``traffic`` its requests were lost, and its own state says when they are back.
    ``given``: its counts are given by somebody else (`telemetry.GetCounts`).
    """

    slo_id: UUID
    operation_id: UUID
    objective: str
    name: str
    cause: Literal["burn", "traffic"]
    factor: float
    budget_share: float
    window_seconds: int
    unit_seconds: int = 0
    given: bool = False
    unit_share: float | None = None

    @property
    def threshold(self) -> float:
        return self.factor * self.budget_share


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """Events of a stretch of ``seconds``; ``coverage`` is the share of it that was measured."""

    bad: float = 0
    total: float = 0
    coverage: float = 0.0
    seconds: float = 0.0

    @property
    def share(self) -> float | None:
        """The bad share; None without events."""
        return self.bad / self.total if self.total > 0 else None

    @property
    def lasting(self) -> timedelta:
        return timedelta(seconds=self.seconds)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one witness said, in numbers and words."""

    witness: Witness
    answer: BurnAnswer
    words: str
    before: Counted | None = None
    after: Counted | None = None


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """How recovery is judged: by the burn of SLOs, or, where none burned, by the incident's alerts.

    ``chosen`` says in words what is looked at; ``findings`` are of the last look, at ``looked_at``.
    """

    rule: Literal["burn", "alerts"]
    chosen: str
    witnesses: list[Witness] = []
    findings: list[Finding] = []
    looked_at: datetime | None = None
    note: str = ""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One try to put a service back. ``output`` is the end of what the executor wrote, ``output_bytes`` its whole."""

    id: UUID
    number: int
    service_id: UUID
    incident_id: UUID | None
    change_id: UUID | None
    mode: Mode
    state: RunState
    executor: str
    plan: dict[str, Any]
    runner_name: str | None
    environment: str
    version: str | None
    previous_version: str | None
    confidence: float | None
    reason: str
    requested_by_kind: str
    requested_by_id: str
    timeout_seconds: int
    verify_seconds: int
    created_at: datetime
    claimed_by: UUID | None
    lease: UUID | None
    lease_until: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    verify_until: datetime | None
    ended_at: datetime | None
    end_reason: str | None
    exit_code: int | None
    output: str
    output_bytes: int
    cancel_requested: str | None
    verification: Verification | None = None

    @property
    def took_seconds(self) -> float | None:
        """How long the executor worked."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """When a service's rollback was last carried out, on purpose or in need, and how long that took."""

    at: datetime
    took_seconds: float
    mode: Mode


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """The one switch of all automation."""

    automation: bool
    why: str
    changed_at: datetime | None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What may be done about a suspect: alone, by a person's button, or not at all; and every reason."""

    action: Literal["automatic", "button", "nothing"]
    reasons: list[str]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What a runner is handed: everything it needs, nothing secret. Durations in seconds."""

    run_id: UUID
    number: int
    lease: UUID
    service: str
    environment: str
    executor: str
    plan: dict[str, Any]
    version: str | None
    previous_version: str | None
    timeout_seconds: int
    dry_run: bool
    lease_seconds: int
