"""Additive increase, multiplicative decrease: for clients that learn of overload by drops and timeouts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from watchbill_sdk.errors import ConfigError
from watchbill_sdk.limits.model import Sample, check_bounds
from watchbill_sdk.primitive import seconds


@dataclass(frozen=True, slots=True)
class AIMD:
    """``limit × backoff`` on a drop or when the mean time passes ``timeout`` seconds; +1 when at least half is used.

    Source: AIMDLimit of Netflix's concurrency-limits; its defaults.
    """

    limit: int = 20
    least: int = 20
    most: int = 200
    backoff: float = 0.9
    timeout: float = 5.0

    def __post_init__(self) -> None:
        check_bounds(self.least, self.most, self.limit)
        seconds(self.timeout, "timeout")
        if not 0.5 <= self.backoff < 1:
            raise ConfigError(f"backoff must be at least 0.5 and below 1, got {self.backoff!r}")

    def step(self, sample: Sample) -> Self:
        """Return the limit after one window."""
        limit = self.limit
        if sample.dropped or sample.rtt > self.timeout:
            limit = int(limit * self.backoff)
        elif sample.inflight * 2 >= limit:
            limit += 1
        return replace(self, limit=min(self.most, max(self.least, limit)))
