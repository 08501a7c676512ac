"""Errors as JSON: ``{"error": {code, message, place, field, hint}, "problems": […]}``; never a stack trace."""

from __future__ import annotations

from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

from watchbill.kernel.errors import Problem, WatchbillError
from watchbill.kernel.ids import new_id

log = structlog.get_logger("watchbill.api")

_CODES = {
    400: "invalid",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
    503: "unavailable",
}
_HINTS = {
    404: "see /api/openapi.json for what there is",
    405: "see /api/openapi.json for what there is",
    415: "send application/json",
}


def error_body(error: WatchbillError) -> dict[str, Any]:
    """The JSON of an error of ours."""
    return {"error": error.problem, "problems": list(error.problems)}


def answer_watchbill_error(request: Request[Any, Any, Any], error: WatchbillError) -> Response[dict[str, Any]]:
    """An error raised on purpose: its status and, when trying again helps, ``Retry-After`` in seconds."""
    headers: dict[str, str] = {}
    if error.retry_after_seconds is not None:
        headers["retry-after"] = str(error.retry_after_seconds)
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.status >= 500:
        log.warning(
            "answered with an error", path=request.url.path, code=error.problem.code, why=error.problem.message
        )
    return Response(error_body(error), status_code=error.status, headers=headers, media_type="application/json")


def answer_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    """An error of the framework: routing, media types, validation of bodies and parameters."""
    if error.status_code >= 500:
        return answer_unexpected(request, error)
    code = _CODES.get(error.status_code, "invalid")
    found = _problems(error, code)
    body = {"error": found[0], "problems": found}
    return Response(
        body, status_code=error.status_code, headers=dict(error.headers or {}), media_type="application/json"
    )


def _problems(error: HTTPException, code: str) -> list[Problem]:
    extra = error.extra if isinstance(error, ValidationException) and isinstance(error.extra, list) else []
    found = [
        Problem(
            code=code,
            message=str(item.get("message", error.detail)),
            place=f"{item['source']}" if item.get("source") else None,
            field=str(item["key"]) if item.get("key") else None,
        )
        for item in extra
        if isinstance(item, dict)
    ]
    if found:
        return found
    message = error.detail.split("\n", 1)[0] or code.replace("_", " ")
    return [Problem(code=code, message=message, hint=_HINTS.get(error.status_code))]


def answer_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """A defect of ours: an id that is in the log too, and nothing else."""
    incident = str(new_id())
    log.error("unexpected error", id=incident, method=request.method, path=request.url.path, exc_info=error)
    problem = Problem(
        code="internal",
        message=f"Watchbill made a mistake (id {incident})",
        hint="look for this id in the log of the server and report it",
    )
    return Response({"error": problem, "problems": [problem]}, status_code=500, media_type="application/json")


HANDLERS: ExceptionHandlersMap = {
    WatchbillError: answer_watchbill_error,
    HTTPException: answer_http_error,
    Exception: answer_unexpected,
}
