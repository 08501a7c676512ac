"""What an algorithm sees, and what it must offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self


@dataclass(frozen=True, slots=True)
class Sample:
    """One window of calls: mean round-trip time in seconds, most in flight at once, whether any was dropped.

    ``rate`` is how many ended well a second, ``shed`` which share of those that came was refused.
    """

    rtt: float
    inflight: int
    dropped: bool = False
    rate: float = 0.0
    shed: float = 0.0


class Algorithm(Protocol):
    """A limit that learns."""

    @property
    def limit(self) -> int:
        """How many may run at once."""
        ...

    def step(self, sample: Sample) -> Self:
        """Return the algorithm after one window."""
        ...


def check_bounds(least: float, most: float, start: float) -> None:
    """Check the bounds of a limit.

    Raises:
        ConfigError: unless 1 ≤ least ≤ start ≤ most and all are finite.
    """
    from watchbill_sdk.errors import ConfigError

    if not (1 <= least <= start <= most < float("inf")):
        raise ConfigError(f"a limit needs 1 <= least <= start <= most, got {least!r}, {start!r}, {most!r}")
