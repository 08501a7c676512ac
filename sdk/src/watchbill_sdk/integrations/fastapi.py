"""FastAPI: ``install(app)`` before the first request."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from watchbill_sdk.integrations.starlette import install as _install


def install(app: FastAPI, **rules: Any) -> None:
    """Put :class:`~watchbill_sdk.integrations.asgi.Middleware` around the application, with its arguments."""
    _install(app, **rules)
