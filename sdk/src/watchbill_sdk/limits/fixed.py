"""A limit that somebody has measured and that stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from watchbill_sdk.limits.model import Sample
from watchbill_sdk.primitive import whole


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always ``limit``."""

    limit: int

    def __post_init__(self) -> None:
        whole(self.limit, "a limit")

    def step(self, sample: Sample) -> Self:
        """Return itself."""
        return self
