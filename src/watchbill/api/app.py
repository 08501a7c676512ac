"""The HTTP application: the JSON API of every noun under /api/v1, with whatever else a process serves beside it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from litestar import Litestar, Request, Router
from litestar.datastructures import MutableScopeHeaders
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ControllerRouterHandler, LifespanHook, Message, Scope

from watchbill import __version__
from watchbill.api.auth import AuthMiddleware, provide_caller
from watchbill.api.errors import HANDLERS
from watchbill.api.pools import LaneMiddleware, Lanes, use_lanes
from watchbill.features.identity import FailureLimit
from watchbill.features.telemetry import Observer
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database
from watchbill.runtime.signing import Signer

NOUNS: tuple[str, ...] = (
    "me",
    "people",
    "contacts",
    "apply",
    "teams",
    "tickets",
    "services",
    "oncall",
    "schedules",
    "drafting",
    "swaps",
    "availability",
    "tokens",
    "integrations",
    "events",
    "incidents",
    "incident_hands",
    "policy",
    "suspects",
    "rollback",
    "runners",
    "slos",
    "slo_report",
    "slo_exclusions",
    "slo_openslo",
    "changes",
    "gate",
    "capacity",
    "ramps",
    "evidence",
    "traces",
    "test_page",
    "ledger",
    "status",
    "stream",
)
"""Modules of this package that have ``handlers``, in the order of the reference page."""

_SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_API_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


def create_app(
    *,
    settings: Settings,
    lanes: Lanes,
    handlers: Sequence[ControllerRouterHandler] = (),
    on_startup: Sequence[LifespanHook] = (),
    on_shutdown: Sequence[LifespanHook] = (),
    failure_limit: FailureLimit | None = None,
    **more: Any,
) -> Litestar:
    """Build the application; call it before the event loop runs.

    ``handlers`` are what others serve beside the API (screens, intake, health); they do their own
    authentication, use the same lanes and get the dependencies ``db``, ``settings`` and ``signer`` too.
    ``more`` goes to Litestar as it is (template and static-file configuration, plugins, state).
    """
    use_lanes()
    observer = Observer(settings.observer_base_url, Signer(settings.secret_keys))
    api = Router(
        path="/api/v1",
        route_handlers=_noun_handlers(),
        middleware=[AuthMiddleware(lanes, limit=failure_limit)],
        dependencies={"caller": Provide(provide_caller)},
        security=[{"token": []}],
    )
    beside = Router(path="/", route_handlers=list(handlers), include_in_schema=False)
    return Litestar(
        route_handlers=[api, beside],
        middleware=[LaneMiddleware(lanes)],
        dependencies={
            "db": Provide(_database_of(lanes), sync_to_thread=False),
            "settings": Provide(lambda: settings, sync_to_thread=False),
            "signer": Provide(_signer_of(settings), sync_to_thread=False),
            "observer": Provide(lambda: observer, sync_to_thread=False),
        },
        exception_handlers=HANDLERS,
        openapi_config=openapi_config(settings),
        request_max_body_size=settings.max_body_bytes,
        before_send=[_add_headers],
        on_startup=list(on_startup),
        on_shutdown=[*on_shutdown, observer.close],
        **more,
    )


def openapi_config(settings: Settings) -> OpenAPIConfig:
    """OpenAPI 3.1 at ``/api/openapi.json`` (and nothing else: no page that would load scripts from elsewhere)."""
    del settings
    return OpenAPIConfig(
        title="Watchbill",
        version=__version__,
        description="The JSON API of Watchbill. Additive only: fields and routes are added, never changed.",
        path="/api",
        render_plugins=[JsonRenderPlugin()],
        use_handler_docstrings=True,
        components=Components(
            security_schemes={
                "token": SecurityScheme(
                    type="http", scheme="bearer", description="Made by `watchbill token create NAME --role ROLE`."
                )
            }
        ),
    )


def _noun_handlers() -> list[ControllerRouterHandler]:
    found: list[ControllerRouterHandler] = []
    for noun in NOUNS:
        found.extend(importlib.import_module(f"watchbill.api.{noun}").handlers)
    return found


def _database_of(lanes: Lanes) -> Callable[[Request[Any, Any, Any]], Database]:
    def provide_db(request: Request[Any, Any, Any]) -> Database:
        return lanes.of(request.scope).db

    return provide_db


def _signer_of(settings: Settings) -> Callable[[], Signer]:
    signer = Signer(settings.secret_keys)

    def provide_signer() -> Signer:
        return signer

    return provide_signer


async def _add_headers(message: Message, scope: Scope) -> None:
    """Headers for every answer, errors too; what a handler set itself stays."""
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders.from_message(message)
    wanted = {**_SECURITY_HEADERS, **(_API_HEADERS if scope["path"].startswith("/api/") else {})}
    for name, value in wanted.items():
        if name not in headers:
            headers[name] = value
