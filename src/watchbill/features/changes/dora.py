"""The five measures of DORA for one service, and services that are deployed in lockstep. Pure.

Definitions: https://dora.dev/guides/dora-metrics/ (change lead time, deployment frequency, failed deployment
recovery time, change fail rate, deployment rework rate). They are for the team itself to see where it stands;
nothing here compares teams.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from statistics import median

import msgspec

from watchbill.features.changes.model import Change

ENOUGH = 10
"""Below this many deploys a share says little; it is shown with its interval and told so."""
BLAMED_WITHIN = timedelta(hours=1)
"""An incident that opens within this after a deploy, with no later one in between, counts as that deploy's."""
TOGETHER = timedelta(minutes=15)
LOCKSTEP_SHARE = 0.6
LOCKSTEP_LEAST = 3

Trouble = tuple[datetime, datetime | None]
"""(opened, resolved) of a declared incident of the service."""


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure with the number it rests on. ``low`` and ``high`` bound a share (95 %, Wilson)."""

    value: float | None
    count: int
    low: float | None = None
    high: float | None = None
    enough: bool = False


class Dora(msgspec.Struct, frozen=True, kw_only=True):
    """``frequency`` deploys per week; times in seconds (medians); rates as shares of the deploys."""

    days: int
    deploys: int
    frequency: Measure
    lead_time: Measure
    fail_rate: Measure
    recovery_time: Measure
    rework_rate: Measure


class Lockstep(msgspec.Struct, frozen=True, kw_only=True):
    """``together`` of ``deploys`` deploys of a service had one of ``service`` within a quarter of an hour."""

    service: str
    together: int
    deploys: int


def measure(changes: Sequence[Change], troubles: Sequence[Trouble], *, days: int, now: datetime) -> Dora:
    """The five measures over the last ``days``, from the changes of one service in one environment.

    A deploy failed when it was rolled back or told as failed, when a rollback or fix was the next change, or
    when a declared incident opened within an hour of it. It was recovered from when that rollback or fix had
    finished, or the incident was resolved, whichever came first.
    """
    since = now - timedelta(days=days)
    ended = sorted((one for one in changes if one.is_over and one.state != "cancelled"), key=lambda c: c.last_at)
    deploys = [one for one in ended if one.kind == "deploy" and since <= one.last_at <= now]
    reached = [one for one in deploys if one.state in ("finished", "rolled_back")]
    failed: list[Change] = []
    recoveries: list[float] = []
    for one in deploys:
        following = next((c for c in ended if c.last_at > one.last_at and c.kind in ("deploy", "rollback")), None)
        repair = following if following is not None and (following.kind == "rollback" or following.is_fix) else None
        blamed = [t for t in troubles if _blamed(one, following, t[0])]
        if one.state in ("failed", "rolled_back") or repair is not None or blamed:
            failed.append(one)
            ends = [ended_at for _, ended_at in blamed if ended_at is not None]
            if repair is not None:
                ends.append(repair.last_at)
            if ends:
                recoveries.append((min(ends) - one.last_at).total_seconds())
    leads = [(one.last_at - one.committed_at).total_seconds() for one in reached if one.committed_at is not None]
    fixes = sum(one.is_fix for one in deploys)
    return Dora(
        days=days,
        deploys=len(deploys),
        frequency=Measure(value=len(reached) / (days / 7), count=len(reached), enough=len(reached) >= ENOUGH),
        lead_time=_median([each for each in leads if each >= 0]),
        fail_rate=_share(len(failed), len(deploys)),
        recovery_time=_median([each for each in recoveries if each >= 0]),
        rework_rate=_share(fixes, len(deploys)),
    )


def _blamed(one: Change, following: Change | None, opened_at: datetime) -> bool:
    if not one.started_at <= opened_at <= one.last_at + BLAMED_WITHIN:
        return False
    return following is None or opened_at < following.started_at


def _median(values: Sequence[float]) -> Measure:
    return Measure(value=median(values) if values else None, count=len(values), enough=len(values) >= ENOUGH)


def _share(hits: int, of: int) -> Measure:
    if of == 0:
        return Measure(value=None, count=0)
    low, high = wilson(hits, of)
    return Measure(value=hits / of, count=of, low=low, high=high, enough=of >= ENOUGH)


def wilson(hits: int, of: int, *, z: float = 1.96) -> tuple[float, float]:
    """The Wilson score interval of a share (E. B. Wilson, 1927), 95 %."""
    share = hits / of
    middle = share + z * z / (2 * of)
    spread = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def lockstep(changes: Iterable[Change], *, service: str) -> list[Lockstep]:
    """Services that are deployed together with this one: at least three times, and most of the time.

    It is shown because services that can only go out together fail, and are rolled back, together.
    """
    by_service: dict[str, list[datetime]] = defaultdict(list)
    for one in changes:
        if one.kind == "deploy" and one.state in ("finished", "rolled_back"):
            by_service[one.service_name].append(one.last_at)
    own = by_service.pop(service, [])
    found = []
    for other, instants in by_service.items():
        together = sum(any(abs(at - mine) <= TOGETHER for at in instants) for mine in own)
        if together >= LOCKSTEP_LEAST and together / len(own) >= LOCKSTEP_SHARE:
            found.append(Lockstep(service=other, together=together, deploys=len(own)))
    return sorted(found, key=lambda each: (-each.together, each.service))
