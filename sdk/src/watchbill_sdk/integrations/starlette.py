"""Starlette and what is built on it: ``install(app)`` before the first request."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette

from watchbill_sdk.integrations.asgi import Middleware


def install(app: Starlette, **rules: Any) -> None:
    """Put :class:`~watchbill_sdk.integrations.asgi.Middleware` around the application, with its arguments."""
    app.add_middleware(Middleware, **rules)
