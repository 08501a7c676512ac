"""How bad, and which incident an alert joins: pure decisions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from watchbill.features.incidents.model import Incident, IncidentSeverity

REOPEN_WITHIN = timedelta(minutes=30)
"""The same identity firing again this soon reopens its incident instead of starting anew."""

RELATED_WITHIN = timedelta(minutes=30)
"""An alert of a directly dependent service joins an incident that opened within this time."""

_SEVERITIES: tuple[IncidentSeverity, ...] = ("sev1", "sev2", "sev3", "sev4")


def severity_of(*, tier: int, declared: bool) -> IncidentSeverity:
    """Severity from the harmed operation's tier; one milder while users are only suspected to be hurt."""
    position = tier - 1 if declared else tier
    return _SEVERITIES[max(0, min(3, position))]


def is_worse(candidate: IncidentSeverity, current: IncidentSeverity) -> bool:
    """True when ``candidate`` is more severe."""
    return candidate < current


class Join(msgspec.Struct, frozen=True):
    """The incident to join, and why; ``reopens`` when it was resolved."""

    incident: Incident
    why: str
    reopens: bool = False


def choose_incident(
    candidates: Sequence[Incident],
    *,
    services: Mapping[UUID, Collection[UUID]],
    service_id: UUID | None,
    environment: str,
    previous_incident_id: UUID | None,
    neighbours: frozenset[UUID],
    now: datetime,
) -> Join | None:
    """Which of the open or just-resolved incidents an alert belongs to; None opens a new one.

    ``services`` maps an incident to the services in it.

    In this order: the open incident its identity was in before; an open one of the same service;
    an open one, begun lately, of a service that depends on this one or that it depends on; the just
    resolved one its identity was in. Alerts that fit no service join only their identity's incident,
    for nothing says that two unknown things are one.
    """
    same = [c for c in candidates if c.environment == environment]
    still_open = [c for c in same if c.state == "open"]
    for incident in still_open:
        if incident.id == previous_incident_id:
            return Join(incident, "the same alert fired again")
    if service_id is not None:
        for incident in still_open:
            if service_id in services.get(incident.id, ()):
                return Join(incident, "the same service")
        for incident in still_open:
            near = not neighbours.isdisjoint(services.get(incident.id, ()))
            if near and now - incident.opened_at <= RELATED_WITHIN:
                return Join(incident, "a service it depends on, or that depends on it, is in this incident")
    for incident in same:
        recently = incident.resolved_at is not None and now - incident.resolved_at <= REOPEN_WITHIN
        if incident.id == previous_incident_id and recently:
            return Join(incident, "the same alert fired again soon after", reopens=True)
    return None
