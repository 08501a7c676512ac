"""What a team should know now, gathered from the features that know it."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from watchbill.features import alerts, catalog, identity, incidents, oncall, slo, tickets
from watchbill.features.alerts import Alert
from watchbill.features.digest import logic
from watchbill.features.digest.model import Budget, Digest, Gap, OpenIncident, Ticket
from watchbill.runtime.db import Tx

_DAY = timedelta(days=1)
_CONFLICTS = frozenset(
    {"oncall_time_off", "oncall_all_away", "oncall_rest", "oncall_nights", "oncall_overrides_overlap"}
)


def zone_of(team: catalog.Team) -> str:
    """The zone the team's manifest names; UTC where it names none."""
    zone: str = team.spec.get("timeZone") or "UTC"
    return zone


def gather(tx: Tx, *, team: catalog.Team, base_url: str) -> Digest:
    """Everything there is to say to this team now."""
    zone = zone_of(team)
    until = tx.now + logic.AHEAD
    return Digest(
        team_id=team.id,
        team=team.title or team.name,
        day=logic.local_day(zone, tx.now),
        zone=zone,
        tickets=_tickets(tx, team.id, base_url),
        budgets=[_budget(view, base_url) for view in slo.at_risk(tx, team_ids=[team.id])],
        incidents=[
            OpenIncident(
                number=incident.number,
                title=incident.title,
                severity=incident.severity,
                opened_at=incident.opened_at,
                url=f"{base_url}/incidents/{incident.number}",
            )
            for incident in incidents.incident_list(tx, state="open", team_ids=[team.id])
            if incident.opened_at > tx.now - _DAY
        ],
        gaps=[
            Gap(start_at=start, end_at=end)
            for start, end in oncall.gaps(tx, team_id=team.id, start_at=tx.now, end_at=until)
        ],
        unreachable=_unreachable(tx, team.id),
        rota=_rota(tx, team.id),
        team_url=f"{base_url}/teams/{team.name}",
    )


def _rota(tx: Tx, team_id: UUID) -> tuple[str, ...]:
    """Shifts in somebody's time off, against rest rules, and overrides over each other; the rest has its own part."""
    found = oncall.warnings(tx, team_ids=[team_id], days=logic.AHEAD.days).get(team_id, [])
    return tuple(
        f"{problem.message}; {problem.hint}" if problem.hint else problem.message
        for problem in found
        if problem.code in _CONFLICTS
    )


def recipients(tx: Tx, *, team_id: UUID) -> dict[UUID, str]:
    """The active members and the e-mail address each of them tries first; who has none gets no digest."""
    members = [member.person_id for member in catalog.members(tx, team_ids=[team_id])[team_id]]
    people = identity.people(tx, ids=members)
    methods = identity.contact_methods(tx, person_ids=members)
    found: dict[UUID, str] = {}
    for person_id in members:
        address = next((method.address for method in methods[person_id] if method.channel == "email"), None)
        if address is not None and person_id in people and people[person_id].active:
            found[person_id] = address
    return found


def _tickets(tx: Tx, team_id: UUID, base_url: str) -> list[Ticket]:
    found = alerts.open_alerts(tx, team_ids=[team_id], urgency="ticket")
    known = {alert.service_id for alert in found if alert.service_id}
    services = {service.id: service for service in catalog.services(tx, ids=known)}
    kept = tickets.tickets_of_alerts(tx, alert_ids=[alert.id for alert in found])
    return [
        Ticket(
            title=alert.title,
            service=services[alert.service_id].title if alert.service_id in services else alert.service_name,
            since_at=alert.started_at,
            url=(kept[alert.id].url if alert.id in kept else None)
            or _link(alert, services[alert.service_id].name if alert.service_id in services else None, base_url),
            note=", ".join(_notes(alert)),
        )
        for alert in found
    ]


def _notes(alert: Alert) -> list[str]:
    notes = [] if alert.environment == "production" else [alert.environment]
    return notes if alert.state == "firing" else [*notes, alert.state]


def _link(alert: Alert, service: str | None, base_url: str) -> str | None:
    if alert.links:
        return alert.links[0].url
    return f"{base_url}/services/{service}" if service else None


def _budget(view: slo.SloView, base_url: str) -> Budget:
    state = view.state
    remaining = state.budget_remaining if state else None
    return Budget(
        service=view.service,
        operation=view.operation,
        objective=view.slo.name,
        state=state.state if state else "unmeasured",
        remaining=None if remaining is None else float(remaining),
        url=f"{base_url}/slos/{view.slo.id}",
    )


def _unreachable(tx: Tx, team_id: UUID) -> list[str]:
    """Logins of those who will be on call and have no way to be reached, in the order of their turns."""
    coming = oncall.shifts(tx, team_id=team_id, start_at=tx.now, end_at=tx.now + logic.AHEAD)
    ids = list(dict.fromkeys(shift.person_id for shift in coming))
    people = identity.people(tx, ids=ids)
    methods = identity.contact_methods(tx, person_ids=ids)
    found = [people[id].login for id in ids if id in people and not (people[id].active and methods[id])]
    missed = [person.login for person in identity.unanswered(tx, person_ids=ids) if person.login not in found]
    return [*found, *(f"{login} (the last monthly test page was not answered)" for login in missed)]
