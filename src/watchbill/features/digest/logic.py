"""When a digest is due and how it reads: pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from watchbill.features.digest.model import Budget, Digest, Gap, OpenIncident, Text, Ticket

AT = time(9, 0)
"""When a digest is written, on the clock of the team's zone."""
AHEAD = timedelta(days=7)
"""How far coverage is looked at."""
MOST = 20
"""Lines of one kind; the rest is counted."""
TRIES_FOR = timedelta(hours=12)
"""How long a mail that is not taken is tried again: then the day is nearly over, and tomorrow's says the same."""

_T = TypeVar("_T")


def local_day(zone: str, at: datetime) -> date:
    """The date in the zone at that instant."""
    return at.astimezone(ZoneInfo(zone)).date()


def digest_at(zone: str, day: date) -> datetime:
    """09:00 of that day in the zone. Skipped by a change of clocks, it is as late as if it had not been skipped."""
    return datetime.combine(day, AT, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def next_digest_at(zone: str, *, now: datetime, last: date | None = None) -> datetime:
    """The first 09:00 after ``now`` on a day later than ``last``.

    So a team has at most one digest for each of its days, whatever happens to its zone.
    """
    day = local_day(zone, now)
    if last is not None and day <= last:
        day = last + timedelta(days=1)
    at = digest_at(zone, day)
    return at if at > now else digest_at(zone, day + timedelta(days=1))


def is_timely(zone: str, *, due_at: datetime, now: datetime) -> bool:
    """A digest that could not be written in time is written late on the same day, and never on the next."""
    return local_day(zone, due_at) == local_day(zone, now)


def retry_at(attempts: int, *, written_at: datetime, now: datetime) -> datetime | None:
    """When a mail that was not taken is tried again (1, 2, 4 … 60 minutes), None when it is too late."""
    at = now + timedelta(minutes=min(60, 2 ** min(attempts, 6)))
    return at if at - written_at <= TRIES_FOR else None


def compose(digest: Digest) -> Text | None:
    """The digest in words, instants in the team's zone; None when there is nothing to say."""
    if digest.is_empty:
        return None
    zone = ZoneInfo(digest.zone)
    parts = [
        _part("Open tickets", digest.tickets, lambda each: _ticket(each, zone)),
        _part("Error budgets at risk", digest.budgets, _budget),
        _part("Incidents of the last 24 hours, still open", digest.incidents, lambda each: _incident(each, zone)),
        _part("Nobody is on call, in the next 7 days", digest.gaps, lambda each: _gap(each, zone)),
        _part("On call in the next 7 days, and cannot be reached", digest.unreachable, lambda each: [each]),
        _part("The rota of the next 7 days", digest.rota, lambda each: [each]),
    ]
    said = [part for part in parts if part]
    lines = [f"Team {digest.team}, {digest.day:%A} {digest.day.isoformat()} (times: {digest.zone})", *said]
    lines.append(f"All of it: {digest.team_url}")
    return Text(f"[digest] {digest.team}: {_summary(digest)}", "\n\n".join(lines) + "\n")


def _summary(digest: Digest) -> str:
    counts = (
        (len(digest.tickets), "ticket", "tickets"),
        (len(digest.budgets), "budget at risk", "budgets at risk"),
        (len(digest.incidents), "open incident", "open incidents"),
        (len(digest.gaps), "gap in the rota", "gaps in the rota"),
        (len(digest.unreachable), "person unreachable", "people unreachable"),
        (len(digest.rota), "conflict in the rota", "conflicts in the rota"),
    )
    return ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in counts if count)


def _part(title: str, items: Sequence[_T], say: Callable[[_T], list[str]]) -> str:
    if not items:
        return ""
    lines = [f"{title} ({len(items)})"]
    for item in items[:MOST]:
        first, *more = (" ".join(line.split()) for line in say(item))
        lines += [f"• {first}", *(f"  {line}" for line in more)]
    if len(items) > MOST:
        lines.append(f"… and {len(items) - MOST} more")
    return "\n".join(lines)


def _ticket(ticket: Ticket, zone: ZoneInfo) -> list[str]:
    note = f" ({ticket.note})" if ticket.note else ""
    about = f"{ticket.service or 'no known service'}, since {_moment(ticket.since_at, zone)}{note}"
    return [ticket.title, about, *([ticket.url] if ticket.url else [])]


def _budget(budget: Budget) -> list[str]:
    left = "not measured" if budget.remaining is None else f"{budget.remaining:.0%} of the budget left"
    return [f"{budget.service}, {budget.operation}: {budget.objective} is {budget.state}, {left}", budget.url]


def _incident(incident: OpenIncident, zone: ZoneInfo) -> list[str]:
    since = _moment(incident.opened_at, zone)
    return [f"#{incident.number} {incident.title} ({incident.severity}, since {since})", incident.url]


def _gap(gap: Gap, zone: ZoneInfo) -> list[str]:
    return [f"{_moment(gap.start_at, zone)} to {_moment(gap.end_at, zone)}"]


def _moment(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%a %Y-%m-%d %H:%M}"
