"""Talking to a Watchbill server from the command line.

Where: ``--home DIR``, else ``WATCHBILL_URL`` with ``WATCHBILL_TOKEN``, else the home that `watchbill up` uses by
default on this machine. ``watchbill up`` leaves ``local.json`` (mode 0600) in its home: its URL and an ordinary
admin token named "local". Who may read that folder could read the database too, so it grants nothing new; the
token is in the ledger, can be revoked like any other, and is replaced at the next start.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from watchbill.kernel.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Problem,
    TooLarge,
    Unauthenticated,
    Unavailable,
    WatchbillError,
)
from watchbill.runtime.home import LOCAL_FILE, LocalAccess

if TYPE_CHECKING:
    import httpx

_ERRORS: dict[int, type[WatchbillError]] = {
    kind.status: kind for kind in (Invalid, Unauthenticated, Forbidden, NotFound, Conflict, TooLarge, Unavailable)
}
_AWAY = frozenset({429, 502, 503, 504})


def read_local_access(home: Path) -> LocalAccess:
    """The contents of ``<home>/local.json``.

    Raises:
        NotFound: Watchbill has not been started with this home. Forbidden: the file is another user's.
    """
    path = home / LOCAL_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=LocalAccess)
    except PermissionError as error:
        raise Forbidden(
            f"{path} may not be read by this user", hint="run as the user of `watchbill up`, or use WATCHBILL_TOKEN"
        ) from error
    except (OSError, msgspec.MsgspecError) as error:
        raise NotFound(
            f"Watchbill is not running from {home}",
            code="no_local_server",
            place=str(path),
            hint="start it with `watchbill up --home DIR`, or set WATCHBILL_URL and WATCHBILL_TOKEN",
        ) from error


class Client:
    """A connection to one server; paths begin with ``/``. Use as a context manager."""

    def __init__(
        self, url: str, token: str | None, *, timeout_seconds: float = 60, transport: httpx.BaseTransport | None = None
    ) -> None:
        import httpx

        self.url = url.rstrip("/")
        headers = {"accept": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        try:
            self._http = httpx.Client(
                base_url=self.url, headers=headers, timeout=timeout_seconds, trust_env=False, transport=transport
            )
        except httpx.InvalidURL as error:
            raise Invalid(f"WATCHBILL_URL is '{url}'", hint="write http://host:8080") from error

    @classmethod
    def from_environment(cls, home: Path | str | None = None, *, timeout_seconds: float = 60) -> Client:
        """The server that the flags and the environment name.

        Raises:
            NotFound: none is named and none runs here.
        """
        url, token = os.environ.get("WATCHBILL_URL"), os.environ.get("WATCHBILL_TOKEN")
        if home is None and url:
            return cls(url, token, timeout_seconds=timeout_seconds)
        if home is None:
            from watchbill.runtime.config import default_home

            home = os.environ.get("WATCHBILL_HOME") or default_home()
        local = read_local_access(Path(home))
        return cls(local.url, local.token, timeout_seconds=timeout_seconds)

    def get(self, path: str, **params: Any) -> Any:
        """The decoded answer; parameters that are None are left out."""
        return self.request("GET", path, params=params)

    def post(self, path: str, json: Any = None, **params: Any) -> Any:
        """The decoded answer to a POST."""
        return self.request("POST", path, json=json, params=params)

    def put(self, path: str, json: Any = None, **params: Any) -> Any:
        """The decoded answer to a PUT."""
        return self.request("PUT", path, json=json, params=params)

    def patch(self, path: str, json: Any = None, **params: Any) -> Any:
        """The decoded answer to a PATCH."""
        return self.request("PATCH", path, json=json, params=params)

    def delete(self, path: str, json: Any = None, **params: Any) -> Any:
        """The decoded answer to a DELETE; None when it has no body."""
        return self.request("DELETE", path, json=json, params=params)

    def request(self, method: str, path: str, *, json: Any = None, params: dict[str, Any] | None = None) -> Any:
        """Send and decode.

        Raises:
            WatchbillError: of the kind that the server's answer names; Unavailable when there is no answer.
        """
        answer = self._send(method, path, json=json, params=params)
        return msgspec.json.decode(answer.content) if answer.content else None

    def text(self, path: str, **params: Any) -> str:
        """The answer as it is, for what is not JSON."""
        return self._send("GET", path, json=None, params=params).text

    def _send(self, method: str, path: str, *, json: Any, params: dict[str, Any] | None) -> httpx.Response:
        import httpx

        body = (
            {}
            if json is None
            else {"content": msgspec.json.encode(json), "headers": {"content-type": "application/json"}}
        )
        given = {name: value for name, value in (params or {}).items() if value is not None}
        try:
            answer = self._http.request(method, path, params=given, **body)  # type: ignore[arg-type]
        except httpx.HTTPError as error:
            raise Unavailable(
                f"no answer from {self.url}: {error}",
                code="no_answer",
                hint="is it running? see `watchbill up`; the address comes from WATCHBILL_URL or --home",
            ) from error
        if answer.is_success:
            return answer
        raise error_of(answer.status_code, answer.content, self.url)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Body(msgspec.Struct):
    error: Problem
    problems: list[Problem] = []


def error_of(status: int, content: bytes, url: str) -> WatchbillError:
    """The error that an answer stands for, from our body, else from its status alone."""
    kind = Unavailable if status in _AWAY else _ERRORS.get(status, WatchbillError)
    try:
        body = msgspec.json.decode(content, type=_Body)
    except msgspec.MsgspecError:
        return kind(f"{url} answered {status}", hint="is WATCHBILL_URL a Watchbill server?")
    told = body.error
    return kind(
        told.message, code=told.code, place=told.place, field=told.field, hint=told.hint, problems=body.problems
    )


def path_part(text: str) -> str:
    """``text`` as one part of a path, whatever signs it has."""
    return quote(text, safe="@")
