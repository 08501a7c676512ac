"""What the demo asks of Watchbill's JSON API, as any script of yours could."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from examples.demo.story import DemoFailed

T = TypeVar("T")


class Watch:
    """Reads over HTTP with a bearer token. A server that is away for a moment is asked again."""

    def __init__(self, *, url: str, token: str) -> None:
        self.url = url
        self._client = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=5, trust_env=False
        )

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, **query: str) -> Any:
        """The decoded answer of ``GET /api/v1<path>``.

        Raises:
            DemoFailed: it was not 200.
        """
        answer = patiently(lambda: self._client.get(f"/api/v1{path}", params=query))
        if answer.status_code != 200:
            raise DemoFailed(f"GET /api/v1{path} answered {answer.status_code}: {answer.text[:300]}")
        return answer.json()

    def slos(self) -> list[dict[str, Any]]:
        """Every SLO with its state."""
        found: list[dict[str, Any]] = self.get("/slos")["slos"]
        return found

    def incidents(self) -> list[dict[str, Any]]:
        """Newest first."""
        found: list[dict[str, Any]] = self.get("/incidents")
        return found

    def incident(self, number: int) -> dict[str, Any]:
        """With alerts, pages, notifications and the timeline."""
        found: dict[str, Any] = self.get(f"/incidents/{number}")
        return found

    def on_call(self, team: str) -> dict[str, str]:
        """The person who is on call for the team now: ``login`` and ``name``."""
        watch = self.get("/oncall", team=team)[0]
        if watch["on_call"] is None:
            raise DemoFailed(f"nobody is on call for team {team}")
        found: dict[str, str] = watch["on_call"]["person"]
        return found


def patiently(send: Callable[[], httpx.Response]) -> httpx.Response:
    """Send; when nobody answers, or with 502 or 503, try again for ten seconds, as a browser's user would."""
    end = time.monotonic() + 10
    while True:
        try:
            answer = send()
            if answer.status_code not in (502, 503) or time.monotonic() > end:
                return answer
        except httpx.TransportError:
            if time.monotonic() > end:
                raise
        time.sleep(0.3)


def until(what: Callable[[], T | None], *, timeout_seconds: float, every_seconds: float = 0.25, why: str) -> T:
    """Ask until there is an answer.

    Raises:
        DemoFailed: none came in time.
    """
    end = time.monotonic() + timeout_seconds
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > end:
            raise DemoFailed(f"{why} (waited {timeout_seconds:.0f} s)")
        time.sleep(every_seconds)
