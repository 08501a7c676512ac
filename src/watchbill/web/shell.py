"""What every screen shares: who is looking, one transaction per page, the frame around it, and its headers."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, SkipValidation

from watchbill.api.pools import Lanes
from watchbill.features import catalog, identity, paging
from watchbill.features.identity import SESSION_COOKIE, Caller, Person
from watchbill.kernel.errors import Forbidden, Unauthenticated
from watchbill.runtime.broadcast import Broadcaster
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database, Tx
from watchbill.runtime.signing import Signer
from watchbill.web import view

CSRF_HEADER = "x-csrf-token"
ACT = {"lane": "act"}
"""``opt`` of every handler that changes something."""
THEMES = ("auto", "light", "dark")

AnyRequest = Request[Any, Any, Any]
Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Web:
    """What screens stand on. Actions have a lane of their own, so that slow screens cannot stop one.

    A plain class: Litestar takes structs apart to validate them, and this is handed on as it is.
    """

    def __init__(self, *, settings: Settings, lanes: Lanes, signer: Signer, live: Broadcaster) -> None:
        self.settings = settings
        self.lanes = lanes
        self.signer = signer
        self.live = live
        self.failures_here = identity.FailureLimit(most=5, window_seconds=300)
        """Failed sign-ins of one login from one address."""
        self.failures_of_login = identity.FailureLimit(most=50, window_seconds=300)
        """Of one login from anywhere: high, so that nobody locks a colleague out by mistake."""

    @property
    def screens(self) -> Database:
        return self.lanes["screens"].db

    @property
    def act(self) -> Database:
        return self.lanes["act"].db


GivenWeb = NamedDependency[SkipValidation[Web]]
"""The dependency ``web``, marked as Litestar 3 will require."""


class Screen(msgspec.Struct, frozen=True, kw_only=True):
    """One look by one caller: ``person`` is None when a token is signed in."""

    tx: Tx
    web: Web
    request: AnyRequest
    caller: Caller
    person: Person | None
    team_ids: frozenset[UUID]

    def people(self, ids: Iterable[UUID | None]) -> dict[UUID | None, Person]:
        """The people with these ids, for templates to name."""
        found = identity.people(self.tx, ids=[id for id in ids if id is not None])
        return dict(found.items())

    def page(self, template: str, *, status: int = 200, **context: Any) -> Response[str]:
        """The whole page; only its live part when htmx asks; only its form when a dialog asks."""
        headers = self.request.headers
        layout = "base.html"
        if "x-dialog" in headers:
            layout = "dialog.html"
        elif "hx-request" in headers and "hx-boosted" not in headers:
            layout = "fragment.html"
        lines = paging.incident_list(self.tx, state="open", limit=200)
        return page(
            self.request,
            template,
            status=status,
            layout=layout,
            now=self.tx.now,
            caller=self.caller,
            person=self.person,
            my_team_ids=self.team_ids,
            zone=ZoneInfo(self.person.time_zone) if self.person else ZoneInfo("UTC"),
            open_count=len(lines),
            **context,
        )


def signed_in(tx: Tx, request: AnyRequest) -> Caller:
    """The caller of the session cookie, with the teams they answer for.

    Raises:
        Unauthenticated: nobody is signed in.
    """
    secret = request.cookies.get(SESSION_COOKIE)
    if not secret:
        raise Unauthenticated("you are not signed in", code="no_session", hint="sign in")
    caller = identity.caller_of_session(tx, secret=secret)
    if caller.person_id is None:
        return caller
    return caller.in_teams(catalog.team_ids_of(tx, person_id=caller.person_id, shadows=False))


def _screen(web: Web, tx: Tx, request: AnyRequest) -> Screen:
    caller = signed_in(tx, request)
    person = identity.person_by_id(tx, person_id=caller.person_id) if caller.person_id else None
    teams = catalog.team_ids_of(tx, person_id=person.id) if person else frozenset()
    return Screen(tx=tx, web=web, request=request, caller=caller, person=person, team_ids=teams)


@contextmanager
def looking(web: Web, request: AnyRequest) -> Iterator[Screen]:
    """A transaction on the screens' pool, with whoever looks."""
    with web.screens.transaction() as tx:
        yield _screen(web, tx, request)


@contextmanager
def acting(web: Web, request: AnyRequest, form: dict[str, str]) -> Iterator[Screen]:
    """A transaction on the pool of actions, once the request is known to come from our own page.

    Raises:
        Forbidden: the form's CSRF token is not the session's.
    """
    with web.act.transaction() as tx:
        screen = _screen(web, tx, request)
        given = request.headers.get(CSRF_HEADER) or form.get("_csrf", "")
        if not screen.caller.csrf or not hmac.compare_digest(given.encode(), screen.caller.csrf.encode()):
            raise Forbidden(
                "this form is from an older sign-in, or from another site",
                code="csrf",
                hint="reload the page and try again",
            )
        yield screen


def page(request: AnyRequest, template: str, *, status: int = 200, **context: Any) -> Response[str]:
    """Render with what every template may use; pages that need no sign-in come here directly."""
    theme = request.cookies.get("watchbill_theme", "auto")
    defaults: dict[str, Any] = {
        "layout": "bare.html",
        "caller": None,
        "person": None,
        "my_team_ids": frozenset(),
        "zone": ZoneInfo("UTC"),
        "open_count": 0,
        "path": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        "section": "/" + request.url.path.strip("/").split("/")[0],
        "theme": theme if theme in THEMES else "auto",
        "keys": request.cookies.get("watchbill_keys", "on"),
        "live": "",
    }
    text = view.render(template, {**defaults, **context})
    return Response(
        text,
        status_code=status,
        media_type="text/html; charset=utf-8",
        headers={"Cache-Control": "no-store", "Vary": "HX-Request, X-Dialog"},
    )


def done(request: AnyRequest, text: str, *, back: str, undo: tuple[str, str] | None = None) -> Response[None]:
    """After an action: a toast for a page with script (``undo`` is a label and where to POST), else a way back."""
    if "hx-request" not in request.headers:
        return Response(None, status_code=303, headers={"Location": back})
    toast = {"text": text, "tone": "green"}
    if undo is not None:
        toast |= {"undo": undo[0], "undoAt": undo[1]}
    return Response(None, status_code=204, headers={"HX-Trigger": json.dumps({"toast": toast, "refresh": True})})


def with_headers(response: Response[Any]) -> Response[Any]:
    """Headers of every answer: only our own scripts and styles, never in a frame."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


async def harden(response: Response[Any]) -> Response[Any]:
    """`with_headers` as a hook; async so that it does not cost a thread."""
    return with_headers(response)
