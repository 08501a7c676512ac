"""Signing in and out, and accepting an invitation."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.params import FromPath

from watchbill.features import identity
from watchbill.features.identity import SESSION_COOKIE
from watchbill.kernel.errors import Forbidden, Invalid, TooMany, Unauthenticated
from watchbill.web import shell
from watchbill.web.shell import ACT, AnyRequest, Form, GivenWeb, Web

INVITATION = "invitation"
"""The purpose that invitation links are signed for."""


def _local(path: str) -> str:
    """Only a path of this site: a sign-in page must not send people elsewhere."""
    parts = urlsplit(path)
    safe = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    return path if safe and "\\" not in path and "\n" not in path else "/"


def _from_our_page(request: AnyRequest) -> None:
    """A sign-in has no session to hold a CSRF token yet; browsers say where a form came from.

    Raises:
        Forbidden: another site's form.
    """
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    if site not in {"same-origin", "none"} or (
        origin and origin != "null" and urlsplit(origin).netloc != request.headers.get("host")
    ):
        raise Forbidden("this form was sent from another site", code="csrf", hint="sign in from our own page")


def _enter(web: Web, request: AnyRequest, secret: str, to: str) -> Response[None]:
    cookie = Cookie(
        key=SESSION_COOKIE,
        value=secret,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https" or web.settings.base_url.startswith("https://"),
        max_age=int(identity.SESSION_FOR.total_seconds()),
        path="/",
    )
    return Response(None, status_code=303, headers={"Location": _local(to)}, cookies=[cookie])


@get("/sign-in", sync_to_thread=True)
def sign_in_page(request: AnyRequest, web: GivenWeb) -> Response[Any]:
    """The form; whoever is signed in already goes on."""
    to = _local(request.query_params.get("next", "/"))
    if request.cookies.get(SESSION_COOKIE):
        with web.screens.transaction() as tx:
            try:
                shell.signed_in(tx, request)
            except Unauthenticated:
                return shell.page(request, "sign_in.html", to=to, refused=None, login="")
            return Response(None, status_code=303, headers={"Location": to})
    return shell.page(request, "sign_in.html", to=to, refused=None, login="")


@post("/sign-in", sync_to_thread=True, status_code=303, opt=ACT)
def sign_in(request: AnyRequest, web: GivenWeb, data: Form) -> Response[Any]:
    """Login and password, or a token."""
    _from_our_page(request)
    to = data.get("next", "/")
    login = data.get("login", "").strip().lower()[:254]
    here = f"{request.client.host if request.client else '-'} {login}"
    try:
        web.failures_here.check(here)
        web.failures_of_login.check(login)
        with web.act.transaction() as tx:
            if data.get("token", "").strip():
                secret = identity.sign_in_with_token(tx, secret=data["token"].strip())
            else:
                secret = identity.sign_in(tx, login=data.get("login", ""), password=data.get("password", ""))
    except (Unauthenticated, TooMany) as error:
        if isinstance(error, Unauthenticated):
            web.failures_here.failed(here)
            web.failures_of_login.failed(login)
        return shell.page(
            request, "sign_in.html", status=error.status, to=_local(to), refused=error.problem, login=login
        )
    web.failures_here.succeeded(here)
    return _enter(web, request, secret, to)


@post("/sign-out", sync_to_thread=True, status_code=303, opt=ACT)
def sign_out(request: AnyRequest, web: GivenWeb, data: Form) -> Response[None]:
    """End this browser's session."""
    with shell.acting(web, request, data) as screen:
        identity.sign_out(screen.tx, secret=request.cookies[SESSION_COOKIE])
    answer: Response[None] = Response(None, status_code=303, headers={"Location": "/sign-in"})
    answer.delete_cookie(SESSION_COOKIE)
    return answer


@get("/invitation/{signed:str}", sync_to_thread=True)
def invitation(request: AnyRequest, web: GivenWeb, signed: FromPath[str]) -> Response[Any]:
    """Whom the link invites, and a form for a password."""
    with web.screens.transaction() as tx:
        claims = web.signer.verify(INVITATION, signed, now=tx.now)
        invited = identity.invited_person(tx, claims=claims)
        return shell.page(request, "invitation.html", invited=invited, refused=None)


@post("/invitation/{signed:str}", sync_to_thread=True, status_code=303, opt=ACT)
def accept(request: AnyRequest, web: GivenWeb, signed: FromPath[str], data: Form) -> Response[Any]:
    """Set the password, and in."""
    _from_our_page(request)
    with web.act.transaction() as tx:
        claims = web.signer.verify(INVITATION, signed, now=tx.now)
        invited = identity.invited_person(tx, claims=claims)
        try:
            if data.get("password", "") != data.get("again", ""):
                raise Invalid("the two passwords differ", field="again", hint="type the same one twice")
            secret = identity.accept_invitation(tx, claims=claims, password=data.get("password", ""))
        except Invalid as error:
            return shell.page(request, "invitation.html", status=400, invited=invited, refused=error.problem)
    return _enter(web, request, secret, "/me")


handlers = [sign_in_page, sign_in, sign_out, invitation, accept]
