"""What screens, the API and the doctor show of tickets."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from watchbill.features import alerts, catalog
from watchbill.features.tickets import store, words
from watchbill.features.tickets.model import Draft, Ticket
from watchbill.kernel.errors import Problem
from watchbill.runtime.db import Tx


def tickets_of_team(tx: Tx, *, team_id: UUID, open_only: bool = False, limit: int = 50) -> list[Ticket]:
    """A team's tickets, newest first."""
    return store.tickets_of(tx, team_ids=[team_id], open_only=open_only, limit=limit)


def ticket_of_alert(tx: Tx, *, alert_id: UUID) -> Ticket | None:
    """The ticket of an alert; None when it has none."""
    return store.ticket_of_alert(tx, alert_id=alert_id)


def tickets_of_alerts(tx: Tx, *, alert_ids: Iterable[UUID]) -> dict[UUID, Ticket]:
    """The tickets of these alerts that were made, by alert."""
    found = store.tickets_of(tx, alert_ids=alert_ids, limit=500)
    return {one.alert_id: one for one in found if one.ref is not None}


def tickets_of_identity(tx: Tx, *, integration: str, identity: str, limit: int = 5) -> list[Ticket]:
    """The tickets of an alert's identity, such as ``slo:<id>`` of the integration ``slo``; newest first."""
    source = alerts.builtin_integration(tx, name=integration)
    return store.tickets_of(tx, identity=(source.id, identity), limit=limit)


def problems(tx: Tx, *, team_ids: Iterable[UUID] | None = None) -> list[Problem]:
    """Tickets that cannot be made or changed, one line for each place and reason."""
    found: dict[tuple[str, str], list[Ticket]] = {}
    for one in store.tickets_of(tx, team_ids=team_ids, failing=True, limit=500):
        found.setdefault((one.place.shown, one.error or ""), []).append(one)
    teams = {team.id: team.name for team in catalog.teams(tx)}
    lines = []
    for (place, error), failing in sorted(found.items()):
        names = sorted({teams.get(one.team_id, "a removed team") for one in failing})
        since = min(one.failing_at for one in failing if one.failing_at)
        many = "a ticket is" if len(failing) == 1 else f"{len(failing)} tickets are"
        lines.append(
            Problem(
                code="tickets.failing",
                message=f"{many} not in {place} as it should be since {since:%Y-%m-%d %H:%M} UTC: {error}",
                hint=f"mend it, and see `watchbill tickets test {names[0]}`; it is tried again every hour",
                severity="warning",
            )
        )
    return lines


def sample(*, team: str, base_url: str, id: UUID) -> Draft:
    """What a test ticket looks like."""
    return Draft(
        title=f"Test ticket of Watchbill for {team}",
        intro="Service: none, this is a test",
        description="Nothing is wrong: somebody tests where the tickets of this team go.",
        links=((f"Team {team} in Watchbill", f"{base_url}/teams/{team}#tickets"),),
        marker=words.marker_of(id),
    )
