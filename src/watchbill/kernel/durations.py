"""Durations people write: ``90s``, ``5m``, ``1h30m``, ``30d``, ``4w``. Never months or years (their length varies)."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_WHOLE = re.compile(r"(?:\d+(?:ms|[smhdw]))+")
_PART = re.compile(r"(\d+)(ms|[smhdw])")


def parse_duration(text: str) -> timedelta:
    """Parse ``1h30m`` and the like.

    Raises:
        ValueError: with a message that says how to write it.
    """
    cleaned = text.strip()
    if not _WHOLE.fullmatch(cleaned):
        raise ValueError(f"'{text}' is not a duration; write for example 90s, 5m, 1h30m, 7d or 4w")
    seconds = sum(int(amount) * _UNITS[unit] for amount, unit in _PART.findall(cleaned))
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """The shortest exact form: ``timedelta(minutes=90)`` is ``1h30m``; zero is ``0s``."""
    sign = "-" if duration < timedelta(0) else ""
    milliseconds = round(abs(duration).total_seconds() * 1000)
    parts: list[str] = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        amount, milliseconds = divmod(milliseconds, size)
        if amount:
            parts.append(f"{amount}{unit}")
    return sign + ("".join(parts) or "0s")


def rough_duration(duration: timedelta) -> str:
    """For a reader's eye: at most two units, ``2h 5m``, ``41s``, ``3d 4h``; under a second is ``0s``."""
    seconds = int(abs(duration).total_seconds())
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        amount, seconds = divmod(seconds, size)
        if amount:
            parts.append(f"{amount}{unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts) or "0s"
