"""Whether a rollback helped, as a pure decision: the burn of what hurt, over a window that lies after it.

An SLO that burned must burn under its alert's threshold over the alert's short window, all of it after the executor was
done, with enough of it measured, and with requests enough that the old failures would have shown. Few requests prove
nothing either way: Chernoff's bound on the binomial tail (H. Chernoff, 1952) says how likely such a count is by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from watchbill.features.changes import same_version
from watchbill.features.rollback.model import BurnAnswer, Counted, Finding, RunState, Witness
from watchbill.kernel.durations import rough_duration

GRACE = timedelta(seconds=15)
"""What is newer may still be on its way from an exporter."""
MIN_COVERAGE = 0.5
"""Less than half of the window measured is not enough to say anything."""
CHANCE = 0.05
MIN_BAD = 2
"""One failure does not say that it still burns, however few the requests are."""
FEW = 10
"""So many failures over the threshold speak for themselves."""


def window_of(wanted: timedelta, *, verify_for: timedelta, slice_seconds: int, unit_seconds: int = 0) -> timedelta:
    """How long the burn must stay under: what is wanted, but no longer than is left of the time to verify.

    Whole slices (time slices of ``unit_seconds``, where the objective counts those), one at least.
    """
    unit = max(slice_seconds, unit_seconds)
    room = verify_for - GRACE - timedelta(seconds=2 * unit)
    return timedelta(seconds=max(1, min(wanted, room).total_seconds() // unit) * unit)


def stretch(
    *, now: datetime, finished_at: datetime, window: timedelta, slice_seconds: int, unit_seconds: int = 0
) -> tuple[datetime, datetime, datetime] | None:
    """(the first instant after the rollback, the window's start, its end), in whole slices; None until it is full."""
    unit = max(slice_seconds, unit_seconds)
    first = -(-math.ceil(finished_at.timestamp()) // unit) * unit
    end = math.floor((now - GRACE).timestamp()) // unit * unit
    start = end - int(window.total_seconds())
    if start < first:
        return None
    return datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)


def judge(witness: Witness, *, before: Counted, latest: Counted, since: Counted) -> Finding:
    """What one SLO says.

    Args:
        before: its events in as long a window before the rollback began: how it was.
        latest: in the newest window. since: in all the time since the rollback, for when that window has too few.
    """
    answer, said = _answer(witness, before=before, counted=latest)
    counted = latest
    if answer == "unknown" and since.total > latest.total:
        wider, words = _answer(witness, before=before, counted=since)
        if wider != "unknown":
            answer, said, counted = wider, words, since
    return Finding(witness=witness, before=before, after=counted, answer=answer, words=said)


def _answer(witness: Witness, *, before: Counted, counted: Counted) -> tuple[BurnAnswer, str]:
    name, share = witness.name, counted.share
    if counted.coverage < MIN_COVERAGE:
        return "unknown", f"{name}: only {counted.coverage:.0%} of the time since was measured"
    if share is None:
        return "unknown", f"{name}: no requests came since"
    burn = f"{name} burns {_times(share / witness.budget_share)} (it alerts from {_times(witness.factor)})"
    was = f", {_times(before.share / witness.budget_share)} before" if before.share is not None else ""
    of = f"{counted.bad:.4g} of {counted.total:.0f} failed in {rough_duration(counted.lasting)}"
    if share > witness.threshold:
        enough = counted.bad >= FEW or chance_above(counted.bad, counted.total, witness.threshold) <= CHANCE
        if counted.bad >= MIN_BAD and enough:
            return "over", f"{burn}{was}: {of}"
        return "unknown", f"{burn}, but {of}: too few to tell"
    old = before.share if before.share is not None and before.share > witness.threshold else 2 * witness.threshold
    if chance_below(counted.bad, counted.total, old) > CHANCE:
        return "unknown", f"{name}: {of}, too few to tell it from what was before"
    return "under", f"{burn}{was}: {of}"


def chance_below(bad: float, total: float, share: float) -> float:
    """At most how likely so few failures are when each request fails with probability ``share``."""
    if total <= 0 or bad / total >= share:
        return 1.0
    return math.exp(-total * _divergence(bad / total, min(share, 1.0)))


def chance_above(bad: float, total: float, share: float) -> float:
    """At most how likely so many failures are when each request fails with probability ``share``."""
    if total <= 0 or bad / total <= share:
        return 1.0
    return math.exp(-total * _divergence(bad / total, share))


def _divergence(seen: float, share: float) -> float:
    """Kullback and Leibler's, of two coins; infinite where ``share`` makes what was seen impossible."""
    apart = 0.0
    for one, other in ((seen, share), (1 - seen, 1 - share)):
        if one > 0:
            if other <= 0:
                return math.inf
            apart += one * math.log(one / other)
    return apart


def conclude(findings: Sequence[Finding], *, now: datetime, verify_until: datetime) -> RunState | None:
    """Recovered as soon as every witness is under; what else it is, only when time is over. None: look again.

    Without a finding nothing can say.
    """
    answers = [finding.answer for finding in findings]
    if answers and all(answer == "under" for answer in answers):
        return "recovered"
    if now < verify_until:
        return None
    return "not_recovered" if "over" in answers else "unverified"


_SAID = 3
"""Witnesses that are named in a reason; the others are in the findings."""


def reason(state: RunState, findings: Sequence[Finding], *, note: str = "") -> str:
    """The end in words, those that made it first."""
    wanted = {"recovered": "under", "not_recovered": "over", "unverified": "unknown"}[state]
    telling = sorted(findings, key=lambda finding: finding.answer != wanted)
    words = [finding.words for finding in telling if finding.answer == wanted or state == "unverified"]
    more = f"; and {len(words) - _SAID} more" if len(words) > _SAID else ""
    opening = {
        "recovered": "the burn is over",
        "not_recovered": "it still burns, so it was not (only) this change",
        "unverified": "nothing can say whether it helped",
    }[state]
    said = "; ".join(words[:_SAID]) + more or note or "no objective was measured"
    return f"{opening}: {said}"


STILL_THERE = 0.5
"""An executor that was done, while the version it was to take away answers so much, has not done it."""
_TELLING = 20.0


def share_of(version: str | None, counts: Sequence[tuple[str, float]]) -> float | None:
    """The share of requests that a version answers; None with too few, or when spans do not say their version."""
    told = [(name, total) for name, total in counts if name]
    whole = sum(total for _, total in told)
    if version is None or whole < _TELLING:
        return None
    return sum(total for name, total in told if same_version(name, version)) / whole


def _times(burn: float) -> str:
    return f"{burn:.0f}×" if burn >= 10 else f"{burn:.1f}×"
