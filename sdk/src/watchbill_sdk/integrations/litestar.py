"""Litestar: ``Litestar(route_handlers=[…], plugins=[WatchbillPlugin()])``."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get
from litestar.config.app import AppConfig
from litestar.middleware import DefineMiddleware
from litestar.plugins import InitPlugin

from watchbill_sdk import shutdown
from watchbill_sdk.errors import ReliabilityError
from watchbill_sdk.health import HEALTH, LIVE_PATH, READY_PATH
from watchbill_sdk.inbound import answer_for
from watchbill_sdk.integrations.asgi import Middleware


@get([LIVE_PATH, READY_PATH], include_in_schema=False, sync_to_thread=False)
def _health(request: Request[Any, Any, Any]) -> Response[bytes]:
    status, body = HEALTH.answer(request.url.path) or (404, b"{}")
    return Response(body, status_code=status, media_type="application/json")


def _answer(_: Request[Any, Any, Any], error: ReliabilityError) -> Response[bytes]:
    status, headers, body = answer_for(error)
    media_type = headers.pop("content-type")
    return Response(body, status_code=status, headers=headers, media_type=media_type)


class WatchbillPlugin(InitPlugin):
    """The middleware, with its arguments, the health paths and the answers for errors of this package."""

    def __init__(self, **rules: Any) -> None:
        self._rules = rules

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add to the application's configuration."""
        made: Any = Middleware  # an ASGI middleware, whatever names its types go by
        app_config.middleware.insert(0, DefineMiddleware(made, **self._rules))
        app_config.route_handlers.append(_health)
        app_config.exception_handlers = {ReliabilityError: _answer, **app_config.exception_handlers}
        app_config.on_startup.append(shutdown.install_again)
        return app_config
