"""Times as people write them on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

from watchbill.kernel.clock import format_instant
from watchbill.kernel.durations import parse_duration
from watchbill.kernel.errors import Invalid

AT_HELP = 'RFC 3339, "2026-03-02 09:00" in your zone, or a time ahead such as 2h.'


def sent(text: str | None, option: str) -> str | None:
    """What people write as a time, as RFC 3339.

    Raises:
        Invalid: it is none.
    """
    if text is None:
        return None
    try:
        return format_instant(datetime.now(UTC) + parse_duration(text))
    except ValueError:
        pass  # not a duration, then a time
    try:
        written = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"'{text}' is not a time", field=option, hint=AT_HELP) from error
    return format_instant(written.astimezone())
