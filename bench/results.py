"""The record of one figure."""

from __future__ import annotations

from typing import Literal

import msgspec


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A figure, the limit it should keep, and a peer's figure where one was measured on the same machine."""

    name: str
    value: float
    unit: str
    better: Literal["higher", "lower"]
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    limit: str | None = None
    limit_value: float | None = None

    @property
    def meets_limit(self) -> bool:
        """True without a limit."""
        if self.limit_value is None:
            return True
        return self.value >= self.limit_value if self.better == "higher" else self.value <= self.limit_value

    def line(self) -> str:
        """For a person."""
        mark = "ok  " if self.meets_limit else "MISS"
        limit = f"  limit: {self.limit}" if self.limit else ""
        peer = f"  ({self.peer}: {self.peer_value:,.6g}; ratio {self.ratio:.2f})" if self.peer and self.ratio else ""
        return f"{mark} {self.name}: {self.value:,.6g} {self.unit}{limit}{peer}"
