"""A limit on failed sign-ins and unknown tokens."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque

from watchbill.kernel.errors import TooMany


class FailureLimit:
    """At most ``most`` failures per key in ``window_seconds``, in this process; the oldest keys are forgotten.

    Each server counts for itself: with N of them a guesser has N times the tries, still far from 2^256.
    """

    def __init__(self, *, most: int, window_seconds: float, keys: int = 10_000) -> None:
        self.most = most
        self.window_seconds = window_seconds
        self._keys = keys
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, key: str, *, now: float | None = None) -> None:
        """Raise when the key has used up its failures.

        Raises:
            TooMany: with the time to wait in Retry-After.
        """
        at = time.monotonic() if now is None else now
        with self._lock:
            recent = [instant for instant in self._failures.get(key, ()) if instant > at - self.window_seconds]
        if len(recent) >= self.most:
            raise TooMany("too many failed attempts", hint=f"wait {self.window_seconds:.0f} seconds")

    def failed(self, key: str, *, now: float | None = None) -> None:
        """Count a failure."""
        with self._lock:
            failures = self._failures.setdefault(key, deque(maxlen=self.most))
            failures.append(time.monotonic() if now is None else now)
            self._failures.move_to_end(key)
            while len(self._failures) > self._keys:
                self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget the key's failures."""
        with self._lock:
            self._failures.pop(key, None)
