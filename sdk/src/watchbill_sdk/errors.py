"""What the primitives raise. A :class:`Rejected` call was never begun: nothing was sent, so go elsewhere."""

from __future__ import annotations

from typing import ClassVar


class ConfigError(ValueError):
    """A primitive was configured with something that cannot work; raised where it is made, never during a call."""


class ReliabilityError(Exception):
    """The family of everything raised on purpose by this package at call time.

    ``code`` is the ``reliability.reason`` of the metrics contract; ``status`` and ``grpc_status`` are what the
    middlewares answer with when the error reaches them; ``retry_after`` is in seconds.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 503
    grpc_status: ClassVar[str] = "UNAVAILABLE"

    def __init__(self, message: str, *, dependency: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.dependency = dependency
        self.retry_after = retry_after


class DeadlineExceeded(ReliabilityError, TimeoutError):
    """The time the caller is willing to wait is over. What was begun may still have happened."""

    code = "deadline_exceeded"
    status = 504
    grpc_status = "DEADLINE_EXCEEDED"


class Rejected(ReliabilityError):
    """Refused before it began."""

    code = "rejected"


class BreakerOpen(Rejected):
    """The circuit breaker of the dependency is open."""

    code = "breaker_open"


class BulkheadFull(Rejected):
    """As many calls to the dependency are running as its bulkhead allows."""

    code = "bulkhead_full"
    grpc_status = "RESOURCE_EXHAUSTED"


class Overloaded(Rejected):
    """The concurrency limit, or this priority's share of it, is used up."""

    code = "overloaded"
    grpc_status = "RESOURCE_EXHAUSTED"


class Throttled(Rejected):
    """The dependency has been refusing lately, so this client holds back by itself."""

    code = "throttled"


class SwitchedOff(Rejected):
    """Somebody has switched this feature off."""

    code = "switched_off"


class ChaosError(ReliabilityError, ConnectionError):
    """A drill asked for this failure. Never raised without a valid, signed token."""

    code = "chaos"


class BadAnswer(ReliabilityError):
    """An answer that says "not now" (429, 502, 503, 504), as the client integrations show it to retries and breakers.

    Name it in a :class:`~watchbill_sdk.Retry`'s ``on``. The caller of the client gets the last answer itself.
    """

    code = "bad_answer"

    def __init__(self, answer_status: int, *, dependency: str, retry_after: float | None) -> None:
        super().__init__(f"status {answer_status}", dependency=dependency, retry_after=retry_after)


class TokenRefused(ValueError):
    """A chaos token is forged, expired, for somebody else, or asks for more than is allowed."""
