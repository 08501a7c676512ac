"""Flask: ``install(app)``."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, request

from watchbill_sdk.errors import ReliabilityError
from watchbill_sdk.inbound import answer_for
from watchbill_sdk.integrations.wsgi import Environ, Middleware

_ROUTE = "watchbill_sdk.route"


def install(app: Flask, **rules: Any) -> None:
    """Put :class:`~watchbill_sdk.integrations.wsgi.Middleware` around the application, with its arguments."""

    def remember_route() -> None:
        if request.url_rule is not None:
            request.environ[_ROUTE] = request.url_rule.rule

    def answer(error: ReliabilityError) -> Response:
        status, headers, body = answer_for(error)
        return Response(body, status, headers)

    def route(environ: Environ) -> str | None:
        found = environ.get(_ROUTE)
        return found if isinstance(found, str) else None

    app.before_request(remember_route)
    app.register_error_handler(ReliabilityError, answer)
    # Flask's documented way to wrap an application, which mypy takes for a replaced method.
    app.wsgi_app = Middleware(app.wsgi_app, route=route, **rules)  # type: ignore[method-assign]  # see above
