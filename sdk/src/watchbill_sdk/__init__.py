"""Shared reliability primitives for services: bend before you break, and be able to show that you would.

Everything here works plainly, in sync and async code; ``watchbill_sdk.integrations`` has one module for each
framework and client library, which imports it only when it is imported itself.
"""

from watchbill_sdk.breakers import Breaker
from watchbill_sdk.bulkheads import Bulkhead
from watchbill_sdk.chaos import CHAOS, Experiment, sign, verify
from watchbill_sdk.deadlines import check, deadline, remaining, time_left
from watchbill_sdk.dependency import Dependency
from watchbill_sdk.errors import (
    BadAnswer,
    BreakerOpen,
    BulkheadFull,
    ChaosError,
    ConfigError,
    DeadlineExceeded,
    Overloaded,
    Rejected,
    ReliabilityError,
    SwitchedOff,
    Throttled,
    TokenRefused,
)
from watchbill_sdk.fallbacks import Fallback, degraded, mark_degraded
from watchbill_sdk.health import HEALTH
from watchbill_sdk.hedges import Hedge
from watchbill_sdk.limiter import Limiter, Priority
from watchbill_sdk.limits import AIMD, Fixed, Gradient2, Probing, Vegas
from watchbill_sdk.logs import add_trace_ids
from watchbill_sdk.recorder import RECORDER, Evidence
from watchbill_sdk.retries import Retry, RetryBudget
from watchbill_sdk.setup import Setup, register_metrics, setup
from watchbill_sdk.switches import Switch
from watchbill_sdk.throttles import Throttle

__version__ = "0.2.0"
__all__ = [
    "AIMD",
    "CHAOS",
    "HEALTH",
    "BadAnswer",
    "Breaker",
    "BreakerOpen",
    "Bulkhead",
    "BulkheadFull",
    "ChaosError",
    "ConfigError",
    "DeadlineExceeded",
    "Dependency",
    "Evidence",
    "Experiment",
    "Fallback",
    "Fixed",
    "Gradient2",
    "Hedge",
    "Limiter",
    "Overloaded",
    "Priority",
    "Probing",
    "Rejected",
    "ReliabilityError",
    "Retry",
    "RetryBudget",
    "Setup",
    "Switch",
    "SwitchedOff",
    "Throttle",
    "Throttled",
    "TokenRefused",
    "Vegas",
    "add_trace_ids",
    "check",
    "deadline",
    "degraded",
    "evidence",
    "mark_degraded",
    "register_metrics",
    "remaining",
    "setup",
    "sign",
    "time_left",
    "verify",
]


def evidence() -> list[Evidence]:
    """Return which dependencies this process protects, how, and when each protection was last at work."""
    return RECORDER.all_evidence()
