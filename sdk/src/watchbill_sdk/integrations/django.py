"""Django, WSGI and ASGI: first in ``MIDDLEWARE``, ``"watchbill_sdk.integrations.django.WatchbillMiddleware"``.

Arguments as of :class:`~watchbill_sdk.inbound.Inbound` in the setting ``WATCHBILL = {"limiter": …, "timeout": …}``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from watchbill_sdk.errors import ReliabilityError
from watchbill_sdk.health import HEALTH
from watchbill_sdk.inbound import Inbound, Request, answer_for

_FAILURE = "_watchbill_failure"


class WatchbillMiddleware:
    """One class for sync and async stacks; Django asks which by what it hands in."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._next = get_response
        self._rules = Inbound(**getattr(settings, "WATCHBILL", {}))
        self._rules.started()
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        """Serve one request."""
        health = HEALTH.answer(request.path) if request.method in ("GET", "HEAD") else None
        if self._is_async:
            return self._serve_async(request, health)
        if health is not None:
            return HttpResponse(health[1], "application/json", health[0])
        return self._serve(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer errors of this package; others go their way."""
        setattr(request, _FAILURE, error)
        return _answer(error) if isinstance(error, ReliabilityError) else None

    def _enter(self, request: HttpRequest) -> Request:
        return self._rules.enter(
            method=request.method or "GET",
            path=request.path,
            scheme=request.scheme or "http",
            header=request.headers.get,
        )

    def _serve(self, request: HttpRequest) -> HttpResponse:
        entered = self._enter(request)
        answer: HttpResponse | None = None
        try:
            entered.admit()
            answer = self._next(request)
        except ReliabilityError as error:
            setattr(request, _FAILURE, error)
            answer = _answer(error)
        finally:
            _leave(entered, request, answer)
        return answer

    async def _serve_async(self, request: HttpRequest, health: tuple[int, bytes] | None) -> HttpResponse:
        if health is not None:
            return HttpResponse(health[1], "application/json", health[0])
        entered = self._enter(request)
        answer: HttpResponse | None = None
        try:
            entered.admit(enter_deadline=False)
            if entered.deadline is None:
                answer = await self._next(request)
            else:
                async with entered.deadline:
                    answer = await self._next(request)
        except ReliabilityError as error:
            setattr(request, _FAILURE, error)
            answer = _answer(error)
        finally:
            _leave(entered, request, answer)
        return answer


def _leave(entered: Request, request: HttpRequest, answer: HttpResponse | None) -> None:
    match = request.resolver_match
    entered.route = f"/{match.route}" if match is not None else None
    if answer is not None:
        for name, value in entered.headers():
            answer[name] = value
    entered.leave(status=answer.status_code if answer is not None else None, error=getattr(request, _FAILURE, None))


def _answer(error: ReliabilityError) -> HttpResponse:
    status, headers, body = answer_for(error)
    return HttpResponse(body, status=status, headers=headers)
