"""Incidents: the unit of response. Suspected first, declared when users are hurt."""

from watchbill.features.incidents.actions import (
    LIVE,
    SETTLE,
    add_note,
    begin_settling,
    close_incident,
    declare_incident,
    explain,
    incident_by_id,
    incident_by_number,
    incident_list,
    join_service,
    open_incident,
    raise_severity,
    reopen_incident,
    stop_settling,
)
from watchbill.features.incidents.evidence import evidence_of, put_evidence
from watchbill.features.incidents.logic import (
    REOPEN_WITHIN,
    Join,
    choose_incident,
    is_worse,
    severity_of,
)
from watchbill.features.incidents.merging import leave_services, mark_merged, merged_into, unmark_merged
from watchbill.features.incidents.model import (
    EvidenceAction,
    EvidenceLine,
    Incident,
    IncidentSeverity,
    IncidentState,
    Phase,
)
from watchbill.features.incidents.store import lock_candidates, lock_incident, services_of
from watchbill.features.incidents.store import touching as incidents_touching

__all__ = [
    "LIVE",
    "REOPEN_WITHIN",
    "SETTLE",
    "EvidenceAction",
    "EvidenceLine",
    "Incident",
    "IncidentSeverity",
    "IncidentState",
    "Join",
    "Phase",
    "add_note",
    "begin_settling",
    "choose_incident",
    "close_incident",
    "declare_incident",
    "evidence_of",
    "explain",
    "incident_by_id",
    "incident_by_number",
    "incident_list",
    "incidents_touching",
    "is_worse",
    "join_service",
    "leave_services",
    "lock_candidates",
    "lock_incident",
    "mark_merged",
    "merged_into",
    "open_incident",
    "put_evidence",
    "raise_severity",
    "reopen_incident",
    "services_of",
    "severity_of",
    "stop_settling",
    "unmark_merged",
]
