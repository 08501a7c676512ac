"""Errors as pages: the code, what happened, and how to mend it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import structlog
from litestar import Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from watchbill.kernel.errors import Problem, Unauthenticated, WatchbillError
from watchbill.web import shell
from watchbill.web.shell import AnyRequest

log = structlog.get_logger("watchbill.web")

_TITLES = {
    400: "That cannot be right",
    403: "Not yours to do",
    404: "Nothing here",
    409: "Too late, or too early",
    413: "Too large",
    503: "One moment",
}


def show(
    request: AnyRequest, status: int, problems: tuple[Problem, ...], retry_after: int | None = None
) -> Response[Any]:
    """A page; for htmx a toast, since the page that asked stays as it is."""
    first = problems[0]
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    if "hx-request" in request.headers:
        text = first.message + (f": {first.hint}" if first.hint else "")
        trigger = json.dumps({"toast": {"text": text[0].upper() + text[1:] + ".", "tone": "red"}})
        return Response(None, status_code=status, headers={**headers, "HX-Trigger": trigger})
    title = _TITLES.get(status, "Something broke")
    answer = shell.page(request, "error.html", status=status, title=title, problems=problems, status_code=status)
    answer.headers.update(headers)
    return shell.with_headers(answer)


def ours(request: AnyRequest, error: WatchbillError) -> Response[Any]:
    """An error raised on purpose. Not signed in leads to the sign-in page, and back afterwards."""
    if isinstance(error, Unauthenticated):
        if "hx-request" in request.headers or request.url.path == "/stream":
            return Response(None, status_code=401)
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        back = "" if request.method != "GET" or wanted == "/" else f"?next={quote(wanted)}"
        return shell.with_headers(Response(None, status_code=303, headers={"Location": f"/sign-in{back}"}))
    return show(request, error.status, error.problems, error.retry_after_seconds)


def framework(request: AnyRequest, error: HTTPException) -> Response[Any]:
    """What Litestar itself refuses: an unknown path, a malformed form."""
    hint = "go back to your watch" if error.status_code == 404 else "reload the page and try again"
    message = "there is no such page" if error.status_code == 404 else "the request could not be read"
    return show(request, error.status_code, (Problem(code=f"http_{error.status_code}", message=message, hint=hint),))


def unexpected(request: AnyRequest, error: Exception) -> Response[Any]:
    """A defect of ours: logged with its trace, told without it."""
    log.exception("a screen failed", path=request.url.path, exc_info=error)
    problem = Problem(
        code="internal", message="Watchbill failed to show this page", hint="try again; the log has the details"
    )
    return show(request, 500, (problem,))


HANDLERS: ExceptionHandlersMap = {WatchbillError: ours, HTTPException: framework, Exception: unexpected}
