"""Asking the observer from another process.

The question goes over HTTP to the observer's port, signed with the installation's secret key for exactly this body and
for a short while, so that nobody else can read telemetry there. An observer that is away or slow is an error to show,
never a reason to wait: two seconds, then no answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec

from watchbill.features.telemetry import asking
from watchbill.kernel.errors import Invalid, Unavailable
from watchbill.runtime.signing import Signer

WAIT_SECONDS = 3.0
"""The engine gives up after two."""
_GOOD_FOR = timedelta(minutes=2)
_HINT = "start the observer, or set WATCHBILL_OBSERVER_URL to where it listens; paging goes on without it"


class Observer:
    """Where telemetry can be asked for. Safe to use from many threads.

    Args:
        base_url: of the observer, such as ``http://127.0.0.1:4318``.
        signer: with the installation's keys.
    """

    def __init__(self, base_url: str, signer: Signer, *, now: Callable[[], datetime] | None = None) -> None:
        self._url = base_url + asking.PATH
        self._signer = signer
        self._now = now or (lambda: datetime.now(UTC))
        self._client: httpx.Client | None = None

    def ask(self, question: asking.Question) -> Any:
        """The answer, of the type `asking.ANSWERS` gives for the question's.

        Raises:
            Invalid: the question cannot be answered as it was put.
            Unavailable: ``observer_away``: no answer in time.
        """
        if self._client is None:
            self._client = httpx.Client(timeout=WAIT_SECONDS, trust_env=False)
        body = msgspec.json.encode(question)
        try:
            reply = self._client.post(
                self._url,
                content=body,
                headers={"content-type": "application/json", "authorization": self._signature(body)},
            )
        except httpx.HTTPError as error:
            raise Unavailable(
                f"the observer does not answer: {error or type(error).__name__}", code="observer_away", hint=_HINT
            ) from error
        if reply.status_code == 200:
            return msgspec.json.decode(reply.content, type=asking.ANSWERS[type(question)])
        said = _problem(reply)
        if reply.status_code == 400:
            raise Invalid(said.message, field=said.field, hint=said.hint)
        raise Unavailable(said.message, code="observer_away", hint=said.hint or _HINT)

    def _signature(self, body: bytes) -> str:
        digest = hashlib.sha256(body).hexdigest()
        return "Watchbill " + self._signer.sign(
            asking.PURPOSE, {"body": digest}, expires_at=self._now() + _GOOD_FOR
        )

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None


class _Said(msgspec.Struct):
    message: str
    field: str | None = None
    hint: str | None = None


class _Reply(msgspec.Struct):
    error: _Said


def _problem(reply: httpx.Response) -> _Said:
    try:
        return msgspec.json.decode(reply.content, type=_Reply).error
    except msgspec.DecodeError:
        return _Said(message=f"the observer answered {reply.status_code}")
