"""How good an objective's alerts were, or would have been: against what people recorded as incidents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import median

import msgspec

from watchbill.features.slo.model import Tier
from watchbill.features.slo.replay import Told

SLACK = timedelta(minutes=15)
"""An alert belongs to an incident that was recorded up to this much before it fired or after it ended."""
TARGETS = tuple(Decimal(text) for text in ("99.999", "99.99", "99.95", "99.9", "99.5", "99", "98", "95", "90"))
"""What people promise, the strictest first."""
ROOM = 0.8
"""A target is proposed when the worst window of history would have spent at most this share of its budget."""


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """An incident as it was recorded; ``end_at`` None: still open."""

    number: int
    start_at: datetime
    end_at: datetime | None


class WouldHave(msgspec.Struct, frozen=True, kw_only=True):
    """One alert of a replay. ``detected_after_seconds``: from the onset of the trouble until it fired."""

    tier: Tier
    onset_at: datetime
    fired_at: datetime
    until_at: datetime | None
    detected_after_seconds: float
    incidents: list[int]


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """One objective over one history.

    ``precision`` is the share of pages that belong to a recorded incident, ``recall`` the share of incidents that a
    page belongs to; None where there is nothing to divide by. Small counts say little: they are given beside.
    """

    pages: int
    tickets: int
    pages_in_incidents: int
    incidents: int
    incidents_paged: int
    precision: float | None
    recall: float | None
    median_detection_seconds: float | None
    alerts: list[WouldHave]


def judge(told: Sequence[Told], happened: Sequence[Happened], *, slice_seconds: int) -> Judgement:
    """Lay a replay beside the recorded incidents."""
    alerts = [_would_have(one, happened, slice_seconds) for one in told]
    pages = [one for one in alerts if one.tier == "page"]
    matched = sum(1 for one in pages if one.incidents)
    paged = {number for one in pages for number in one.incidents}
    return Judgement(
        pages=len(pages),
        tickets=len(alerts) - len(pages),
        pages_in_incidents=matched,
        incidents=len(happened),
        incidents_paged=len(paged),
        precision=matched / len(pages) if pages else None,
        recall=len(paged) / len(happened) if happened else None,
        median_detection_seconds=median(one.detected_after_seconds for one in pages) if pages else None,
        alerts=alerts,
    )


def _would_have(one: Told, happened: Sequence[Happened], slice_seconds: int) -> WouldHave:
    fired_at = _at(one.fired + 1, slice_seconds)  # a slice is known when it is over
    until_at = None if one.until is None else _at(one.until + 1, slice_seconds)
    return WouldHave(
        tier=one.tier,
        onset_at=_at(one.onset, slice_seconds),
        fired_at=fired_at,
        until_at=until_at,
        detected_after_seconds=(one.fired + 1 - one.onset) * slice_seconds,
        incidents=[
            incident.number
            for incident in happened
            if (incident.end_at is None or fired_at <= incident.end_at + SLACK)
            and (until_at is None or until_at >= incident.start_at - SLACK)
        ],
    )


def propose(worst: float, *, dependencies: Sequence[tuple[str, Decimal]]) -> tuple[Decimal | None, str]:
    """The strictest usual target that history leaves room for, and why.

    Args:
        worst: the largest share of bad events over any window (`replay.worst_burn`).
        dependencies: what each service this one depends on promises (name, percent). Needed on every call, they bound
            what can be promised: the product of their targets.
    """
    bound = Decimal(1)
    for _, target in dependencies:
        bound *= target / 100
    for target in TARGETS:
        share = float(1 - target / 100)
        if worst <= ROOM * share and target / 100 <= bound:
            spent = worst / share
            return target, (
                f"the worst window of this history failed {100 * worst:.4g} % and would have spent {100 * spent:.0f} %"
                f" of its budget{_bounded(target, bound, dependencies)}"
            )
    if dependencies and bound < TARGETS[-1] / 100:
        weakest = min(dependencies, key=lambda pair: pair[1])
        return None, f"{weakest[0]} promises {weakest[1].normalize():f} %: nothing above that can be promised on it"
    return None, f"the worst window failed {100 * worst:.4g} %: no usual target leaves room; mend that first"


def _bounded(target: Decimal, bound: Decimal, dependencies: Sequence[tuple[str, Decimal]]) -> str:
    stricter = [one for one in TARGETS if one > target]
    if not dependencies or not stricter or stricter[-1] / 100 <= bound:
        return ""
    weakest = min(dependencies, key=lambda pair: pair[1])
    return (
        f"; you cannot promise {stricter[-1].normalize():f} on dependencies that together promise"
        f" {100 * bound:.4g} ({weakest[0]}: {weakest[1].normalize():f})"
    )


def _at(number: int, slice_seconds: int) -> datetime:
    return datetime.fromtimestamp(number * slice_seconds, UTC)
