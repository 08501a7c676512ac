"""What a report means for the change it speaks of. Pure: no I/O, no clock; the reason is a value."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from watchbill.features.changes.model import Change, ChangeReport, Outcome
from watchbill.kernel.errors import Invalid

CLOCK_SKEW = timedelta(minutes=5)
"""A report may be this far ahead of our clock; it then counts as now."""
OLDEST = timedelta(days=400)
WAITED = timedelta(minutes=1)
"""A start that is told again this much later, by who says that it waited, is when it began."""
MOST_COMMITS = 100
LONGEST_VERSION = 200

ENDS = frozenset({"finished", "failed", "cancelled"})


class Fold(msgspec.Struct, frozen=True):
    """The change as it shall be (None: as it is), and why."""

    outcome: Outcome
    change: Change | None
    reason: str


def occurred(report: ChangeReport, *, now: datetime) -> datetime:
    """When it happened, by the source's clock; now when it says nothing.

    Raises:
        Invalid: in the future, or more than 400 days ago.
    """
    at = report.occurred_at
    if at is None:
        return now
    if at > now + CLOCK_SKEW:
        raise Invalid(
            f"the change is said to happen at {at.isoformat()}, which is in the future",
            code="change_in_future",
            field="occurred_at",
            hint="send it when it happens; check the sender's clock",
        )
    if at < now - OLDEST:
        raise Invalid(
            f"the change is said to have happened at {at.isoformat()}, more than 400 days ago",
            code="change_too_old",
            field="occurred_at",
            hint="only the last 400 days are kept",
        )
    return min(at, now)


def fold(known: Change, report: ChangeReport, *, at: datetime, now: datetime) -> Fold:
    """Fold a later report into a known change.

    - A start after anything fills in what was missing and never reopens what has ended.
    - The first end stands. The same end again is no news; a different one is refused, except that a
      failed change may be finished (or cancelled) by a later retry.
    """
    told = _amended(known, report)
    if report.state == "started":
        if report.waited and known.state == "started" and at - known.started_at > WAITED:
            told = msgspec.structs.replace(told, started_at=at, last_at=at)
        if not known.start_seen and known.finished_at is not None and at <= known.finished_at:
            told = msgspec.structs.replace(told, started_at=at, start_seen=True)
        return _if_news(known, told, now, "amended", "the start was told before; details added")
    if known.state == report.state or (known.state == "rolled_back" and report.state == "finished"):
        return _if_news(known, told, now, "amended", f"{report.state} was told before; details added")
    retried = known.state == "failed" and known.finished_at is not None and at >= known.finished_at
    if known.is_over and not retried:
        return Fold("refused", None, f"it is {known.state.replace('_', ' ')} already; the first end stands")
    ended_at = max(at, known.started_at)
    ended = msgspec.structs.replace(told, state=report.state, finished_at=ended_at, last_at=ended_at, updated_at=now)
    return Fold(report.state, ended, "the retry succeeded" if retried else report.state)


def _if_news(known: Change, told: Change, now: datetime, outcome: Outcome, reason: str) -> Fold:
    if told == known:
        return Fold("unchanged", None, "told before")
    return Fold(outcome, msgspec.structs.replace(told, updated_at=now), reason)


def _amended(known: Change, report: ChangeReport) -> Change:
    """What the report adds; what it leaves out stays."""
    more: dict[str, Any] = {
        name: given
        for name in (
            "version",
            "previous_version",
            "author",
            "approver",
            "reversible",
            "is_fix",
            "title",
            "note",
            "committed_at",
        )
        if (given := getattr(report, name)) is not None
    }
    if report.commits:
        more["commits"] = list(dict.fromkeys([*known.commits, *report.commits]))[:MOST_COMMITS]
    urls = {link.url for link in known.links}
    added = [link for link in report.links if link.url not in urls]
    if added:
        more["links"] = [*known.links, *added][:20]
    return msgspec.structs.replace(known, **more)


def title_of(report: ChangeReport) -> str:
    """A line for lists: the source's own, else kind and version."""
    if report.title:
        return report.title[:300]
    noun = {"deploy": "Deploy", "flag": "Flag", "config": "Configuration", "schema": "Schema", "rollback": "Rollback"}
    return f"{noun[report.kind]} {report.version}" if report.version else f"{noun[report.kind]} of {report.service}"
