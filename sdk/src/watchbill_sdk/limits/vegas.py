"""Vegas: estimate the queue from the least latency ever seen, and keep it short."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

from watchbill_sdk.errors import ConfigError
from watchbill_sdk.limits.model import Sample, check_bounds


@dataclass(frozen=True, slots=True)
class Vegas:
    """queue = ⌈limit·(1 − rtt₀/rtt)⌉, with l = max(1, ⌊log₁₀ limit⌋): queue ≤ l: +6l; < 3l: +l; > 6l or a drop: −l.

    rtt₀ is the least latency seen; every ``probe × jitter × limit`` samples it is taken anew, in case the service has
    become slower for good. ``jitter`` is drawn anew each time between ½ and 1, by a small generator inside this
    value, so that a fleet does not probe at once and a step stays pure. Below half of the limit in use, nothing grows.
    Source: VegasLimit of Netflix's concurrency-limits; its defaults.
    """

    estimate: float = 20.0
    most: int = 1000
    smoothing: float = 1.0
    probe: int = 30
    rtt_noload: float = 0.0
    since_probe: int = 0
    jitter: float = 0.75
    seed: int = 1

    def __post_init__(self) -> None:
        check_bounds(1, self.most, self.estimate)
        if not (0 < self.smoothing <= 1 and self.probe >= 1 and 0.5 <= self.jitter <= 1):
            raise ConfigError("Vegas needs 0 < smoothing <= 1, probe >= 1 and a jitter from 0.5 to 1")

    @property
    def limit(self) -> int:
        """How many may run at once."""
        return int(self.estimate)

    def step(self, sample: Sample) -> Self:
        """Return the estimate after one window."""
        since = self.since_probe + 1
        if self.jitter * self.probe * self.estimate <= since:
            seed = (self.seed * 48271) % 2147483647  # Lehmer's generator, MINSTD
            jitter = 0.5 + 0.5 * seed / 2147483647
            return replace(self, rtt_noload=sample.rtt, since_probe=0, jitter=jitter, seed=seed)
        if self.rtt_noload == 0 or sample.rtt < self.rtt_noload:
            return replace(self, rtt_noload=sample.rtt, since_probe=since)
        wanted = min(self.most, max(1.0, self._wanted(sample)))
        estimate = (1 - self.smoothing) * self.estimate + self.smoothing * wanted
        return replace(self, estimate=estimate, since_probe=since)

    def _wanted(self, sample: Sample) -> float:
        unit = max(1, int(math.log10(max(1, int(self.estimate)))))
        if sample.dropped:
            return self.estimate - unit
        if sample.inflight * 2 < self.estimate:
            return self.estimate
        queue = math.ceil(self.estimate * (1 - self.rtt_noload / sample.rtt))
        if queue <= unit:
            return self.estimate + 6 * unit
        if queue < 3 * unit:
            return self.estimate + unit
        if queue > 6 * unit:
            return self.estimate - unit
        return self.estimate
