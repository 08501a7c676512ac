"""Gradient2: compare the present latency with a slow average of it; shrink as they part, probe upwards otherwise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from watchbill_sdk.errors import ConfigError
from watchbill_sdk.limits.model import Sample, check_bounds

WARM_UP = 10
"""Samples whose plain mean starts the average."""


@dataclass(frozen=True, slots=True)
class Gradient2:
    """gradient = clamp(tolerance · long/short, ½, 1); limit ← (1−s)·limit + s·(limit·gradient + queue).

    ``short`` is the sample, ``long`` its exponential average over ``window`` samples (the plain mean for the first
    ten).
    While long/short > 2 the average is cut by 5% a step, so that it follows a recovery. Below half of the limit in use,
    nothing changes. Source: Gradient2Limit and ExpAvgMeasurement of Netflix's concurrency-limits; their defaults,
    except ``least``: theirs is 20, too many for services of a few workers.
    """

    estimate: float = 20.0
    least: int = 4
    most: int = 200
    queue: float = 4.0
    tolerance: float = 1.5
    smoothing: float = 0.2
    window: int = 600
    long_rtt: float = 0.0
    samples: int = 0

    def __post_init__(self) -> None:
        check_bounds(self.least, self.most, self.estimate)
        if not (0 < self.smoothing <= 1 and self.tolerance >= 1 and self.queue >= 0 and self.window >= 1):
            raise ConfigError("Gradient2 needs 0 < smoothing <= 1, tolerance >= 1, queue >= 0 and window >= 1")

    @property
    def limit(self) -> int:
        """How many may run at once."""
        return int(self.estimate)

    def step(self, sample: Sample) -> Self:
        """Return the estimate after one window. A drop is not looked at: it shows in the latency of the others."""
        if self.samples < WARM_UP:
            long = (self.long_rtt * self.samples + sample.rtt) / (self.samples + 1)
        else:
            weight = 2 / (self.window + 1)
            long = self.long_rtt * (1 - weight) + sample.rtt * weight
        samples = min(self.samples + 1, WARM_UP)
        kept = long * 0.95 if long / sample.rtt > 2 else long
        if sample.inflight < self.estimate / 2:
            return replace(self, long_rtt=kept, samples=samples)
        gradient = max(0.5, min(1.0, self.tolerance * long / sample.rtt))
        wanted = self.estimate * gradient + self.queue
        estimate = self.estimate * (1 - self.smoothing) + wanted * self.smoothing
        estimate = max(self.least, min(self.most, estimate))
        return replace(self, estimate=estimate, long_rtt=kept, samples=samples)
