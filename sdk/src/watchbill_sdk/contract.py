"""The metrics contract, as data. docs/reference/reliability-contract.md is the same in words, checked by a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DEADLINE_HEADER = "request-timeout-ms"
"""Milliseconds that the caller will still wait, relative, so that clocks need not agree."""

ENVOY_DEADLINE_HEADER = "x-envoy-expected-rq-timeout-ms"
"""What Envoy tells its upstreams; read when ours is absent."""

PRIORITY_HEADER = "request-priority"
DEGRADED_HEADER = "degraded"
"""On a response: the dependencies that were done without, separated by commas."""

SPAN_DEGRADED = "reliability.degraded"
SPAN_DEGRADED_DEPENDENCIES = "reliability.degraded.dependencies"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric: monotonic ``counter`` (cumulative sum) or ``gauge`` (last value)."""

    name: str
    kind: Literal["counter", "gauge"]
    unit: str
    attributes: tuple[str, ...]
    description: str


DEPENDENCY = "reliability.dependency"
PRIMITIVE = "reliability.primitive"
REASON = "reliability.reason"
OUTCOME = "reliability.outcome"
PRIORITY = "reliability.priority"
EFFECT = "reliability.effect"
EXPERIMENT = "reliability.experiment"
SWITCH = "reliability.switch"
SETTING = "reliability.setting"
STATE = "reliability.state"

CALLS = Instrument(
    "reliability.calls", "counter", "{call}", (DEPENDENCY, OUTCOME),
    "Calls to a dependency, retries of one call counted once; outcome is ok, error, timeout or rejected.",
)  # fmt: skip
REJECTIONS = Instrument(
    "reliability.rejections", "counter", "{call}", (DEPENDENCY, PRIMITIVE, REASON),
    "Calls refused before they began, by the primitive that refused.",
)  # fmt: skip
SHED = Instrument(
    "reliability.shed", "counter", "{request}", (DEPENDENCY, PRIORITY),
    "Inbound requests refused by a concurrency limit, by their priority.",
)  # fmt: skip
RETRIES = Instrument(
    "reliability.retries", "counter", "{attempt}", (DEPENDENCY, OUTCOME),
    "Second and later attempts; outcome is sent, budget_spent, deadline or gave_up.",
)  # fmt: skip
RETRY_TOKENS = Instrument(
    "reliability.retry.tokens", "gauge", "{attempt}", (DEPENDENCY,),
    "Retries that the budget would allow at this moment.",
)  # fmt: skip
BREAKER_STATE = Instrument(
    "reliability.breaker.state", "gauge", "1", (DEPENDENCY,),
    "0 closed, 1 half-open, 2 open.",
)  # fmt: skip
BREAKER_CHANGES = Instrument(
    "reliability.breaker.changes", "counter", "{change}", (DEPENDENCY, STATE),
    "Changes of a breaker's state, by the state it changed to: closed, half_open, open.",
)  # fmt: skip
CONCURRENCY_LIMIT = Instrument(
    "reliability.concurrency.limit", "gauge", "{call}", (DEPENDENCY, PRIMITIVE),
    "How many calls may run at once at this moment; primitive is limiter or bulkhead.",
)  # fmt: skip
CONCURRENCY_INFLIGHT = Instrument(
    "reliability.concurrency.inflight", "gauge", "{call}", (DEPENDENCY, PRIMITIVE),
    "How many calls are running at this moment.",
)  # fmt: skip
THROTTLE = Instrument(
    "reliability.throttle.probability", "gauge", "1", (DEPENDENCY,),
    "Chance that a client throttle rejects the next call.",
)  # fmt: skip
HEDGES = Instrument(
    "reliability.hedges", "counter", "{attempt}", (DEPENDENCY, OUTCOME),
    "Second requests sent because the first was slow; outcome is sent, won or budget_spent.",
)  # fmt: skip
DEGRADED = Instrument(
    "reliability.degraded", "counter", "{call}", (DEPENDENCY, REASON),
    "Answers given without what this dependency would have added.",
)  # fmt: skip
SWITCH_STATE = Instrument(
    "reliability.switch.state", "gauge", "1", (SWITCH,),
    "1 the feature is on, 0 it is switched off.",
)  # fmt: skip
CHAOS = Instrument(
    "reliability.chaos.injections", "counter", "{call}", (DEPENDENCY, EFFECT, EXPERIMENT),
    "Calls that a drill slowed, failed or dropped; effect is latency, error or drop.",
)  # fmt: skip
EVIDENCE = Instrument(
    "reliability.evidence", "gauge", "s", (DEPENDENCY, PRIMITIVE, SETTING),
    "Unix time at which this protection of this dependency was last in use; 0: configured, never used.",
)  # fmt: skip

INSTRUMENTS: tuple[Instrument, ...] = (
    CALLS, REJECTIONS, SHED, RETRIES, RETRY_TOKENS, BREAKER_STATE, BREAKER_CHANGES, CONCURRENCY_LIMIT,
    CONCURRENCY_INFLIGHT, THROTTLE, HEDGES, DEGRADED, SWITCH_STATE, CHAOS, EVIDENCE,
)  # fmt: skip
