"""Calendar feeds: secret addresses that calendars fetch by themselves. Kept as a hash; replaced or revoked at once."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import groupby
from typing import Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa

from watchbill.features import catalog, identity
from watchbill.features.oncall import lookups, plans
from watchbill.features.oncall.calendar import CalendarEntry, to_ical
from watchbill.features.oncall.model import PRIMARY, SHADOW, Shift
from watchbill.features.oncall.tables import calendar_feed
from watchbill.features.oncall.words import because
from watchbill.kernel.errors import Conflict, Invalid, NotFound
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx

FeedKind = Literal["person", "team", "schedule"]
BACK, AHEAD = timedelta(days=30), timedelta(days=180)
MOST_FEEDS = 50
_USED_EVERY = timedelta(hours=1)


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """A calendar of the shifts of its owner, of a team, or of one slot of a team's schedule; never its secret."""

    id: UUID
    owner_id: UUID
    kind: FeedKind
    team_id: UUID | None
    slot: str | None
    created_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None


_FEED = tuple(column for column in calendar_feed.c if column.name != "hash")


def create_feed(
    tx: Tx,
    *,
    owner_id: UUID,
    kind: FeedKind,
    actor: ledger.Actor,
    team_id: UUID | None = None,
    slot: str | None = None,
) -> tuple[Feed, str]:
    """Make a feed; the secret (256 random bits, base64url) is returned this once only.

    Raises:
        Invalid: what it is a calendar of. Conflict: the owner has 50 already.
    """
    if (kind == "person") != (team_id is None) or (kind == "schedule") != (slot is not None):
        hint = "a person's feed names neither, a team's its team, a schedule's its team and slot"
        raise Invalid("it is not clear what this is a calendar of", field="kind", hint=hint)
    if team_id is not None and slot is not None:
        plan = plans.load(tx, [team_id]).get(team_id)
        known = plan.calculator.slots if plan else ()
        if slot not in (*known, SHADOW):
            raise Invalid(f"the schedule has no slot '{slot}'", field="slot", hint=f"slots: {', '.join(known)}")
    if len(feeds(tx, owner_id=owner_id)) >= MOST_FEEDS:
        raise Conflict(f"you have {MOST_FEEDS} feeds already", field="kind", hint="revoke one that is not used")
    secret = secrets.token_urlsafe(32)
    feed_id = new_id()
    tx.execute(
        sa.insert(calendar_feed).values(
            id=feed_id,
            hash=_hash(secret),
            owner_id=owner_id,
            kind=kind,
            team_id=team_id,
            slot=slot,
            created_at=tx.now,
        )
    )
    _say(tx, "feed.created", feed_id, owner_id, actor)
    return feed_by_id(tx, feed_id=feed_id), secret


def replace_feed(tx: Tx, *, feed_id: UUID, actor: ledger.Actor) -> tuple[Feed, str]:
    """A new address for the same calendar; the old one ends at once.

    Raises:
        NotFound: no such feed. Conflict: it is revoked.
    """
    found = feed_by_id(tx, feed_id=feed_id)
    if found.revoked_at is not None:
        raise Conflict("the feed is revoked", code="feed_revoked", hint="make a new one")
    secret = secrets.token_urlsafe(32)
    tx.execute(sa.update(calendar_feed).where(calendar_feed.c.id == feed_id).values(hash=_hash(secret), used_at=None))
    _say(tx, "feed.replaced", feed_id, found.owner_id, actor)
    return feed_by_id(tx, feed_id=feed_id), secret


def revoke_feed(tx: Tx, *, feed_id: UUID, actor: ledger.Actor) -> Feed:
    """End a feed; again is no change.

    Raises:
        NotFound: no such feed.
    """
    found = feed_by_id(tx, feed_id=feed_id)
    if found.revoked_at is None:
        tx.execute(sa.update(calendar_feed).where(calendar_feed.c.id == feed_id).values(revoked_at=tx.now))
        _say(tx, "feed.revoked", feed_id, found.owner_id, actor)
    return feed_by_id(tx, feed_id=feed_id)


def feeds(tx: Tx, *, owner_id: UUID) -> list[Feed]:
    """A person's feeds that are not revoked, oldest first."""
    query = sa.select(*_FEED).where(calendar_feed.c.owner_id == owner_id, calendar_feed.c.revoked_at.is_(None))
    rows = tx.execute(query.order_by(calendar_feed.c.created_at, calendar_feed.c.id))
    return [msgspec.convert(row, Feed, from_attributes=True) for row in rows]


def feed_by_id(tx: Tx, *, feed_id: UUID) -> Feed:
    """One feed.

    Raises:
        NotFound: there is none.
    """
    row = tx.execute(sa.select(*_FEED).where(calendar_feed.c.id == feed_id)).one_or_none()
    if row is None:
        raise NotFound("there is no such feed", field="feed", hint="see `watchbill oncall feed list`")
    return msgspec.convert(row, Feed, from_attributes=True)


def feed_calendar(tx: Tx, *, secret: str) -> bytes:
    """The calendar behind a secret: thirty days back and half a year ahead.

    Raises:
        NotFound: unknown, revoked, or its owner has left; the message does not say which.
    """
    query = sa.select(*_FEED).where(calendar_feed.c.hash == _hash(secret), calendar_feed.c.revoked_at.is_(None))
    row = tx.execute(query).one_or_none()
    gone = NotFound("there is no such calendar", hint="make a new address under My availability")
    if row is None:
        raise gone
    feed = msgspec.convert(row, Feed, from_attributes=True)
    owner = identity.people(tx, ids=[feed.owner_id]).get(feed.owner_id)
    if owner is None or not owner.active:
        raise gone
    if feed.used_at is None or feed.used_at < tx.now - _USED_EVERY:
        tx.execute(sa.update(calendar_feed).where(calendar_feed.c.id == feed.id).values(used_at=tx.now))
    start_at, end_at = tx.now - BACK, tx.now + AHEAD
    if feed.team_id is None:
        found = lookups.my_shifts(tx, person_id=owner.id, start_at=start_at, end_at=end_at, shadows=True)
        name = f"On call: {owner.name or owner.login}"
    else:
        found = [
            shift
            for slot in _slots_of(tx, feed)
            for shift in lookups.shifts(tx, team_id=feed.team_id, start_at=start_at, end_at=end_at, slot=slot)
        ]
        team = catalog.team(tx, id=feed.team_id)
        name = f"On call: {team.title}" + (f", {feed.slot}" if feed.slot else "")
    return to_ical(entries(tx, found), name=name, made_at=tx.now)


def _slots_of(tx: Tx, feed: Feed) -> tuple[str, ...]:
    if feed.slot is not None:
        return (feed.slot,)
    plan = plans.load(tx, [feed.team_id]).get(feed.team_id) if feed.team_id else None
    return plan.calculator.slots if plan else (PRIMARY,)


def entries(tx: Tx, found: Iterable[Shift]) -> list[CalendarEntry]:
    """Shifts as calendar entries, one for each person of a shift; stretches that touch and say the same are one.

    The UID is made of team, slot, person and start, so a shift keeps it in every export as long as it starts then.
    """
    single = [(shift, person_id) for shift in found for person_id in shift.people]
    teams = {team.id: team for team in catalog.teams(tx, ids=list({s.team_id for s, _ in single if s.team_id}))}
    named = {person_id for _, person_id in single} | {s.instead_of for s, _ in single if s.instead_of}
    people = identity.people(tx, ids=named)
    names = {person_id: person.name or person.login for person_id, person in people.items()}

    def key(pair: tuple[Shift, UUID]) -> tuple[str, str, str]:
        shift, person_id = pair
        return str(shift.team_id), shift.slot, str(person_id)

    made: list[CalendarEntry] = []
    for (_, slot, person), group in groupby(sorted(single, key=lambda pair: (key(pair), pair[0].start_at)), key=key):
        for shift in _joined([shift for shift, _ in group]):
            team = teams.get(shift.team_id) if shift.team_id else None
            title = team.title if team else "a team that is gone"
            where = "" if slot == PRIMARY else f", {slot}"
            who = names.get(UUID(person), "somebody who has left")
            made.append(
                CalendarEntry(
                    uid=f"{shift.team_id}-{slot}-{person}-{shift.start_at:%Y%m%dT%H%M%SZ}@watchbill",
                    summary=f"{who}: {'shadow' if slot == SHADOW else 'on call'} for {title}{where}",
                    start_at=shift.start_at,
                    end_at=shift.end_at,
                    description=because(shift, names),
                )
            )
    return sorted(made, key=lambda entry: (entry.start_at, entry.uid))


def _joined(line: list[Shift]) -> list[Shift]:
    """Where only the others of a shift change, it is one entry in the calendar of each."""
    found: list[Shift] = []
    for shift in line:
        last = found[-1] if found else None
        if (
            last is not None
            and last.end_at == shift.start_at
            and (last.reason, last.layer, last.override_id) == (shift.reason, shift.layer, shift.override_id)
            and last.people != shift.people
        ):
            found[-1] = msgspec.structs.replace(last, end_at=shift.end_at, others=shift.others)
        else:
            found.append(shift)
    return found


def _hash(secret: str) -> bytes:
    """The lookup compares hashes of 256 random bits, so its timing tells nothing about the secret."""
    return hashlib.sha256(secret.encode()).digest()


def _say(tx: Tx, name: str, feed_id: UUID, owner_id: UUID, actor: ledger.Actor) -> None:
    ledger.append(tx, name=name, actor=actor, subject=("person", owner_id), data={"feed_id": str(feed_id)})
