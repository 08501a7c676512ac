"""``spec.onCall`` of a Team: the rotation. Contributed by the feature *oncall*."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from watchbill.features import oncall
from watchbill.kernel.errors import Invalid, Problem
from watchbill.manifest.words import Login, Part
from watchbill.runtime.db import Tx
from watchbill.runtime.yaml import Path

if TYPE_CHECKING:
    from watchbill.manifest.bundle import Applying, Bundle, TeamItem, World

Every = Annotated[
    str,
    Meta(
        pattern=r"^[1-9][0-9]*[hdw]$",
        description="How long one turn lasts: 1w, 2d, 12h.",
        extra={"expected": "how long a turn lasts, such as 1w, 2d or 12h"},
    ),
]
Handoff = Annotated[
    str,
    Meta(
        description="When the turn changes, by the clock of the team's time zone: 'Mon 09:00', or '09:00'.",
        extra={"expected": "when the turn changes, such as 'Mon 09:00'"},
    ),
]
Day = Annotated[
    date,
    Meta(
        description="The first member's turn begins at the first handoff on or after this day.",
        extra={"expected": "a day such as 2026-01-05"},
    ),
]


class Rotation(Part, frozen=True, kw_only=True):
    """Who takes turns, and when: by default all members but shadows, weekly, from Monday 09:00."""

    every: Every | None = None
    handoff: Handoff | None = None
    members: Annotated[list[Login], Meta(min_length=1)] | None = None
    starts_at: Day | None = None


class OnCall(Part, frozen=True, kw_only=True):
    """Who is on call for the team."""

    rotation: Rotation | None = None


def check(bundle: Bundle, _world: World) -> Iterator[Problem]:
    """The rotation can be followed, and everybody in it belongs to the team."""
    for item in bundle.teams:
        members = item.logins
        try:
            spec = _rotation(item)
        except Invalid as invalid:
            for problem in invalid.problems:
                if problem.field == "spec.timeZone":
                    continue  # said already, with the nearest zone
                yield item.problem(problem.code, problem.message, _path(problem.field or ""), problem.hint or "")
            continue
        for position, login in enumerate(spec.members):
            if login not in members:
                yield item.problem(
                    "manifest.reference",
                    f"{login} is in the rotation but not in the team",
                    ("spec", "onCall", "rotation", "members", position),
                    f"add {login} to spec.members, or take them out of the rotation",
                )
        if len(spec.members) == 1:
            yield item.problem(
                "manifest.lonely_rotation",
                f"{spec.members[0]} is on call for {item.name} around the clock, alone",
                ("spec", "members"),
                "add a second member; three or more make a humane rotation",
                severity="warning",
            )


def apply(tx: Tx, applying: Applying) -> None:
    """Hand the rotations of the teams that are written to *oncall*, and end those of the removed."""
    oncall.set_rotations(
        tx,
        rotations=[_rotation(item).for_team(applying.team_ids[item.name], applying.people) for item in applying.teams],
        actor=applying.actor,
    )
    if applying.removed_teams:
        oncall.remove_rotations(tx, team_ids=applying.removed_teams, actor=applying.actor)


def _rotation(item: TeamItem) -> Any:
    spec = item.manifest.spec
    raw: Any = None if spec.on_call is None else msgspec.to_builtins(spec.on_call)
    return oncall.parse_rotation(raw, item.rotating, spec.time_zone)


def _path(field: str) -> Path:
    """``spec.onCall.rotation.members[1]`` as a path."""
    return tuple(int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", field))
