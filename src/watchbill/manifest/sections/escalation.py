"""``spec.escalation`` of a Team: who is notified when nobody answers. Contributed by the feature *paging*.

Paging reads it from the team's stored spec (`paging.policy_of`), so applying it needs nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from watchbill.kernel.durations import parse_duration
from watchbill.kernel.errors import Problem
from watchbill.manifest.suggest import nearest
from watchbill.manifest.words import Duration, Part
from watchbill.runtime.db import Tx

if TYPE_CHECKING:
    from watchbill.manifest.bundle import Applying, Bundle, TeamItem, World

Target = Annotated[
    str,
    Meta(
        pattern=r"^(on-call|next-on-call|team|leads|person:.+)$",
        description="on-call, next-on-call, team, leads, or person:<login>.",
        extra={"expected": "one of on-call, next-on-call, team, leads or person:<login>"},
    ),
]


class Step(Part, frozen=True, kw_only=True):
    """Whom to notify, and how long to wait for an acknowledgement before the next step."""

    notify: Annotated[list[Target], Meta(min_length=1)]
    wait: Duration = "5m"


class Escalation(Part, frozen=True, kw_only=True):
    """The steps of a page. Default: on-call, next on call, whole team, five minutes each."""

    steps: Annotated[list[Step], Meta(min_length=1, max_length=20)] | None = None
    repeat_last: Annotated[
        int,
        Meta(
            ge=0,
            le=100,
            description="How often the last step repeats before the organisation's fallback.",
            extra={"expected": "a number from 0 to 100"},
        ),
    ] = 3
    acknowledge_for: Annotated[Duration, Meta(description="Acknowledged but not resolved: asked again after this.")] = (
        "30m"
    )


def check(bundle: Bundle, world: World) -> Iterator[Problem]:
    """Everybody named is known, somebody fits each step, and the waits make sense."""
    known = bundle.logins | world.logins
    for item in bundle.teams:
        escalation = item.manifest.spec.escalation
        if escalation is None:
            continue
        if parse_duration(escalation.acknowledge_for) < timedelta(minutes=1):
            yield item.problem(
                "manifest.value",
                "acknowledgeFor is shorter than a minute, so an acknowledged page would come back at once",
                ("spec", "escalation", "acknowledgeFor"),
                "30m is usual",
            )
        for at, step in enumerate(escalation.steps or ()):
            yield from _check_step(item, at, step, known)


def _check_step(item: TeamItem, at: int, step: Step, known: frozenset[str]) -> Iterator[Problem]:
    path = ("spec", "escalation", "steps", at)
    if not timedelta(seconds=10) <= parse_duration(step.wait) <= timedelta(days=1):
        yield item.problem(
            "manifest.value", f"a wait of {step.wait} is not between 10s and 1d", (*path, "wait"), "5m is usual"
        )
    for position, target in enumerate(step.notify):
        here = (*path, "notify", position)
        if target == "leads" and not item.has_lead:
            yield item.problem(
                "manifest.nobody_fits",
                f"the team {item.name} has no lead, so this step reaches nobody",
                here,
                "write a member as {login: …, role: lead}",
                severity="warning",
            )
        login = target.removeprefix("person:").lower()
        if target.startswith("person:") and login not in known:
            yield item.problem(
                "manifest.reference",
                f"nobody is known as {login}",
                here,
                _similar(login, known) or "name a login that is a member of a team, or invite the person first",
            )


def _similar(login: str, known: frozenset[str]) -> str | None:
    """A hint by the part before the @: behind it, colleagues are all alike."""
    local = {each.partition("@")[0]: each for each in sorted(known)}
    found = nearest(login.partition("@")[0], local)
    return None if found is None else f"did you mean '{local[found]}'?"


def apply(_tx: Tx, _applying: Applying) -> None:
    """Nothing to do: the stored spec of the team is the policy."""
