"""Escalation as pure decisions: what the next step of a page is, and who may stop it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from watchbill.features.paging.model import EscalationPolicy, Page, Step
from watchbill.kernel.durations import parse_duration

METHOD_GAP = timedelta(seconds=60)
"""A person's contact methods follow each other this far apart while nobody has acknowledged."""

AS_RESPONDER = "responds to this incident"
"""The weakest reason to acknowledge a page: the caller answered another page of the same incident."""

ATTEMPTS = 5
"""Tries of one notification before it counts as failed for good."""


class NextStep(msgspec.Struct, frozen=True):
    """Step to take now: its number, whom it names, how long to wait after it; ``fallback`` past the policy's end."""

    number: int
    notify: tuple[str, ...]
    wait: timedelta
    fallback: bool
    repeat: int


def next_step(policy: EscalationPolicy, step: int) -> NextStep:
    """Step ``step`` (0-based) of a policy: its steps, then the last one ``repeat_last`` times, then the
    fallback for ever. Total: there is an answer for every non-negative ``step``.
    """
    count = len(policy.steps)
    end = count + policy.repeat_last if count else 0
    if step < end:
        chosen: Step = policy.steps[min(step, count - 1)]
        return NextStep(
            number=step,
            notify=chosen.notify,
            wait=timedelta(seconds=chosen.wait_seconds),
            fallback=False,
            repeat=max(0, step - count + 1),
        )
    return NextStep(
        number=step,
        notify=("fallback",),
        wait=timedelta(seconds=policy.fallback_wait_seconds),
        fallback=True,
        repeat=step - end,
    )


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


def is_current(page: Page, *, epoch: int) -> bool:
    """True when a notification of ``epoch`` may still go out: the page is escalating in that very epoch."""
    return page.state == "escalating" and page.epoch == epoch


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


def policy_of(spec: Mapping[str, Any] | None) -> EscalationPolicy:
    """The policy written in a team's manifest (``spec.escalation``), with the defaults for what is left out.

    The manifest layer has validated it; ``wait`` and ``acknowledgeFor`` are durations such as ``5m``.
    """
    default = EscalationPolicy()
    if not spec:
        return default
    raw_steps: Sequence[Mapping[str, Any]] = spec.get("steps") or ()
    steps = tuple(
        Step(
            notify=tuple(raw.get("notify") or ("on-call",)),
            wait_seconds=_seconds(raw.get("wait"), 300),
        )
        for raw in raw_steps
    )
    repeat = spec.get("repeatLast")
    return EscalationPolicy(
        steps=steps or default.steps,
        repeat_last=default.repeat_last if repeat is None else int(repeat),
        acknowledge_for_seconds=_seconds(spec.get("acknowledgeFor"), default.acknowledge_for_seconds),
    )


def _seconds(text: str | None, default: int) -> int:
    return default if text is None else max(1, int(parse_duration(text).total_seconds()))
