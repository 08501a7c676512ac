"""Who is calling: a bearer token, or the web's session cookie together with its CSRF token.

Everything under the API's router needs one or the other; a handler that does not says ``opt={"public": True}``.
Secrets are looked up by hash, so comparing takes the same time whatever was sent.
"""

from __future__ import annotations

import hmac
from typing import Any

from litestar import Request
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from watchbill.api.pools import Lanes
from watchbill.features import catalog, identity
from watchbill.features.identity import SESSION_COOKIE, Caller, FailureLimit
from watchbill.kernel.errors import Forbidden, Unauthenticated
from watchbill.runtime.db import Database, Tx

CSRF_HEADER = "x-csrf-token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_UNTRUSTED_LENGTH = 512


def with_teams(tx: Tx, caller: Caller) -> Caller:
    """The caller with the teams that the catalog says they answer for."""
    if caller.person_id is None:
        return caller
    return caller.in_teams(catalog.team_ids_of(tx, person_id=caller.person_id, shadows=False))


def caller_of_token(db: Database, secret: str) -> Caller:
    """Authenticate a bearer token, in a transaction of its own.

    Raises:
        Unauthenticated: unknown or revoked.
    """
    with db.transaction() as tx:
        return identity.authenticate_token(tx, secret=secret)


def caller_of_session(db: Database, secret: str) -> Caller:
    """Authenticate a session cookie, in a transaction of its own.

    Raises:
        Unauthenticated: unknown, expired, or its owner may no longer sign in.
    """
    with db.transaction() as tx:
        return with_teams(tx, identity.caller_of_session(tx, secret=secret))


def check_csrf(caller: Caller, sent: str | None) -> None:
    """Raise unless ``sent`` is the session's CSRF token; for requests that change something by cookie.

    Raises:
        Forbidden: it is missing or wrong.
    """
    if caller.csrf is None or not hmac.compare_digest(caller.csrf.encode(), (sent or "").encode()):
        raise Forbidden("the page is out of date", code="csrf", hint="reload it and try again; scripts use a token")


class AuthMiddleware(ASGIMiddleware):
    """Sets ``request.user`` to the `Caller`, or answers 401, 403 or 429."""

    def __init__(self, lanes: Lanes, *, limit: FailureLimit | None = None) -> None:
        self.lanes = lanes
        self.limit = limit or FailureLimit(most=60, window_seconds=60)

    def __deepcopy__(self, memo: dict[int, object]) -> AuthMiddleware:
        """Litestar copies what routers hold; failures are counted once for all routes."""
        return self

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if not scope["route_handler"].opt.get("public"):
            scope["user"] = await self._caller(Request(scope))
        await next_app(scope, receive, send)

    async def _caller(self, request: Request[Any, Any, Any]) -> Caller:
        lane = self.lanes.of(request.scope)
        bearer = _bearer(request)
        if bearer is not None:
            address = request.client.host if request.client else "-"
            if not bearer.isascii() or len(bearer) > _UNTRUSTED_LENGTH:
                raise Unauthenticated("this is not a token", code="bad_token")
            try:
                return await lane.run(caller_of_token, lane.db, bearer)
            except Unauthenticated:
                # A known token never comes here: a client that guesses cannot lock its neighbours out.
                self.limit.check(address)
                self.limit.failed(address)
                raise
        cookie = request.cookies.get(SESSION_COOKIE)
        if not cookie:
            raise Unauthenticated(
                "no credentials", hint="send 'Authorization: Bearer …'; see `watchbill token create --help`"
            )
        caller = await lane.run(caller_of_session, lane.db, cookie[:_UNTRUSTED_LENGTH])
        if request.method not in _SAFE:
            check_csrf(caller, request.headers.get(CSRF_HEADER))
        return caller


def _bearer(request: Request[Any, Any, Any]) -> str | None:
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if kind.lower() == "bearer" else None


async def provide_caller(request: Request[Any, Any, Any]) -> Caller:
    """The dependency ``caller``."""
    caller = request.scope.get("user")
    if not isinstance(caller, Caller):
        raise Unauthenticated("this address does not know who is calling")
    return caller
