"""requests: an adapter. ``session.mount("https://payments.internal", Adapter(payments))``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from opentelemetry.trace import Span
from requests.adapters import HTTPAdapter

from watchbill_sdk.clients import Call, guarding
from watchbill_sdk.deadlines import time_left
from watchbill_sdk.dependency import Dependency
from watchbill_sdk.outbound import add_headers


class Adapter(HTTPAdapter):
    """Send with the protections of a dependency; further arguments are those of requests' own adapter.

    requests has no timeout of its own: calls get what is left of the deadline. A timeout that the deadline caused is
    :class:`~watchbill_sdk.DeadlineExceeded`. requests' read timeout is between two bytes, so a body that trickles may
    last longer.
    """

    def __init__(self, dependency: Dependency, **options: Any) -> None:
        self._dependency = guarding(dependency)
        super().__init__(**options)

    def send(  # noqa: PLR0917  # the signature of requests
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float | None, float | None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request."""
        plain: Any = super().send
        url = request.url or ""
        call: Call[requests.Response] = Call(
            self._dependency, method=request.method or "GET", url=url, host=urlsplit(url).hostname or ""
        )

        def send(span: Span) -> requests.Response:
            add_headers(request.headers)
            try:
                answer = plain(request, stream, _shorten(timeout), verify, cert, proxies)
            except requests.Timeout as error:
                raise call.late(error) from error
            return call.judge(span, answer, answer.status_code, answer.headers.get)

        return call.run(send, lambda answer: answer.close())


def _shorten(
    timeout: float | tuple[float | None, float | None] | None,
) -> tuple[float | None, float | None]:
    """(connect, read), neither longer than what is left."""
    left = time_left(float("inf"))
    connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    if left == float("inf"):
        return connect, read
    return (left if connect is None else min(connect, left)), (left if read is None else min(read, left))
