"""Public holidays: whose calendar a person or a schedule goes by, and the days of each, kept as rows.

The days come from the package ``holidays``; they are written when a calendar is first used and each year by the
worker, so that a pager evaluates schedules without it, and a later correction there never changes the past here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from functools import lru_cache
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features.oncall.tables import oncall_person, public_holiday
from watchbill.kernel.errors import Invalid
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx

_NAME = re.compile(r"[A-Z]{2}(-[A-Za-z0-9]{1,10})?")
YEARS_BEFORE, YEARS_AHEAD = 1, 2


def check_calendar(name: str) -> str:
    """Return ``name`` (``DE``, ``DE-BE``: ISO 3166) when there are public holidays for it.

    Raises:
        Invalid: there are none.
    """
    cleaned = name.strip()
    country, _, part = cleaned.partition("-")
    known = _supported()
    hint = "write a country and, where holidays differ, its part, as in ISO 3166: DE, DE-BE, US-CA"
    if not _NAME.fullmatch(cleaned) or country not in known:
        raise Invalid(f"there are no public holidays for '{name}'", field="holidays", hint=hint)
    if part and part not in known[country]:
        raise Invalid(
            f"{country} has no part '{part}'",
            field="holidays",
            hint=f"parts: {', '.join(known[country])}" if known[country] else f"write {country}",
        )
    return cleaned


@lru_cache(maxsize=1)
def _supported() -> dict[str, list[str]]:
    import holidays

    found: dict[str, list[str]] = holidays.list_supported_countries()
    return found


def days_of_year(calendar: str, years: Iterable[int]) -> dict[date, str]:
    """The public holidays of a calendar, with their names."""
    import holidays

    country, _, part = calendar.partition("-")
    found = holidays.country_holidays(country, subdiv=part or None, years=list(years))
    return {day: name[:200] for day, name in found.items()}


def ensure(tx: Tx, *, calendars: Iterable[str]) -> int:
    """Write the days of last year until the year after next where they are missing; returns how many years.

    Raises:
        Invalid: there are no public holidays for one of them.
    """
    wanted = sorted(set(calendars))
    if not wanted:
        return 0
    years = range(tx.now.year - YEARS_BEFORE, tx.now.year + YEARS_AHEAD + 1)
    have = {
        (row.calendar, int(row.year))
        for row in tx.execute(
            sa.select(public_holiday.c.calendar, sa.extract("year", public_holiday.c.day).label("year"))
            .where(public_holiday.c.calendar.in_(wanted))
            .distinct()
        )
    }
    missing = {(name, year) for name in wanted for year in years} - have
    rows = [
        {"calendar": name, "day": day, "name": said}
        for name, year in sorted(missing)
        for day, said in sorted(days_of_year(check_calendar(name), [year]).items())
    ]
    if rows:
        tx.execute(insert(public_holiday).on_conflict_do_nothing(), rows)
    return len(missing)


def used(tx: Tx) -> set[str]:
    """The calendars that people go by."""
    return set(tx.execute(sa.select(oncall_person.c.holidays).distinct()).scalars()) - {""}


def days(tx: Tx, *, calendars: Iterable[str]) -> dict[str, frozenset[date]]:
    """The days of each calendar that are known here."""
    return {calendar: frozenset(found) for calendar, found in named_days(tx, calendars=calendars).items()}


def named_days(tx: Tx, *, calendars: Iterable[str]) -> dict[str, dict[date, str]]:
    """The days of each calendar that are known here, with their names."""
    wanted = sorted(set(calendars))
    if not wanted:
        return {}
    found: dict[str, dict[date, str]] = defaultdict(dict)
    for row in tx.execute(sa.select(public_holiday).where(public_holiday.c.calendar.in_(wanted))):
        found[row.calendar][row.day] = row.name
    return dict(found)


def set_calendar(tx: Tx, *, person_id: UUID, calendar: str, actor: ledger.Actor) -> bool:
    """Say whose public holidays a person has (empty: nobody's); True when it changed.

    Raises:
        Invalid: there are no public holidays for it.
    """
    wanted = check_calendar(calendar) if calendar.strip() else ""
    if calendars_of(tx, person_ids=[person_id]).get(person_id, "") == wanted:
        return False
    ensure(tx, calendars={wanted} - {""})
    statement = insert(oncall_person).values(person_id=person_id, holidays=wanted)
    tx.execute(statement.on_conflict_do_update(index_elements=["person_id"], set_={"holidays": wanted}))
    ledger.append(tx, name="person.holidays_set", actor=actor, subject=("person", person_id), data={"calendar": wanted})
    return True


def calendars_of(tx: Tx, *, person_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Whose public holidays these people have; those who did not say are left out."""
    rows = tx.execute(sa.select(oncall_person).where(oncall_person.c.person_id.in_(person_ids)))
    return {row.person_id: row.holidays for row in rows if row.holidays}
