"""Escalation as pure decisions: what the next step of a page is, and who may stop it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from watchbill.features import oncall
from watchbill.features.paging.model import EscalationPolicy, Page, Step

METHOD_GAP = timedelta(seconds=60)
"""A person's contact methods follow each other this far apart while nobody has acknowledged."""

AS_RESPONDER = "responds to this incident"
"""The weakest reason to acknowledge a page: the caller answered another page of the same incident."""

ATTEMPTS = 5
"""Tries of one notification before it counts as failed for good."""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What a step's conditions are held against: when, for which tier, and the public holidays of the policy."""

    at: datetime
    tier: int = 3
    holidays: frozenset[date] = frozenset()


class NextStep(msgspec.Struct, frozen=True):
    """Step to take now: its number, whom it names, how long to wait after it; ``fallback`` past the policy's end.

    ``passed_over`` is why the step does not count now; then nobody is asked and the next number follows at once.
    """

    number: int
    notify: tuple[str, ...]
    wait: timedelta
    fallback: bool
    repeat: int
    call_every: timedelta | None = None
    passed_over: str = ""


def next_step(policy: EscalationPolicy, step: int, moment: Moment | None = None) -> NextStep:
    """Step ``step`` (0-based) of a policy: its steps, then the last that counts ``repeat_last`` times, then the
    fallback for ever. Total: there is an answer for every non-negative ``step``.

    Without a ``moment`` every step counts.
    """
    count = len(policy.steps)
    end = count + policy.repeat_last if count else 0
    if step < count:
        why = "" if moment is None else why_not(policy, policy.steps[step], moment)
        return _named(policy.steps[step], step, 0, why)
    if step < end:
        counting = [each for each in policy.steps if moment is None or not why_not(policy, each, moment)]
        if counting:
            return _named(counting[-1], step, step - count + 1, "")
        step = end
    return NextStep(
        number=step,
        notify=("fallback",),
        wait=timedelta(seconds=policy.fallback_wait_seconds),
        fallback=True,
        repeat=step - end,
    )


def _named(step: Step, number: int, repeat: int, why: str) -> NextStep:
    every = step.call_every_seconds
    return NextStep(
        number=number,
        notify=step.notify,
        wait=timedelta(seconds=step.wait_seconds),
        fallback=False,
        repeat=repeat,
        call_every=None if every is None else timedelta(seconds=every),
        passed_over=why,
    )


def why_not(policy: EscalationPolicy, step: Step, moment: Moment) -> str:
    """Why a step does not count at this moment; empty when it does. Hours are those of the policy's zone."""
    if step.tiers and moment.tier not in step.tiers:
        return f"only for tier {_listed(step.tiers)}, this is tier {moment.tier}"
    hours = step.during
    if hours is None:
        return ""
    without = moment.holidays if hours.office else frozenset()
    inside = oncall.stretch_at(hours.windows, time_zone=policy.time_zone, at=moment.at, without=without).inside
    if inside != hours.outside:
        return ""
    local = moment.at.astimezone(ZoneInfo(policy.time_zone))
    kind = "office hours" if hours.office else "its hours"
    return f"it is {local:%a %H:%M} in {policy.time_zone}, {'inside' if inside else 'outside'} {kind}"


class Harmed(msgspec.Struct, frozen=True, kw_only=True):
    """A service that is harmed: its tier, and what it says itself about being watched at night."""

    tier: int
    watch: Literal["always", "office-hours"] | None = None


class Hold(msgspec.Struct, frozen=True):
    """Not now: until when, and why."""

    until: datetime
    reason: str


def tier_of(harmed: Collection[Harmed]) -> int:
    """The tier of the most critical service that is harmed; 3 when no service is known."""
    return min((each.tier for each in harmed), default=3)


def hold(
    policy: EscalationPolicy,
    *,
    harmed: Collection[Harmed],
    severity: str,
    at: datetime,
    holidays: frozenset[date] = frozenset(),
) -> Hold | None:
    """Whether a page waits for the next working day, and why; None pages now.

    It waits when it is outside the policy's office hours, no harmed service needs a watch at night, and the
    severity is milder than ``pages_from``. With nothing known about what is harmed it never waits.
    """
    if severity <= policy.pages_from or not harmed:
        return None
    if any(each.watch != "office-hours" and (each.watch or each.tier not in policy.hold_tiers) for each in harmed):
        return None
    inside, until = oncall.stretch_at(policy.office_hours, time_zone=policy.time_zone, at=at, without=holidays)
    if inside or until >= oncall.FOREVER:
        return None
    local = until.astimezone(ZoneInfo(policy.time_zone))
    tiers = _listed(sorted({each.tier for each in harmed}))
    reason = (
        f"outside office hours, and tier {tiers} at {severity} needs no watch at night:"
        f" held until {local:%a %d %b, %H:%M} ({policy.time_zone})"
    )
    return Hold(until, reason)


def _listed(tiers: Iterable[int]) -> str:
    return " and ".join(str(tier) for tier in tiers)


def step_after_unreachable(policy: EscalationPolicy, step: int) -> int:
    """The step to take at once when nobody of ``step`` could be reached.

    Repeating the very people who cannot be reached helps nobody: the last step leads to the fallback.
    """
    last = len(policy.steps) - 1
    return step + 1 if step < last else max(step + 1, len(policy.steps) + policy.repeat_last)


def may_acknowledge(
    *,
    person_id: UUID,
    notified: Collection[UUID],
    members: Mapping[UUID, str],
    responders: Collection[UUID],
) -> str | None:
    """Why this person may acknowledge, or None.

    Whoever was notified, members of the owning team, and responders of the incident may; shadows may
    not, even when they were notified. ``members`` maps the team's people to their role in it.
    """
    if members.get(person_id) == "shadow":
        return None
    if person_id in notified:
        return "was notified"
    if person_id in members:
        return "is a member of the team"
    if person_id in responders:
        return AS_RESPONDER
    return None


def is_current(page: Page, *, epoch: int, person_id: UUID | None = None) -> bool:
    """True when a notification of ``epoch`` may still go out: the page is escalating in that very epoch.

    Of an acknowledged page only whoever is asked to take it over is told.
    """
    if page.epoch != epoch:
        return False
    asked = page.handover_to is not None and page.handover_to == person_id
    return page.state == "escalating" or (page.state == "acknowledged" and asked)


def retry_after(attempts: int) -> timedelta | None:
    """Wait before try number ``attempts + 1`` (5 s, 10 s, 20 s, 40 s), or None when tries are used up."""
    if attempts >= ATTEMPTS:
        return None
    return timedelta(seconds=5 * 2 ** max(0, attempts - 1))


def send_times(methods: int, now: datetime) -> list[datetime]:
    """When each of a person's methods is tried, in their order: the first at once, the others a minute apart."""
    return [now + METHOD_GAP * position for position in range(methods)]


def muted_because(*, environment: str, urgency: str) -> str | None:
    """Why an alert does not page: shown beside its state, never hidden."""
    if environment != "production":
        return f"environment {environment}: only production pages"
    if urgency == "ticket":
        return "urgency ticket: on screen and in the daily digest"
    return None
