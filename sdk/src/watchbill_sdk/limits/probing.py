"""Gradient2 that checks its idea of "not slow" by experiment: does half as many at once get as much done?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, Self

from watchbill_sdk.errors import ConfigError
from watchbill_sdk.limits.gradient2 import WARM_UP, Gradient2
from watchbill_sdk.limits.model import Sample

SHEDDING = 0.2
"""Of what arrives: from this share on a server is overloaded, below it bursts are."""
KEPT, LOST, GAINED = 0.85, 0.65, 1.2
"""Of the throughput before a trial: with half the limit, all was a queue, or all was needed; with twice the limit, it
was needed. Throughput of a second is noisy, so these stand well apart from 1 and from ½."""


@dataclass(frozen=True, slots=True)
class Probing:
    """The limit of ``gradient``; while much is shed, every ``every`` windows half (or twice) of it is tried for two.

    Latencies alone cannot tell a queue from work: Gradient2 that is started under overload takes its queue for normal,
    and under overload that lasts it slowly gets used to it. Throughput can, by Little's law: halve the number at once,
    and if as much gets done, half of them only waited. Then the half becomes the limit and its latency the normal one.
    If throughput falls in proportion, there was no queue at all, and twice as many are tried. If that gains nothing,
    the limit is about right, and it is left in peace for ten times as long. A trial's first window is not looked at:
    in it those end that were let in before. Nothing is tried while less than a fifth is shed.
    """

    gradient: Gradient2 = field(default_factory=Gradient2)
    every: int = 3
    trial: Literal["", "half", "twice"] = ""
    next: Literal["half", "twice"] = "half"
    settled: bool = False
    windows: int = 0
    rate: float = 0.0
    """Calls per second at the limit as it is."""

    def __post_init__(self) -> None:
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 1:
            raise ConfigError(f"every must be a whole number of at least 1, got {self.every!r}")

    @property
    def limit(self) -> int:
        """How many may run at once."""
        return int(self._tried()) if self.trial else self.gradient.limit

    def _tried(self) -> float:
        of = self.gradient
        return max(of.least, of.estimate / 2) if self.trial == "half" else min(of.most, of.estimate * 2)

    def step(self, sample: Sample) -> Self:
        """Return the algorithm after one window."""
        if self.trial:
            return self._judge(sample) if self.settled else replace(self, settled=True)
        gradient = self.gradient.step(sample)
        if sample.shed < SHEDDING:
            return replace(self, gradient=gradient, windows=0, rate=0.0, next="half")
        rate = sample.rate if self.rate == 0 else (self.rate + sample.rate) / 2
        known = replace(self, gradient=gradient, windows=self.windows + 1, rate=rate)
        if known.windows < self.every:
            return known
        trial = replace(known, trial=self.next, settled=False)
        return trial if trial.limit != gradient.limit else replace(known, windows=0, next="half")

    def _judge(self, sample: Sample) -> Self:
        if self.trial == "half" and sample.rate >= KEPT * self.rate:
            return self._after("half", wait=1, sample=sample)
        if self.trial == "half" and sample.rate <= LOST * self.rate:
            return self._after("twice", wait=1)
        if self.trial == "twice" and sample.rate >= GAINED * self.rate:
            # The other way next: a neighbour that let go of the machine just then looks like a gain, once.
            return self._after("half", wait=self.every, sample=sample)
        return self._after("half", wait=3 * self.every if self.trial == "half" else 10 * self.every)

    def _after(self, following: Literal["half", "twice"], *, wait: int, sample: Sample | None = None) -> Self:
        """The trial is over; with a ``sample`` its limit is kept, and its latency is what is normal now."""
        kept = self.gradient
        if sample is not None:
            kept = replace(kept, estimate=self._tried(), long_rtt=sample.rtt, samples=WARM_UP)
        windows = self.every - wait
        return replace(self, gradient=kept, trial="", next=following, settled=False, windows=windows, rate=0.0)
