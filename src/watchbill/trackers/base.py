"""What every tracker does the same: one request, and what an answer means."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
import msgspec

from watchbill.features.tickets import Draft, TrackerError
from watchbill.kernel.errors import WatchbillError
from watchbill.runtime.http_out import Answer, HttpOut

_MOST_WAIT = 3600.0 * 6
_ACCEPTED = (200, 201, 202, 204)

T = TypeVar("T")


class Api:
    """One provider's REST API: base URL, headers (made anew for every request: a token's file may change).

    Args:
        now: the wall clock; providers say their limits as instants.
    """

    def __init__(
        self,
        *,
        http: HttpOut,
        url: str,
        name: str,
        headers: Callable[[], Mapping[str, str]],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self.name = name
        self._headers = headers
        self._now = now

    def call(self, method: str, path: str, *, json: Any = None, missing: bool = False) -> Answer | None:
        """One request; None for 404 and 410 where ``missing`` says that these are answers.

        Raises:
            TrackerError: see `_refusal`; no answer at all leaves a change ``unsure``.
        """
        changes = method != "GET"
        try:
            answer = self._http.request(method, f"{self._url}/{path}", json=json, headers=self._headers())
        except WatchbillError as error:
            raise TrackerError(f"{self.name}: {error.problem.message}", permanent=True) from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise TrackerError(f"{self.name}: {error}", permanent=True) from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise TrackerError(f"{self.name} cannot be reached: {error or type(error).__name__}") from error
        except httpx.HTTPError as error:
            raise TrackerError(
                f"{self.name} did not answer: {error or type(error).__name__}", unsure=changes
            ) from error
        if answer.status in _ACCEPTED:
            return answer
        if missing and answer.status in (404, 410):
            return None
        raise _refusal(self.name, answer, changes=changes, now=self._now())

    def ask(self, method: str, path: str, type: type[T], *, json: Any = None) -> T:
        """One request whose answer is read as ``type``."""
        answer = self.call(method, path, json=json)
        return self.read(answer, type, changes=method != "GET")

    def read(self, answer: Answer | None, type: type[T], *, changes: bool = False) -> T:
        """The body as ``type``.

        Raises:
            TrackerError: it is not what the provider's API documents.
        """
        try:
            return msgspec.json.decode(answer.body if answer else b"", type=type)
        except msgspec.DecodeError as error:
            raise TrackerError(f"{self.name}: not an answer of its API ({error})", unsure=changes) from error


def _refusal(name: str, answer: Answer, *, changes: bool, now: datetime) -> TrackerError:
    """What a status means (RFC 9110; GitHub says its limits with 403 as well as 429).

    A limit and 5xx pass by themselves; 408 and 5xx leave a change unsure; every other 4xx needs somebody to mend it.
    """
    said = f"{name} answered {answer.status}: {_message(answer)}"
    wait = limit_seconds(answer, now=now)
    limited = answer.status == 403 and (wait is not None or "rate limit" in said.lower())
    if answer.status == 429 or limited:
        return TrackerError(said, retry_after_seconds=60.0 if wait is None else wait)
    if answer.status >= 500 or answer.status in (408, 425):
        return TrackerError(said, unsure=changes, retry_after_seconds=wait)
    return TrackerError(said, permanent=True)


def limit_seconds(answer: Answer, *, now: datetime) -> float | None:
    """How long the provider asks to be left alone; None when it does not.

    ``Retry-After`` in seconds or as a date (RFC 9110, 10.2.3), else the reset of an exhausted ``X-RateLimit``
    (GitHub, GitLab: epoch seconds; Jira: an ISO instant).
    """
    headers = {key.lower(): value.strip() for key, value in answer.headers.items()}
    if asked := headers.get("retry-after"):
        return _seconds_until(asked, now=now)
    remaining = headers.get("x-ratelimit-remaining", headers.get("ratelimit-remaining"))
    reset = headers.get("x-ratelimit-reset", headers.get("ratelimit-reset"))
    if remaining == "0" and reset:
        return _seconds_until(reset, now=now)
    return None


def _seconds_until(text: str, *, now: datetime) -> float | None:
    from email.utils import parsedate_to_datetime

    with contextlib.suppress(ValueError):
        number = float(text)
        seconds = number - now.timestamp() if number > 1e9 else number  # an epoch, or a length of time
        return min(max(seconds, 1.0), _MOST_WAIT)
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        with contextlib.suppress(ValueError):
            at = read(text.replace("Z", "+00:00"))
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            return min(max((at - now).total_seconds(), 1.0), _MOST_WAIT)
    return None


def _message(answer: Answer) -> str:
    """The provider's own words: ``message``, ``error``, Jira's ``errorMessages`` and ``errors``."""
    with contextlib.suppress(msgspec.DecodeError):
        found = msgspec.json.decode(answer.body)
        if isinstance(found, dict):
            parts = [found.get("message"), found.get("error_description"), found.get("error")]
            parts += list(found.get("errorMessages") or ())
            errors = found.get("errors")
            if isinstance(errors, dict):
                parts += [f"{key}: {value}" for key, value in errors.items()]
            elif isinstance(errors, list):
                parts += [each.get("message") or each.get("code") for each in errors if isinstance(each, dict)]
            said = "; ".join(str(part) for part in parts if part)
            if said:
                return said[:300]
    return answer.text[:200].strip() or "nothing"


def markdown(draft: Draft) -> str:
    """The ticket in Markdown (GitHub, GitLab): foreign text is fenced, so that it mentions and closes nothing."""
    parts = [escaped(draft.intro).replace("\n", "  \n")]
    if draft.description:
        parts.append(fenced(draft.description))
    parts.append("\n".join(f"- {escaped(title)}: {url}" for title, url in draft.links))
    parts.append("Watchbill keeps this up to date. Close it by hand and it is left alone.")
    parts.append(f"<!-- {draft.marker} -->")
    return "\n\n".join(parts)


def fenced(text: str) -> str:
    """Text as a block of code, whatever is in it."""
    fence = "~~~"
    while fence in text:
        fence += "~"
    return f"{fence}text\n{text}\n{fence}"


def escaped(text: str) -> str:
    """Text that mentions nobody, links nothing and is no markup."""
    found = text
    for sign in "\\`*_[]<>#@!|":
        found = found.replace(sign, f"\\{sign}" if sign != "@" else "@\u200b")
    return found
