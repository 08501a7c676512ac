"""The budget of an SLO on its page: what is left out of it, by whom and why, and what its policy did."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from watchbill.api.slo_exclusions import allowed, person_of, views_of, wanted_of
from watchbill.api.slo_names import actors
from watchbill.api.slo_names import people as names_of
from watchbill.features import identity, slo
from watchbill.features.slo import SloView
from watchbill.kernel.errors import Invalid
from watchbill.web import shell, teams
from watchbill.web.shell import ACT, AnyRequest, Form, GivenWeb, Screen

LENGTHS = (5, 15, 30, 60, 120, 240, 480)
_MINUTE = timedelta(minutes=1)


def of_slo(screen: Screen, view: SloView) -> dict[str, Any]:
    """What the page of an SLO shows of its budget."""
    tx = screen.tx
    crossed = slo.crossings(tx, slo_id=view.slo.id, limit=30)
    found = slo.exclusions(tx, slo=view.slo)
    return {
        "exclusions": views_of(tx, found),
        "signed": {one.id: {one.first_by, one.second_by} for one in found},
        "stances": slo.stances(tx, slo_id=view.slo.id, service_id=view.slo.service_id),
        "said_by": slo.policy_for(tx, service_id=view.slo.service_id).said_by,
        "crossings": crossed,
        "reviewers": names_of(tx, {one.reviewed_by for one in crossed}),
        "promised_by": actors(
            tx, {(one.actor_kind, one.actor_id) for one in slo.slo_detail(tx, id=view.slo.id).revisions}
        ),
        "may_exclude": identity.may(screen.caller, "manage_team", view.team_id),
    }


@get("/slos/{id:uuid}/exclude", sync_to_thread=True)
def plan_exclusion(  # noqa: PLR0917  (Litestar passes query parameters by name)
    request: AnyRequest,
    web: GivenWeb,
    id: FromPath[UUID],
    start: FromQuery[str] = "",
    minutes: FromQuery[int] = 30,
    reason: FromQuery[str] = "",
    whole: FromQuery[str] = "",
) -> Response[Any]:
    """The form; with its values, what will happen, before anything does."""
    with shell.looking(web, request) as screen:
        view = slo.slo_detail(screen.tx, id=id).view
        identity.require(screen.caller, "manage_team", view.team_id)
        zone = _zone(screen)
        begin = screen.tx.now.replace(second=0, microsecond=0) + 10 * _MINUTE
        seen = wanted = problem = None
        if start:
            try:
                begin = teams.local(start, zone, "start")
                wanted = wanted_of(screen.tx, view, begin, begin + _length(minutes), whole_service=bool(whole))
                seen = slo.preview_exclusion(screen.tx, wanted=wanted)
                _check_reason(reason)
            except Invalid as error:
                problem, seen = error.problem, None
        return screen.page(
            "slo_exclude.html",
            title="Exclude time from a budget",
            view=view,
            start=begin.astimezone(zone).strftime("%Y-%m-%dT%H:%M"),
            minutes=minutes,
            lengths=sorted({*LENGTHS, minutes}),
            reason=reason,
            whole=bool(whole),
            seen=seen,
            wanted=wanted,
            problem=problem,
        )


@post("/slos/{id:uuid}/exclude", sync_to_thread=True, status_code=204, opt=ACT)
def exclude(request: AnyRequest, web: GivenWeb, id: FromPath[UUID], data: Form) -> Response[None]:
    """Declared, and signed by whoever is signed in."""
    with shell.acting(web, request, data) as screen:
        view = slo.slo_detail(screen.tx, id=id).view
        identity.require(screen.caller, "manage_team", view.team_id)
        begin = teams.local(data.get("start", ""), _zone(screen), "start")
        try:
            length = _length(int(data.get("minutes", "")))
        except ValueError as error:
            raise Invalid("say how many minutes", field="minutes", hint="30") from error
        wanted = wanted_of(screen.tx, view, begin, begin + length, whole_service=bool(data.get("whole")))
        slo.declare_exclusion(
            screen.tx,
            wanted=wanted,
            reason=data.get("reason", ""),
            actor=screen.caller.actor,
            person_id=screen.caller.person_id,
        )
    return Response(None, status_code=303, headers={"Location": f"/slos/{id}#budget"})


@post("/slos/{id:uuid}/exclusions/{xid:uuid}/sign", sync_to_thread=True, status_code=204, opt=ACT)
def sign(request: AnyRequest, web: GivenWeb, id: FromPath[UUID], xid: FromPath[UUID], data: Form) -> Response[None]:
    """The second signature."""
    with shell.acting(web, request, data) as screen:
        allowed(screen.tx, screen.caller, slo.exclusion_by_id(screen.tx, id=xid))
        done = slo.sign_exclusion(
            screen.tx, exclusion_id=xid, person_id=person_of(screen.caller), actor=screen.caller.actor
        )
    said = "Signed: this time is left out now." if done.holds else "Signed. One more person must sign."
    return shell.done(request, said, back=f"/slos/{id}")


@get("/slos/{id:uuid}/exclusions/{xid:uuid}/revoke", sync_to_thread=True)
def confirm_revoke(request: AnyRequest, web: GivenWeb, id: FromPath[UUID], xid: FromPath[UUID]) -> Response[Any]:
    """What a revocation will do."""
    with shell.looking(web, request) as screen:
        one = slo.exclusion_by_id(screen.tx, id=xid)
        view = slo.slo_detail(screen.tx, id=id).view
        [shown] = views_of(screen.tx, [one])
        return screen.page("slo_revoke.html", title="Let the time count again", view=view, one=shown)


@post("/slos/{id:uuid}/exclusions/{xid:uuid}/revoke", sync_to_thread=True, status_code=204, opt=ACT)
def revoke(request: AnyRequest, web: GivenWeb, id: FromPath[UUID], xid: FromPath[UUID], data: Form) -> Response[None]:
    """Its minutes count again."""
    with shell.acting(web, request, data) as screen:
        allowed(screen.tx, screen.caller, slo.exclusion_by_id(screen.tx, id=xid))
        slo.revoke_exclusion(
            screen.tx, exclusion_id=xid, reason=data.get("reason", ""), actor=screen.caller.actor
        )
    return shell.done(request, "Revoked: its minutes count again.", back=f"/slos/{id}")


@post("/slos/{id:uuid}/exclusions/{xid:uuid}/end", sync_to_thread=True, status_code=204, opt=ACT)
def end(request: AnyRequest, web: GivenWeb, id: FromPath[UUID], xid: FromPath[UUID], data: Form) -> Response[None]:
    """The maintenance is over early."""
    with shell.acting(web, request, data) as screen:
        allowed(screen.tx, screen.caller, slo.exclusion_by_id(screen.tx, id=xid))
        slo.end_exclusion(screen.tx, exclusion_id=xid, actor=screen.caller.actor)
    return shell.done(request, "Ended: from the next minute on everything counts.", back=f"/slos/{id}")


@post("/slos/{id:uuid}/reviews/{cid:uuid}", sync_to_thread=True, status_code=204, opt=ACT)
def review(request: AnyRequest, web: GivenWeb, id: FromPath[UUID], cid: FromPath[UUID], data: Form) -> Response[None]:
    """What was learned, or the postmortem's link."""
    with shell.acting(web, request, data) as screen:
        view = slo.slo_detail(screen.tx, id=id).view
        identity.require(screen.caller, "manage_team", view.team_id)
        slo.review_crossing(
            screen.tx,
            crossing_id=cid,
            slo_id=id,
            text=data.get("review", ""),
            person_id=person_of(screen.caller),
            actor=screen.caller.actor,
        )
    return shell.done(request, "The review is noted.", back=f"/slos/{id}")


def _zone(screen: Screen) -> ZoneInfo:
    return ZoneInfo(screen.person.time_zone) if screen.person else ZoneInfo("UTC")


def _length(minutes: int) -> timedelta:
    if not 0 < minutes <= 7 * 24 * 60:
        raise Invalid("an exclusion lasts from a minute to seven days", field="minutes", hint="30")
    return minutes * _MINUTE


def _check_reason(reason: str) -> None:
    if len(reason.strip()) < 3:
        raise Invalid("an exclusion needs a reason", field="reason", hint="say what is done in this time")


handlers = [plan_exclusion, exclude, sign, confirm_revoke, revoke, end, review]
