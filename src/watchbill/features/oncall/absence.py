"""Time off: when people cannot be on call. It never takes anybody off a rota by itself; it raises conflicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import sqlalchemy as sa

from watchbill.features.identity.store import person
from watchbill.features.oncall.ical_in import Busy, read_calendar
from watchbill.features.oncall.tables import oncall_person, time_off
from watchbill.kernel.errors import Invalid, NotFound
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx

LONGEST = timedelta(days=400)
MOST_PER_PERSON = 2000
KEPT_FOR = timedelta(days=400)


class TimeOff(msgspec.Struct, frozen=True, kw_only=True):
    """``calendar`` is the name of the calendar it was imported from; None: entered by hand."""

    id: UUID
    person_id: UUID
    start_at: datetime
    end_at: datetime
    note: str
    calendar: str | None
    created_at: datetime


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What an import changed; ``skipped`` says what was left out, and why."""

    calendar: str
    added: int
    removed: int
    unchanged: int
    skipped: list[str]


def add_time_off(
    tx: Tx, *, person_id: UUID, start_at: datetime, end_at: datetime, actor: ledger.Actor, note: str = ""
) -> TimeOff:
    """Say that a person is away; the same again is no second one.

    Raises:
        Invalid: the times, or too much of it.
    """
    if end_at <= start_at or end_at <= tx.now:
        raise Invalid("the time off would end before it starts", field="to", hint="choose an end after now")
    if end_at - start_at > LONGEST:
        raise Invalid("the time off is longer than 400 days", field="to", hint="choose an earlier end")
    if len(note) > 200:
        raise Invalid("the note is longer than 200 characters", field="note", hint="say it shorter")
    known = time_off_of(tx, person_ids=[person_id], start_at=start_at, end_at=end_at)
    same = [off for off in known[person_id] if (off.start_at, off.end_at) == (start_at, end_at)]
    if same:
        return same[0]
    _check_room(tx, person_id, adding=1)
    made = TimeOff(
        id=new_id(),
        person_id=person_id,
        start_at=start_at,
        end_at=end_at,
        note=note,
        calendar=None,
        created_at=tx.now,
    )
    tx.execute(sa.insert(time_off).values(msgspec.structs.asdict(made)))
    _say(tx, "time_off.added", made, actor)
    return made


def remove_time_off(tx: Tx, *, time_off_id: UUID, actor: ledger.Actor) -> TimeOff:
    """Take time off back.

    Raises:
        NotFound: there is none.
    """
    found = time_off_by_id(tx, time_off_id=time_off_id)
    tx.execute(sa.delete(time_off).where(time_off.c.id == time_off_id))
    _say(tx, "time_off.removed", found, actor)
    return found


def time_off_by_id(tx: Tx, *, time_off_id: UUID) -> TimeOff:
    """One stretch of time off.

    Raises:
        NotFound: there is none.
    """
    row = tx.execute(sa.select(time_off).where(time_off.c.id == time_off_id)).one_or_none()
    if row is None:
        raise NotFound("there is no such time off", field="time_off", hint="see `watchbill oncall time-off list`")
    return msgspec.convert(row, TimeOff, from_attributes=True)


def time_off_of(
    tx: Tx, *, person_ids: Iterable[UUID], start_at: datetime, end_at: datetime | None = None
) -> dict[UUID, list[TimeOff]]:
    """The time off of each of these people that touches the window, in order; an empty list for those without."""
    found: dict[UUID, list[TimeOff]] = {person_id: [] for person_id in person_ids}
    if not found:
        return {}
    query = sa.select(time_off).where(
        time_off.c.person_id == sa.any_(sa.literal(list(found), sa.ARRAY(sa.Uuid))), time_off.c.end_at > start_at
    )
    if end_at is not None:
        query = query.where(time_off.c.start_at < end_at)
    for row in tx.execute(query.order_by(time_off.c.start_at, time_off.c.id)):
        found[row.person_id].append(msgspec.convert(row, TimeOff, from_attributes=True))
    return found


def import_time_off(
    tx: Tx, *, person_id: UUID, calendar: str, content: bytes, time_zone: str, actor: ledger.Actor
) -> Imported:
    """Take the coming 400 days of an iCalendar file as time off; what it had before under this name is replaced.

    ``time_zone`` is what times without a zone and whole days are read in.

    Raises:
        Invalid: the file cannot be read, or is over a limit (see `ical_in`); nothing is changed.
    """
    name = calendar.strip()
    if not 1 <= len(name) <= 100:
        raise Invalid("the calendar has no name of 1 to 100 characters", field="calendar", hint="such as holidays")
    busy, skipped = read_calendar(content, time_zone=time_zone, start_at=tx.now, end_at=tx.now + LONGEST)
    wanted = {(each.start_at, each.end_at): each for each in busy}
    rows = tx.execute(
        sa.select(time_off).where(
            time_off.c.person_id == person_id, time_off.c.calendar == name, time_off.c.end_at > tx.now
        )
    ).all()
    had = {(row.start_at, row.end_at): row.id for row in rows}
    gone = [had[key] for key in had.keys() - wanted.keys()]
    fresh = [wanted[key] for key in sorted(wanted.keys() - had.keys())]
    _check_room(tx, person_id, adding=len(fresh) - len(gone))
    if gone:
        tx.execute(sa.delete(time_off).where(time_off.c.id.in_(gone)))
    if fresh:
        tx.execute(sa.insert(time_off), [_row(tx, person_id, name, each) for each in fresh])
    if gone or fresh:
        ledger.append(
            tx,
            name="time_off.imported",
            actor=actor,
            subject=("person", person_id),
            data={"added": len(fresh), "removed": len(gone)},
        )
    kept = len(wanted) - len(fresh)
    return Imported(calendar=name, added=len(fresh), removed=len(gone), unchanged=kept, skipped=skipped)


def _row(tx: Tx, person_id: UUID, calendar: str, busy: Busy) -> dict[str, object]:
    return {
        "id": new_id(),
        "person_id": person_id,
        "start_at": busy.start_at,
        "end_at": busy.end_at,
        "note": busy.summary,
        "calendar": calendar,
        "created_at": tx.now,
    }


def forget_time_off(tx: Tx) -> int:
    """Delete time off that is long over, and that of people who were erased; returns how many."""
    erased = sa.select(person.c.id).where(person.c.erased_at.is_not(None))
    tx.execute(sa.delete(oncall_person).where(oncall_person.c.person_id.in_(erased)))
    over = time_off.c.end_at < tx.now - KEPT_FOR
    done = tx.execute(sa.delete(time_off).where(sa.or_(over, time_off.c.person_id.in_(erased))))
    return int(done.rowcount)


def overlaps(off: Sequence[TimeOff], start_at: datetime, end_at: datetime) -> list[tuple[datetime, datetime]]:
    """The parts of a window in which somebody is away; stretches that touch are one."""
    found: list[tuple[datetime, datetime]] = []
    for each in sorted(off, key=lambda o: o.start_at):
        begin, end = max(each.start_at, start_at), min(each.end_at, end_at)
        if begin >= end:
            continue
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


def _check_room(tx: Tx, person_id: UUID, *, adding: int) -> None:
    have = tx.execute(sa.select(sa.func.count()).where(time_off.c.person_id == person_id)).scalar_one()
    if adding > 0 and have + adding > MOST_PER_PERSON:
        hint = "remove what is over, or import a calendar with fewer events"
        raise Invalid(f"this would be more than {MOST_PER_PERSON} stretches of time off", field="calendar", hint=hint)


def _say(tx: Tx, name: str, off: TimeOff, actor: ledger.Actor) -> None:
    """Without the note: why somebody is away is theirs."""
    ledger.append(
        tx,
        name=name,
        actor=actor,
        subject=("person", off.person_id),
        data={"from": off.start_at.isoformat(), "to": off.end_at.isoformat()},
    )
