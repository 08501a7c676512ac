"""One team's schedule: the final one as a strip to drag on, what made it, what is wrong with it, and previews."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from litestar import Response, get
from litestar.params import FromPath, FromQuery

from watchbill.features import catalog, identity, oncall
from watchbill.features.identity import Person
from watchbill.features.oncall import PRIMARY, Layer, Shift
from watchbill.kernel.errors import Conflict, WatchbillError
from watchbill.web import rota, shell, teams
from watchbill.web.shell import AnyRequest, GivenWeb, Screen
from watchbill.web.view import name_of

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_AROUND = timedelta(days=3)


class LayerView(msgspec.Struct, frozen=True, kw_only=True):
    """A layer in words."""

    name: str
    turns: str
    hours: str
    people: list[str]
    slot: str
    marks: list[str]


@get("/teams/{name:str}/schedule", sync_to_thread=True)
def one_schedule(
    request: AnyRequest, web: GivenWeb, name: FromPath[str], slot: FromQuery[str] = PRIMARY
) -> Response[Any]:
    """The coming four weeks of one slot, with a reason for each stretch."""
    with shell.looking(web, request) as screen:
        tx, team = screen.tx, teams.named(screen.tx, name)
        zone = ZoneInfo(screen.person.time_zone) if screen.person else ZoneInfo("UTC")
        start, end = rota.first_instant(tx.now, zone), rota.last_instant(tx.now, zone)
        plan = oncall.load_plans(tx, [team.id]).get(team.id)
        slots = plan.calculator.slots if plan else (PRIMARY,)
        slot = slot if slot in slots else PRIMARY
        shifts = oncall.shifts(tx, team_id=team.id, start_at=start, end_at=end, slot=slot)
        holes = oncall.gaps_of(plan, tx.now, end, slot=slot) if plan else [(tx.now, end)]
        members = [m for m in catalog.members(tx, team_ids=[team.id])[team.id] if m.role != "shadow"]
        spec = plan.stored.rotation if plan else None
        named = {m.person_id for m in members} | _named(shifts) | set(spec.members if spec else ())
        people = screen.people(named | set(spec.shadows if spec else ()))
        checked = oncall.check(tx, team_ids=[team.id]).get(team.id)
        return screen.page(
            "schedule.html",
            title=f"Schedule of {team.title}",
            live=f"team:{team.name} oncall:{team.name} oncall:*",
            team=team,
            slot=slot,
            slots=slots,
            members=members,
            people=people,
            weeks=rota.strip(shifts, holes, people, now=tx.now, zone=zone),
            stretches=_stretches([s for s in shifts if s.end_at > tx.now], people),
            on_rota=list(dict.fromkeys(person_id for shift in shifts for person_id in shift.people)),
            layers=[_layer(layer, people) for layer in spec.layers] if spec else [],
            rotation=spec,
            shadows=[people.get(person_id) for person_id in spec.shadows] if spec else [],
            checked=checked,
            may_override=identity.may(screen.caller, "manage_team", team.id),
        )


@get("/teams/{name:str}/schedule/preview", sync_to_thread=True)
def preview(request: AnyRequest, web: GivenWeb, name: FromPath[str]) -> Response[Any]:
    """The strip with an override that is not made, as a fragment; what is wrong with it in words."""
    asked = request.query_params
    with shell.looking(web, request) as screen:
        tx, team = screen.tx, teams.named(screen.tx, name)
        identity.require(screen.caller, "manage_team", team.id)
        if not (asked.get("from") and asked.get("to") and asked.get("person")):
            return _fragment(screen, problem=None, waiting=True)
        zone = ZoneInfo(screen.person.time_zone) if screen.person else ZoneInfo("UTC")
        slot = asked.get("slot") or PRIMARY
        try:
            relieved = asked.get("instead_of")
            draft = oncall.draft_override(
                tx,
                team_id=team.id,
                person_id=teams.person_id_of(asked["person"]),
                start_at=teams.local(asked["from"], zone, "from"),
                end_at=teams.local(asked["to"], zone, "to"),
                reason=asked.get("reason", ""),
                slot=slot,
                instead_of=teams.person_id_of(relieved) if relieved else None,
                actor=screen.caller.actor,
            )
            plan = oncall.load_plans(tx, [team.id]).get(team.id)
            if plan is None:
                raise Conflict("the team has no rotation to override", hint="apply its manifest first")
        except WatchbillError as error:
            return _fragment(screen, problem=error.problem, waiting=False)
        changed = plan.under([draft])
        start, end = draft.start_at - _AROUND, draft.end_at + _AROUND
        after = oncall.planned(changed, max(tx.now, start), end, now=tx.now, slot=slot)
        holes = oncall.gaps_of(changed, max(tx.now, start), end, slot=slot)
        before = oncall.planned(plan, draft.start_at, draft.end_at, now=tx.now, slot=slot)
        people = screen.people(_named([*after, *before]) | {draft.person_id})
        away = oncall.time_off_of(tx, person_ids=[draft.person_id], start_at=draft.start_at, end_at=draft.end_at)[
            draft.person_id
        ]
        return _fragment(
            screen,
            problem=None,
            waiting=False,
            who=people.get(draft.person_id),
            draft=draft,
            relieved=[
                people.get(p) for p in dict.fromkeys(p for s in before for p in s.people) if p != draft.person_id
            ],
            away=away,
            holes=holes,
            people=people,
            weeks=_without_now(
                rota.strip(after, holes, people, now=draft.start_at, zone=zone, weeks=_weeks(draft.start_at, end))
            ),
            stretches=_stretches(after, people),
        )


def _without_now(weeks: list[rota.Week]) -> list[rota.Week]:
    """The strip of another time than the present."""
    return [msgspec.structs.replace(week, now=None) for week in weeks]


def _weeks(start: datetime, end: datetime) -> int:
    return min(4, 1 + (end - start).days // 7)


def _fragment(screen: Screen, **context: Any) -> Response[str]:
    return shell.page(
        screen.request,
        "schedule_preview.html",
        layout="dialog.html",
        now=screen.tx.now,
        zone=ZoneInfo(screen.person.time_zone) if screen.person else ZoneInfo("UTC"),
        **context,
    )


def _named(shifts: list[Shift]) -> set[UUID | None]:
    return {p for s in shifts for p in (*s.people, *s.shadows, s.instead_of) if p is not None}


def _stretches(shifts: list[Shift], people: dict[UUID | None, Person]) -> list[tuple[Shift, list[Person | None], str]]:
    """Each shift with its people and the reason in words."""
    names = {person_id: name_of(person) for person_id, person in people.items() if person_id is not None}
    return [(s, [people.get(person_id) for person_id in s.people], oncall.because(s, names)) for s in shifts]


def _layer(layer: Layer, people: dict[UUID | None, Person]) -> LayerView:
    rhythm = layer.rrule or " then ".join(layer.shifts) or f"every {layer.every}, {layer.handoff}"
    spans = [
        f"{', '.join(_DAYS[day] for day in w.days) if len(w.days) < 7 else 'every day'} "
        f"{w.start_minute // 60:02}:{w.start_minute % 60:02} for {w.minutes / 60:g} h"
        for w in layer.windows
    ]
    marks = ["shadow"] * layer.shadow + ["alongside"] * layer.alongside
    marks += [f"{layer.holidays} on public holidays"] * bool(layer.holidays)
    return LayerView(
        name=layer.name,
        turns=f"{rhythm} ({layer.time_zone})",
        hours="; ".join(spans) or "always",
        people=[" + ".join(name_of(people.get(person_id)) for person_id in crew) for crew in layer.crews],
        slot=layer.slot,
        marks=marks,
    )


handlers = [one_schedule, preview]
