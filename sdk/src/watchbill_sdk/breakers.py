"""A circuit breaker: stop calling what fails every time, look again after a while with one call.

The state machine is purgatory's (closed, open, half-open); around it are a lock, because threads share breakers, and
one probe at a time while half-open, because a dependency that comes back should not meet everybody at once. See
docs/decisions for why purgatory and not pybreaker.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable

from purgatory.domain.messages.events import ContextChanged
from purgatory.domain.model import CLOSED, HALF_OPENED, Context, OpenedState

from watchbill_sdk import contract
from watchbill_sdk.errors import BreakerOpen, Rejected
from watchbill_sdk.primitive import Primitive, Seconds, label, seconds, whole
from watchbill_sdk.recorder import RECORDER, Measurement, gauge

_NUMBER = {CLOSED: 0, HALF_OPENED: 1}
_WORD = {CLOSED: "closed", HALF_OPENED: "half_open"}


class Breaker(Primitive):
    """Open after ``failures`` in a row; after ``recovery`` seconds let one call try.

    A failure is any exception except those in ``ignore``, refusals of other primitives (the dependency was not
    asked) and cancellation (nobody knows). :class:`~watchbill_sdk.DeadlineExceeded` is a failure.

    Raises:
        BreakerOpen: by a call while open; ``retry_after`` says how long.
    """

    def __init__(
        self,
        dependency: str,
        *,
        failures: int = 5,
        recovery: Seconds = 30.0,
        ignore: tuple[type[Exception], ...] = (),
    ) -> None:
        self.dependency = label(dependency)
        self._recovery = seconds(recovery, "recovery")
        self._circuit = Context(dependency, whole(failures, "failures"), self._recovery)
        self._ignore = ignore
        self._lock = threading.Lock()
        self._probing = False
        self._calm = True
        """Closed, and nothing has failed since the last success: nothing to count, so nobody takes the lock."""
        self._evidence = RECORDER.evidence(dependency, "breaker", f"{failures} failures, {self._recovery:g}s")
        self._refused = RECORDER.counter(contract.REJECTIONS, dependency, "breaker", BreakerOpen.code)
        RECORDER.watch(self)

    @property
    def state(self) -> str:
        """``closed``, ``half_open`` or ``open``."""
        return _WORD.get(self._circuit.state, "open")

    def begin(self) -> bool:
        """Return whether this call is the probe of a half-open breaker."""
        self._evidence.used()
        if self._calm:
            return False
        with self._lock:
            if self._circuit.state == CLOSED:
                return False
            try:
                self._circuit.handle_new_request()
            except OpenedState as opened:
                self._refused.add()
                raise self._refusal(self._recovery) from opened
            self._tell()
            if self._probing:
                self._refused.add()
                raise self._refusal(1.0)
            self._probing = True
            return True

    def end(self, held: bool, error: BaseException | None) -> None:
        """Count how it went."""
        if error is None and self._calm:
            return
        with self._lock:
            if held:
                self._probing = False
            unknown = isinstance(error, asyncio.CancelledError | GeneratorExit | KeyboardInterrupt | SystemExit)
            if unknown or isinstance(error, Rejected):
                return
            if not held and self._circuit.state != CLOSED:
                return  # it began before the breaker opened: the probe decides now
            if error is None or isinstance(error, self._ignore):
                self._circuit.handle_end_request()
            else:
                self._circuit.handle_exception(error)
            self._calm = self._circuit.state == CLOSED and not self._circuit.failure_count
            if self._circuit.messages:
                self._tell()

    def _refusal(self, retry_after: float) -> BreakerOpen:
        message = f"the breaker for {self.dependency} is {self.state}"
        return BreakerOpen(message, dependency=self.dependency, retry_after=retry_after)

    def _tell(self) -> None:
        for message in self._circuit.messages:
            if isinstance(message, ContextChanged):
                word = _WORD.get(message.state, "open")
                RECORDER.counter(contract.BREAKER_CHANGES, self.dependency, word).add()
        self._circuit.messages.clear()

    def observe(self) -> Iterable[Measurement]:
        """The state as a gauge."""
        yield gauge(contract.BREAKER_STATE, _NUMBER.get(self._circuit.state, 2), self.dependency)
