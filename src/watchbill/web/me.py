"""My own page: how I am reached, where I am, and how things look."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.params import FromPath

from watchbill import channels
from watchbill.features import catalog, identity, oncall
from watchbill.features.identity import SESSION_COOKIE, Person
from watchbill.kernel.errors import Conflict
from watchbill.web import shell
from watchbill.web.shell import ACT, AnyRequest, Form, GivenWeb, Screen

CHANNEL_HELP = {each.name: (each.label, each.example) for each in channels.describe() if each.name != "webpush"}
YEAR = 31_536_000


@get("/me", sync_to_thread=True)
def me(request: AnyRequest, web: GivenWeb) -> Response[Any]:
    """Whoever is signed in."""
    with shell.looking(web, request) as screen:
        now, person = screen.tx.now, screen.person
        methods = identity.contact_methods(screen.tx, person_ids=[person.id])[person.id] if person else []
        shifts = (
            oncall.my_shifts(screen.tx, person_id=person.id, start_at=now, end_at=now + timedelta(days=28))
            if person
            else []
        )
        return screen.page(
            "me.html",
            title=person.name if person else screen.caller.name,
            live="oncall:*",
            methods=methods,
            channels=CHANNEL_HELP,
            shown=identity.shown_address,
            teams={team.id: team for team in catalog.teams(screen.tx)},
            shifts=shifts,
            zones=sorted(available_timezones()),
        )


def _me(screen: Screen) -> Person:
    if screen.person is None:
        raise Conflict("a token has no page of its own", hint="sign in as a person")
    return screen.person


@post("/me/contact-methods", sync_to_thread=True, status_code=204, opt=ACT)
def add_method(request: AnyRequest, web: GivenWeb, data: Form) -> Response[None]:
    """One more way to be reached."""
    with shell.acting(web, request, data) as screen:
        person = _me(screen)
        identity.add_contact_method(
            screen.tx,
            person_id=person.id,
            channel=data.get("channel", ""),
            address=data.get("address", ""),
            actor=screen.caller.actor,
        )
    return shell.done(request, "Added. Send yourself a test page to see that it arrives.", back="/me")


@post("/me/contact-methods/{id:uuid}/remove", sync_to_thread=True, status_code=204, opt=ACT)
def remove_method(request: AnyRequest, web: GivenWeb, id: FromPath[UUID], data: Form) -> Response[None]:
    """One less."""
    with shell.acting(web, request, data) as screen:
        person = _me(screen)
        identity.remove_contact_method(screen.tx, person_id=person.id, contact_method_id=id, actor=screen.caller.actor)
        left = identity.contact_methods(screen.tx, person_ids=[person.id])[person.id]
    text = "Removed." if left else "Removed. Nobody can reach you now: add another."
    return shell.done(request, text, back="/me")


@post("/me/settings", sync_to_thread=True, status_code=303, opt=ACT)
def settings(request: AnyRequest, web: GivenWeb, data: Form) -> Response[None]:
    """Name and time zone are the person's; theme and keys are this browser's."""
    with shell.acting(web, request, data) as screen:
        if screen.person is not None:
            identity.change_person(
                screen.tx,
                person_id=screen.person.id,
                name=data.get("name"),
                time_zone=data.get("time_zone"),
                actor=screen.caller.actor,
            )
    theme = data.get("theme", "auto")
    cookies = [
        Cookie(key="watchbill_keys", value="on" if data.get("keys") == "on" else "off", max_age=YEAR, samesite="lax")
    ]
    if theme in shell.THEMES:
        cookies.append(Cookie(key="watchbill_theme", value=theme, max_age=YEAR, samesite="lax"))
    return Response(None, status_code=303, headers={"Location": "/me"}, cookies=cookies)


@post("/me/sign-out-everywhere", sync_to_thread=True, status_code=303, opt=ACT)
def sign_out_everywhere(request: AnyRequest, web: GivenWeb, data: Form) -> Response[None]:
    """End every session of mine, this one too."""
    with shell.acting(web, request, data) as screen:
        identity.sign_out_everywhere(screen.tx, person_id=_me(screen).id, actor=screen.caller.actor)
    answer: Response[None] = Response(None, status_code=303, headers={"Location": "/sign-in"})
    answer.delete_cookie(SESSION_COOKIE)
    return answer


handlers = [me, add_method, remove_method, settings, sign_out_everywhere]
