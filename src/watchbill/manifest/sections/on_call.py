"""``spec.onCall`` of a Team: its rotation or layers. Contributed by the feature *oncall*."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from watchbill.features import oncall
from watchbill.kernel.errors import Invalid, Problem
from watchbill.manifest.words import Login, Part, Text
from watchbill.runtime.db import Tx
from watchbill.runtime.yaml import Path

if TYPE_CHECKING:
    from watchbill.manifest.bundle import Applying, Bundle, TeamItem, World

Every = Annotated[
    str,
    Meta(
        pattern=r"^[1-9][0-9]*([hdw]|mo)$",
        description="How long one turn lasts: 1w, 2d, 12h, 1mo.",
        extra={"expected": "how long a turn lasts, such as 1w, 2d, 12h or 1mo"},
    ),
]
Handoff = Annotated[
    str,
    Meta(
        description="When the turn changes, by the clock of its zone: 'Mon 09:00', '09:00', or '1 09:00' (monthly).",
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


Moment = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?)?$",
        description="A day, or a day and a time by the clock of the layer's zone.",
        extra={"expected": "a day such as 2026-01-05, or 2026-01-05T09:00"},
    ),
]
Clock = Annotated[
    str,
    Meta(
        description="A time of the day, or one of the week in both: '09:00', '24:00', 'Fri 17:00'.",
        extra={"expected": "a time such as '09:00' or 'Fri 17:00'"},
    ),
]
Weekday = Annotated[
    str,
    Meta(description="mon … sun, weekdays, weekend or all.", extra={"expected": "a weekday such as mon, or weekdays"}),
]


class Hours(Part, frozen=True, kw_only=True):
    """Hours in which a layer counts. They belong to the day on which they start, also past midnight."""

    days: list[Weekday] | None = None
    from_: Annotated[Clock | None, Meta(description="00:00 when left out.")] = msgspec.field(name="from", default=None)
    to: Annotated[Clock | None, Meta(description="24:00 when left out; at or before `from` it is on the next day.")] = (
        None
    )


class Layer(Part, frozen=True, kw_only=True):
    """A rotation within a schedule. The first layer that has somebody counts, slot by slot."""

    name: Text | None = None
    members: Annotated[
        list[Login | list[Login]],
        Meta(min_length=1, description="One entry a turn: a login, or a list of those who are on call at once."),
    ]
    every: Every | None = None
    handoff: Handoff | None = None
    shifts: (
        Annotated[list[Every], Meta(min_length=1, description="A cycle of turn lengths, in place of every.")] | None
    ) = None
    rrule: Annotated[Text, Meta(description="Handoffs by an RFC 5545 rule, in place of every.")] | None = None
    count_from: (
        Annotated[Moment, Meta(description="The first turn begins at the first handoff on or after this.")] | None
    ) = None
    starts_at: (
        Annotated[Moment, Meta(description="The layer is empty before; on a day, before its first handoff.")] | None
    ) = None
    ends_at: Annotated[Moment, Meta(description="The layer is empty from then on.")] | None = None
    time_zone: Annotated[str, Meta(description="IANA name; the team's when left out.")] | None = None
    hours: (
        Annotated[list[Hours], Meta(min_length=1, description="When the layer counts; always when left out.")] | None
    ) = None
    holidays: (
        Annotated[
            Literal["never", "only"],
            Meta(description="Hours that start on a public holiday do not count, or only those do."),
        ]
        | None
    ) = None
    slot: Annotated[Text, Meta(description="'primary' when left out; escalation can address others.")] | None = None
    alongside: Annotated[bool, Meta(description="On call together with the layer above, not instead.")] = False
    shadow: Annotated[bool, Meta(description="Told of pages, never escalated to.")] = False


class RestRules(Part, frozen=True, kw_only=True):
    """What the rota must leave people; breaking it warns, and never empties a slot."""

    between: Annotated[Every, Meta(description="Rest between two shifts of one person, such as 11h.")] | None = None
    nights: Annotated[int, Meta(ge=1, le=366, description="Nights on call in a row at most.")] = 7


class OnCall(Part, frozen=True, kw_only=True):
    """Who is on call for the team: one rotation, or layers."""

    rotation: Rotation | None = None
    layers: Annotated[list[Layer], Meta(min_length=1, max_length=50)] | None = None
    shadows: Annotated[list[Login], Meta(description="Always told with whoever is on call.")] = []  # noqa: RUF012  msgspec copies an empty list default for each instance
    holidays: (
        Annotated[
            str,
            Meta(
                pattern=r"^[A-Z]{2}(-[A-Za-z0-9]{1,10})?$",
                description="Whose public holidays layers go by: a country, or its part (ISO 3166).",
                extra={"expected": "a country such as DE, or a part of one such as DE-BE"},
            ),
        ]
        | None
    ) = None
    rest: RestRules | None = None


def check(bundle: Bundle, _world: World) -> Iterator[Problem]:
    """The rotation can be followed, and everybody in it belongs to the team."""
    for item in bundle.teams:
        try:
            spec = _rotation(item)
        except Invalid as invalid:
            for problem in invalid.problems:
                if problem.field == "spec.timeZone":
                    continue  # said already, with the nearest zone
                yield item.problem(problem.code, problem.message, _path(problem.field or ""), problem.hint or "")
            continue
        yield from _strangers(item, spec)
        yield from _holes(item, spec)
        if len(spec.members) == 1:
            yield item.problem(
                "manifest.lonely_rotation",
                f"{spec.members[0]} is on call for {item.name} around the clock, alone",
                ("spec", "members"),
                "add a second member; three or more make a humane rotation",
                severity="warning",
            )


def _strangers(item: TeamItem, spec: oncall.RotationSpec) -> Iterator[Problem]:
    """Everybody named belongs to the team."""
    named: list[tuple[str, Path]] = [
        (login, ("spec", "onCall", "shadows", position)) for position, login in enumerate(spec.shadows)
    ]
    if not spec.layers:
        path: Path = ("spec", "onCall", "rotation", "members")
        named += [(login, (*path, position)) for position, login in enumerate(spec.members)]
    for number, layer in enumerate(spec.layers):
        path = ("spec", "onCall", "layers", number, "members")
        named += [(login, (*path, turn)) for turn, crew in enumerate(layer.crews) for login in crew]
    for login, where in named:
        if login not in item.logins:
            yield item.problem(
                "manifest.reference",
                f"{login} is in the rotation but not in the team",
                where,
                f"add {login} to spec.members, or take them out of the rotation",
            )


def _holes(item: TeamItem, spec: oncall.RotationSpec) -> Iterator[Problem]:
    """Layers that leave time of the week uncovered are said, never passed over."""
    for slot, holes, total in oncall.uncovered(spec):
        first = f"{holes[0][0]:%a %H:%M} to {holes[0][1]:%a %H:%M} UTC"
        more = f" and {len(holes) - 1} more times" if len(holes) > 1 else ""
        of_slot = "" if slot == oncall.PRIMARY else f" in the slot '{slot}'"
        yield item.problem(
            "oncall.gap",
            f"nobody is on call{of_slot} from {first}{more} ({total} within {oncall.CHECKED_DAYS} days)",
            ("spec", "onCall", "layers"),
            "widen hours, or add a layer below that covers all the time",
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
