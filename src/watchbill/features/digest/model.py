"""Words of the digest: what it lists, before it is put into sentences."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

import msgspec


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """An open alert of urgency ticket. ``note`` is what is unusual about it, such as "stale"."""

    title: str
    service: str | None
    since_at: datetime
    url: str | None
    note: str = ""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """An SLO at risk. ``remaining`` is the share of the error budget that is left; negative when overdrawn."""

    service: str
    operation: str
    objective: str
    state: str
    remaining: float | None
    url: str


class OpenIncident(msgspec.Struct, frozen=True, kw_only=True):
    """An incident of the last day that nobody has resolved."""

    number: int
    title: str
    severity: str
    opened_at: datetime
    url: str


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which nobody is on call."""

    start_at: datetime
    end_at: datetime


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """All there is to say to one team on one day. ``unreachable`` names people who will be on call
    and whom no message can reach, ``rota`` what needs a swap or an agreement; ``zone`` is the team's own.
    """

    team_id: UUID
    team: str
    day: date
    zone: str
    tickets: list[Ticket]
    budgets: list[Budget]
    incidents: list[OpenIncident]
    gaps: list[Gap]
    unreachable: list[str]
    team_url: str
    rota: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Nothing to say, so nothing is sent."""
        return not (self.tickets or self.budgets or self.incidents or self.gaps or self.unreachable or self.rota)


class Text(msgspec.Struct, frozen=True):
    """A digest in words."""

    subject: str
    body: str


class Memory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a team's due row remembers: its zone when it was planned, and the last day that was dealt with."""

    zone: str
    last: date | None = None
