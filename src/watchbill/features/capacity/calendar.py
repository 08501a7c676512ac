"""Steps of time on the wall clock of a zone: which slot of the week each is, and which local day.

A week's pattern follows people's clocks: when daylight saving begins or ends, the slots shift with them.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

DAY_SECONDS = 86_400


@lru_cache(maxsize=64)
def slots(start_at: datetime, step_seconds: int, count: int, zone: str) -> tuple[Any, Any]:
    """(slot of the week, ordinal of the local day) of each step, as read-only arrays of ``count`` integers.

    Slots count from Monday 00:00 in steps of ``step_seconds``, which divide a day.
    """
    if DAY_SECONDS % step_seconds:
        raise ValueError(f"steps of {step_seconds} s do not divide a day")
    place = ZoneInfo(zone)
    per_day = DAY_SECONDS // step_seconds
    slot = np.empty(count, dtype=np.int64)
    day = np.empty(count, dtype=np.int64)
    begun = start_at.astimezone(UTC)
    if step_seconds == DAY_SECONDS:
        first = begun.date().toordinal()
        day[:] = np.arange(first, first + count)
        slot[:] = (day + 6) % 7
    else:
        for at in range(count):
            local = (begun + timedelta(seconds=at * step_seconds)).astimezone(place)
            day[at] = local.toordinal()
            seconds = local.hour * 3600 + local.minute * 60 + local.second
            slot[at] = local.weekday() * per_day + seconds // step_seconds
    slot.flags.writeable = day.flags.writeable = False
    return slot, day


@lru_cache(maxsize=256)
def holidays(country: str, first_year: int, last_year: int) -> frozenset[int]:
    """Ordinals of a country's public holidays (``DE`` or, with its region, ``DE-BY``), by the library ``holidays``.

    Raises:
        NotImplementedError: the library does not know the country.
    """
    import holidays as library

    code, _, region = country.partition("-")
    found = library.country_holidays(code, subdiv=region or None, years=range(first_year, last_year + 1))
    return frozenset(day.toordinal() for day in found if isinstance(day, date))
