"""Switches and drills from one small JSON document, fetched now and then in the background.

``{"switches": {"recommendations": false}, "chaos": ["<token>"]}``. A failed or unfit fetch leaves everything as it
was; chaos tokens expire by themselves even if the document can never be fetched again.
"""

from __future__ import annotations

import json
import logging
import threading
import urllib.error
import urllib.request
from typing import Any

from watchbill_sdk import chaos, switches
from watchbill_sdk.errors import ConfigError
from watchbill_sdk.primitive import Seconds, seconds

log = logging.getLogger(__name__)
_MOST_BYTES = 1_000_000


class Poller:
    """Fetch the document every ``every`` seconds on a daemon thread; ``ETag`` saves the transfer."""

    def __init__(self, url: str, *, every: Seconds = 10.0, token: str | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"the address of switches must begin with http:// or https://, got {url!r}")
        self._url, self._every, self._token = url, seconds(every, "every"), token
        self._etag: str | None = None
        self._failed = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; the first fetch is at once, but nobody waits for it."""
        self._thread = threading.Thread(target=self._run, name="watchbill-switches", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()

    def _run(self) -> None:
        while True:
            self.poll()
            if self._stop.wait(self._every):
                return

    def poll(self) -> bool:
        """Fetch once; return whether that worked. A failure is logged once, until it works again."""
        try:
            found = self._fetch()
            if found is not None:
                apply(found)
        except (OSError, ValueError) as error:  # URLError is an OSError, bad JSON a ValueError
            if not self._failed:
                log.warning("switches: %s: %s; they stay as they are", self._url, error)
            self._failed = True
            return False
        self._failed = False
        return True

    def _fetch(self) -> Any:
        request = urllib.request.Request(self._url)  # noqa: S310  # checked to be http(s) when made
        if self._etag:
            request.add_header("If-None-Match", self._etag)
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310  # as above
                self._etag = answer.headers.get("ETag")
                body = answer.read(_MOST_BYTES + 1)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 304:
                return None
            raise
        if len(body) > _MOST_BYTES:
            raise ValueError("the document is larger than 1 MB")
        return json.loads(body)


def apply(document: Any) -> None:
    """Take over a document.

    Raises:
        ValueError: it is not of the shape; nothing is changed then.
    """
    if not isinstance(document, dict):
        raise ValueError("the document is not a JSON object")
    states, tokens = document.get("switches", {}), document.get("chaos", [])
    if not isinstance(states, dict) or not all(isinstance(state, bool) for state in states.values()):
        raise ValueError("switches must map names to true or false")
    if not isinstance(tokens, list):
        raise ValueError("chaos must be a list of tokens")
    switches.set_polled(states)
    chaos.take_polled(tokens)
