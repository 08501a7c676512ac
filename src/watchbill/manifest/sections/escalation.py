"""``spec.escalation`` of a Team: who is notified when nobody answers. Contributed by the feature *paging*.

Paging reads it from the team's stored spec (`paging.policy_of`), so applying it needs nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from watchbill.features import oncall
from watchbill.kernel.durations import parse_duration
from watchbill.kernel.errors import Invalid, Problem
from watchbill.manifest.sections.on_call import Hours, Layer
from watchbill.manifest.suggest import did_you_mean, nearest
from watchbill.manifest.words import Duration, Part, Tier
from watchbill.runtime.db import Tx
from watchbill.runtime.yaml import Path

if TYPE_CHECKING:
    from watchbill.manifest.bundle import Applying, Bundle, TeamItem, World

Target = Annotated[
    str,
    Meta(
        pattern=r"^(on-call|next-on-call|team|leads|round-robin|(person|team|layer|channel):.+)$",
        description="on-call, next-on-call, team, leads, round-robin, person:<login>, team:<name>, layer:<name> (of the"
        " schedule, or a slot) or channel:<name> (of the team).",
        extra={
            "expected": "one of on-call, next-on-call, team, leads, round-robin, person:<login>, team:<name>,"
            " layer:<name> or channel:<name>"
        },
    ),
]
Zone = Annotated[
    str,
    Meta(
        description="IANA name in which hours are read; the team's when left out.",
        extra={"expected": "a time zone such as Europe/Berlin"},
    ),
]


class Step(Part, frozen=True, kw_only=True):
    """Whom to notify, and how long to wait for an acknowledgement before the next step."""

    notify: Annotated[list[Target], Meta(min_length=1)]
    wait: Duration = "5m"
    call_every: (
        Annotated[Duration, Meta(description="Notify them again this often until somebody acknowledges.")] | None
    ) = None
    during: (
        Annotated[
            Literal["office-hours", "out-of-hours"] | list[Hours],
            Meta(description="Skip the step at other times; public holidays are out of office hours."),
        ]
        | None
    ) = None
    tiers: (
        Annotated[
            list[Tier], Meta(min_length=1, description="Skip the step unless a service of such a tier is harmed.")
        ]
        | None
    ) = None


class HoldRule(Part, frozen=True, kw_only=True):
    """Pages that wait for the next working day when they come out of office hours."""

    tiers: Annotated[list[Tier], Meta(min_length=1, description="Services of these tiers need no watch at night.")]
    pages_from: Annotated[
        Literal["sev1", "sev2", "sev3", "sev4"],
        Meta(description="From this severity on it pages all the same."),
    ] = "sev2"


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
    time_zone: Zone | None = None
    office_hours: (
        Annotated[list[Hours], Meta(min_length=1, description="Monday to Friday, 09:00 to 17:00 when left out.")] | None
    ) = None
    hold: HoldRule | None = None


def check(bundle: Bundle, world: World) -> Iterator[Problem]:
    """Everybody named is known, somebody fits each step, and the waits, hours and zones make sense."""
    known = bundle.logins | world.logins
    teams = frozenset(name for item in bundle.teams for name in (item.name, *item.manifest.metadata.formerly))
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
        yield from _check_hours(item, escalation)
        for at, step in enumerate(escalation.steps or ()):
            yield from _check_step(item, at, step)
            for position, target in enumerate(step.notify):
                here = ("spec", "escalation", "steps", at, "notify", position)
                yield from _check_person(item, target, here, known)
                yield from _check_team(item, target, here, teams | world.teams, world)
        yield from _check_conditions(item, escalation)


def _check_hours(item: TeamItem, escalation: Escalation) -> Iterator[Problem]:
    path: Path = ("spec", "escalation")
    if escalation.time_zone is not None and not oncall.zone_exists(escalation.time_zone):
        hint = "write an IANA name such as Europe/Berlin"
        yield item.problem("manifest.zone", f"'{escalation.time_zone}' is not a time zone", (*path, "timeZone"), hint)
    written: list[tuple[Path, list[Hours]]] = []
    if escalation.office_hours is not None:
        written.append(((*path, "officeHours"), escalation.office_hours))
    for at, step in enumerate(escalation.steps or ()):
        if isinstance(step.during, list):
            written.append(((*path, "steps", at, "during"), step.during))
    for where, hours in written:
        try:
            oncall.parse_hours(msgspec.to_builtins(hours), "")
        except Invalid as invalid:
            for problem in invalid.problems:
                inner = tuple(
                    int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", problem.field or "")
                )
                yield item.problem("manifest.hours", problem.message, (*where, *inner), problem.hint or "")


def _check_conditions(item: TeamItem, escalation: Escalation) -> Iterator[Problem]:
    """A page for which no step counts goes straight to the fallback: said, since it is rarely meant."""
    steps = escalation.steps or ()
    if not steps or any(step.during is None and step.tiers is None for step in steps):
        return
    halves = {step.during for step in steps if isinstance(step.during, str) and step.tiers is None}
    if halves >= {"office-hours", "out-of-hours"}:
        return
    yield item.problem(
        "manifest.conditions",
        "every step has a condition: at a time when none holds, the fallback team is paged at once",
        ("spec", "escalation", "steps"),
        "let one step always count, without 'during' and 'tiers'",
        severity="warning",
    )


def _check_step(item: TeamItem, at: int, step: Step) -> Iterator[Problem]:
    path = ("spec", "escalation", "steps", at)
    if not timedelta(seconds=10) <= parse_duration(step.wait) <= timedelta(days=1):
        yield item.problem(
            "manifest.value", f"a wait of {step.wait} is not between 10s and 1d", (*path, "wait"), "5m is usual"
        )
    if step.call_every is not None and not timedelta(minutes=1) <= parse_duration(step.call_every) <= timedelta(days=1):
        yield item.problem(
            "manifest.value",
            f"calling every {step.call_every} is not between 1m and 1d",
            (*path, "callEvery"),
            "2m is usual",
        )
    layers = {name for layer in _layers(item) for name in (layer.name, layer.slot)}
    for position, target in enumerate(step.notify):
        here = (*path, "notify", position)
        kind, _, name = target.partition(":")
        if target == "leads" and not item.has_lead:
            yield item.problem(
                "manifest.nobody_fits",
                f"the team {item.name} has no lead, so this step reaches nobody",
                here,
                "write a member as {login: …, role: lead}",
                severity="warning",
            )
        if kind == "layer" and name not in layers:
            known = {each for each in layers if each}
            yield item.problem(
                "manifest.reference",
                f"the schedule of {item.name} has no layer or slot '{name}'",
                here,
                did_you_mean(name, known) or "name a layer of spec.onCall.layers, or its slot",
            )


def _layers(item: TeamItem) -> list[Layer]:
    on_call = item.manifest.spec.on_call
    return list(on_call.layers or ()) if on_call else []


def _check_person(item: TeamItem, target: str, here: Path, known: frozenset[str]) -> Iterator[Problem]:
    login = target.removeprefix("person:").lower()
    if target.startswith("person:") and login not in known:
        yield item.problem(
            "manifest.reference",
            f"nobody is known as {login}",
            here,
            _similar(login, known) or "name a login that is a member of a team, or invite the person first",
        )


def _check_team(item: TeamItem, target: str, here: Path, teams: frozenset[str], world: World) -> Iterator[Problem]:
    name = target.removeprefix("team:")
    if not target.startswith("team:") or name in teams:
        return
    hint = did_you_mean(name, teams) or f"name a team that exists, or add 'kind: Team' with name {name}"
    more = "; the server knows what other repositories applied" if world.external else ""
    severity: Literal["error", "warning"] = "warning" if world.external else "error"
    yield item.problem("manifest.reference", f"there is no team '{name}'", here, hint + more, severity=severity)


def _similar(login: str, known: frozenset[str]) -> str | None:
    """A hint by the part before the @: behind it, colleagues are all alike."""
    local = {each.partition("@")[0]: each for each in sorted(known)}
    found = nearest(login.partition("@")[0], local)
    return None if found is None else f"did you mean '{local[found]}'?"


def apply(_tx: Tx, _applying: Applying) -> None:
    """Nothing to do: the stored spec of the team is the policy."""
