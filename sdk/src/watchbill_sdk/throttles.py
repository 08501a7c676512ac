"""Client throttling: hold back by oneself when a dependency refuses, so that its refusing does not cost it more.

Source: Google, Site Reliability Engineering, chapter 21, "Client-Side Throttling".
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from watchbill_sdk import contract
from watchbill_sdk.errors import ConfigError, Throttled
from watchbill_sdk.primitive import Primitive, Seconds, label, seconds
from watchbill_sdk.recorder import RECORDER, Measurement, gauge

_SLICES = 24


def reject_probability(*, requests: float, accepts: float, k: float = 2.0) -> float:
    """max(0, (requests − k·accepts) / (requests + 1)), over the window. Pure."""
    return max(0.0, (requests - k * accepts) / (requests + 1.0))


class Throttle(Primitive):
    """Refuse here with the probability of Google's formula over the last ``window`` (two minutes).

    A call is accepted unless it raises one of ``overload`` (all exceptions unless said). What the throttle itself
    refuses counts as a request, as in the formula. With ``k`` = 2 about half of what is sent may be refused before it
    acts.

    Raises:
        Throttled: by a call that is held back.
    """

    def __init__(
        self,
        dependency: str,
        *,
        k: float = 2.0,
        window: Seconds = 120.0,
        overload: tuple[type[BaseException], ...] = (Exception,),
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.dependency = label(dependency)
        if isinstance(k, bool) or not 1 <= k < float("inf"):
            raise ConfigError(f"k must be a finite number of at least 1, got {k!r}")
        self._k = float(k)
        self._slice = seconds(window, "window") / _SLICES
        self._overload = overload
        self._clock, self._chance = clock, chance
        self._lock = threading.Lock()
        self._slices: deque[list[float]] = deque()
        """(number of the slice, requests, accepts), oldest first; the sums beside it are of all of them."""
        self._requests = self._accepts = 0.0
        self._evidence = RECORDER.evidence(dependency, "throttle", f"k={self._k:g}")
        self._refused = RECORDER.counter(contract.REJECTIONS, dependency, "throttle", Throttled.code)
        RECORDER.watch(self)

    def _now(self) -> list[float]:
        """The slice of this moment; forgets those that left the window."""
        number = self._clock() // self._slice
        if not self._slices or self._slices[-1][0] != number:
            self._slices.append([number, 0.0, 0.0])
            while self._slices[0][0] <= number - _SLICES:
                _, requests, accepts = self._slices.popleft()
                self._requests -= requests
                self._accepts -= accepts
        return self._slices[-1]

    @property
    def probability(self) -> float:
        """The chance that the next call is held back."""
        with self._lock:
            self._now()
            return reject_probability(requests=self._requests, accepts=self._accepts, k=self._k)

    def begin(self) -> None:
        """Count a request, and hold it back by chance."""
        self._evidence.used()
        with self._lock:
            present = self._now()
            excess = self._requests - self._k * self._accepts
            held_back = excess > 0 and self._chance() < excess / (self._requests + 1.0)
            present[1] += 1
            self._requests += 1
        if held_back:
            self._refused.add()
            raise Throttled(f"{self.dependency} has been refusing; holding back", dependency=self.dependency)

    def end(self, held: None, error: BaseException | None) -> None:
        """Count an accepted call."""
        if isinstance(error, (*self._overload, asyncio.CancelledError)):
            return
        with self._lock:
            self._now()[2] += 1
            self._accepts += 1

    def observe(self) -> Iterable[Measurement]:
        """The probability as a gauge."""
        yield gauge(contract.THROTTLE, self.probability, self.dependency)
