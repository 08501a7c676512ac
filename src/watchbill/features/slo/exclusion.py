"""Time that is left out of budgets: what an exclusion is, when it holds, and who must sign it. No I/O, no clock.

An exclusion is never edited. It is declared, signed, ended early or revoked, and each of these is kept: so nobody can
choose afterwards, alone and unseen, which failures count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Literal
from uuid import UUID

import msgspec

from watchbill.kernel.durations import format_duration
from watchbill.kernel.errors import Invalid

Status = Literal["waiting", "announced", "in force", "over", "revoked"]
Span = tuple[datetime, datetime]
"""[start, end), aware, whole minutes."""

MINUTE = timedelta(minutes=1)
LONGEST = timedelta(days=7)
AHEAD = timedelta(days=90)
BACK = timedelta(days=400)
"""As long as counts are kept."""
ALONE = Decimal(50)
"""Percent of the time an objective may be down in its window that one signature may exclude, where no manifest says."""


class Exclusion(msgspec.Struct, frozen=True, kw_only=True):
    """A span that does not count, for one SLO or (``slo_id`` None) all of a service in ``environment``.

    ``needs_second`` says why two people must sign; None where one signature is enough. ``first_by`` and ``second_by``
    are people; a token may declare, and then signs nothing. ``ended_at``: it was ended early, there. ``counted_at``:
    since when the stored series know of it as it is now.
    """

    id: UUID
    service_id: UUID
    slo_id: UUID | None
    environment: str
    start_at: datetime
    end_at: datetime
    reason: str
    needs_second: str | None
    created_at: datetime
    actor_kind: str
    actor_id: str
    first_by: UUID | None
    second_by: UUID | None
    second_at: datetime | None
    ended_at: datetime | None
    revoked_at: datetime | None
    revoked_kind: str | None
    revoked_id: str | None
    revoke_reason: str | None
    changed_at: datetime
    counted_at: datetime | None

    @property
    def until_at(self) -> datetime:
        """Where it really ends."""
        return self.end_at if self.ended_at is None else min(self.end_at, self.ended_at)

    @property
    def signed(self) -> bool:
        """Whether it has the signatures that it needs."""
        return self.needs_second is None or (self.first_by is not None and self.second_by is not None)

    @property
    def holds(self) -> bool:
        """Whether its minutes are left out."""
        return self.signed and self.revoked_at is None and self.start_at < self.until_at

    @property
    def span(self) -> Span:
        return self.start_at, self.until_at

    def concerns(self, *, slo_id: UUID, service_id: UUID, environment: str) -> bool:
        """Whether it is about this SLO."""
        if self.slo_id is not None:
            return self.slo_id == slo_id
        return self.service_id == service_id and self.environment == environment


def status(one: Exclusion, *, now: datetime) -> Status:
    """What to call it now."""
    if one.revoked_at is not None:
        return "revoked"
    if not one.signed:
        return "waiting"
    if now < one.start_at:
        return "announced"
    return "in force" if now < one.until_at else "over"


def union(spans: Iterable[Span]) -> list[Span]:
    """The same time without overlaps, oldest first: a minute that is excluded twice is left out once."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def seconds_within(spans: Iterable[Span], start: datetime, end: datetime) -> int:
    """How much of [start, end) these cover."""
    inside = union((max(since, start), min(until, end)) for since, until in spans)
    return sum(int((until - since).total_seconds()) for since, until in inside)


def check_span(start: datetime, end: datetime, *, now: datetime) -> None:
    """Raises Invalid: not whole minutes, empty, too long, too far away."""
    for name, at in (("start_at", start), ("end_at", end)):
        if at.second or at.microsecond:
            raise Invalid("an exclusion is of whole minutes", field=name, hint="write 2026-03-02T09:00:00Z")
    if start >= end:
        raise Invalid("the exclusion ends before it starts", field="end_at", hint="swap the two")
    if end - start > LONGEST:
        raise Invalid(
            f"{format_duration(end - start)} is longer than {format_duration(LONGEST)}",
            field="end_at",
            hint="what is down for longer is no maintenance: change the target, or retire the SLO",
        )
    if start > now + AHEAD:
        raise Invalid(f"it starts more than {format_duration(AHEAD)} ahead", field="start_at", hint="announce it later")
    if start < now - BACK:
        raise Invalid(f"counts are kept for {BACK.days} days", field="start_at", hint="it is in no window any more")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One SLO that an exclusion concerns. ``others``: the spans already left out; ``window``: of its budget."""

    name: str
    window: timedelta
    share: Fraction
    others: Sequence[Span]
    firing: bool


def second_signature(
    span: Span, asked: Sequence[Question], *, now: datetime, incident: int | None, alone: Decimal = ALONE
) -> str | None:
    """Why a second person must sign; None where it was announced ahead and is small.

    1. After the fact: some of it has passed (or is passing).
    2. While users are hurt: an incident of the service is open, or an SLO concerned fires.
    3. Too much: with what is already left out, more than ``alone`` percent of the time an SLO may be down in a window.
    """
    start, end = span
    if start < now:
        return "it is declared after it began"
    if incident is not None:
        return f"incident {incident} of the service is open"
    firing = next((one.name for one in asked if one.firing), None)
    if firing is not None:
        return f"{firing} is burning its budget now"
    for one in asked:
        allowed = one.share * int(one.window.total_seconds())
        spans = [*one.others, span]
        most = max(seconds_within(spans, end - one.window, end), seconds_within(spans, start, start + one.window))
        if most * 100 > Fraction(alone) * allowed:
            return (
                f"{_time(most)} of one window of {one.name} would be left out, over {alone.normalize():f} % of the"
                f" {_time(int(allowed))} it may be down"
            )
    return None


def _time(seconds: int) -> str:
    return format_duration(timedelta(seconds=seconds)) if seconds else "0s"
