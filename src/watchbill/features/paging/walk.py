"""Taking a step, as one decision for the pager, for previews, for tests of policy and for replays.

Whom a step reaches is asked of a `Resolve`; everything else is decided here, without I/O and without a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from watchbill.features.paging import logic
from watchbill.features.paging.logic import Moment, NextStep
from watchbill.features.paging.model import EscalationPolicy

NOBODY_WAIT = timedelta(minutes=1)
"""With nobody reachable even in the fallback, it is tried again after this."""


class Reach(NamedTuple):
    """Whom a step reaches now: people by how they are reached, and channels of teams.

    ``named`` counts the people it names, reachable or not. ``watchers`` are told along, and do not count.
    """

    people: Mapping[UUID, Sequence[Any]]
    channels: Sequence[Any] = ()
    watchers: Mapping[UUID, Sequence[Any]] = {}
    named: int = 0

    def __bool__(self) -> bool:
        return bool(self.people or self.channels)


Resolve = Callable[[tuple[str, ...]], Reach]


class Skipped(NamedTuple):
    """A step that was passed over, and why."""

    step: int
    why: str


class Taken(NamedTuple):
    """The step that is taken, whom it reaches, what was skipped on the way, and what comes after which wait.

    ``reach`` is empty only when nobody at all can be reached; ``why`` says so then.
    """

    step: NextStep
    reach: Reach
    skipped: list[Skipped]
    following: int
    wait: timedelta
    why: str


def label_of(step: NextStep) -> str:
    """The step in words: ``step 2: on-call``."""
    return f"step {step.number + 1}: {'fallback' if step.fallback else ', '.join(step.notify)}"


def take(policy: EscalationPolicy, number: int, moment: Moment, resolve: Resolve) -> Taken:
    """Take step ``number``, or the first after it that counts now and reaches somebody.

    A step that does not count or reaches nobody is skipped at once and said so. The fallback never ends by itself.
    """
    skipped: list[Skipped] = []
    while True:
        step = logic.next_step(policy, number, moment)
        label = "fallback" if step.fallback else ", ".join(step.notify)
        if step.passed_over:
            skipped.append(Skipped(step.number, f"step {step.number + 1} ({label}): {step.passed_over}"))
            number = step.number + 1
            continue
        reach = resolve(step.notify)
        if reach:
            return Taken(step, reach, skipped, step.number + 1, step.wait, label_of(step))
        why = f"step {step.number + 1} ({label}): " + (
            "nobody there can be reached" if reach.named else "nobody is there"
        )
        if step.fallback:
            return Taken(step, reach, skipped, step.number, NOBODY_WAIT, f"{why}; tried again every minute")
        skipped.append(Skipped(step.number, why))
        number = logic.step_after_unreachable(policy, step.number)
