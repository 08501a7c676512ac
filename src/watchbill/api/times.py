"""Instants as callers write them."""

from __future__ import annotations

from datetime import datetime

from watchbill.kernel.clock import parse_instant
from watchbill.kernel.errors import Invalid


def instant_of(text: str | None, *, field: str) -> datetime | None:
    """RFC 3339 as an aware UTC datetime; None when nothing was given.

    Raises:
        Invalid: it is written differently.
    """
    if not text:
        return None
    try:
        return parse_instant(text)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{field}: {error}", field=field, hint="write 2026-03-02T09:00:00Z") from error
