"""Paging: one team's escalation run in one incident, until somebody answers."""

from watchbill.features.paging.actions import (
    acknowledge_incident,
    acknowledge_page,
    add_note,
    declare,
    page_team_for_test,
    reopen_incident,
    resolve_incident,
)
from watchbill.features.paging.duties import page_duties, routing_duties
from watchbill.features.paging.last_resort import last_resort_problem
from watchbill.features.paging.links import SignedLinks, open_action, open_link
from watchbill.features.paging.model import (
    EscalationPolicy,
    IncidentDetail,
    Notification,
    Page,
    PageDetail,
    Step,
)
from watchbill.features.paging.notify import Links, SendNotification
from watchbill.features.paging.policy import policy_of, policy_of_team
from watchbill.features.paging.rights import person_caller
from watchbill.features.paging.views import IncidentLine, incident_detail, incident_list, page_with_incident
from watchbill.runtime.messages import Message, Send, SendOutcome

__all__ = [
    "EscalationPolicy",
    "IncidentDetail",
    "IncidentLine",
    "Links",
    "Message",
    "Notification",
    "Page",
    "PageDetail",
    "Send",
    "SendNotification",
    "SendOutcome",
    "SignedLinks",
    "Step",
    "acknowledge_incident",
    "acknowledge_page",
    "add_note",
    "declare",
    "incident_detail",
    "incident_list",
    "last_resort_problem",
    "open_action",
    "open_link",
    "page_duties",
    "page_team_for_test",
    "page_with_incident",
    "person_caller",
    "policy_of",
    "policy_of_team",
    "reopen_incident",
    "resolve_incident",
    "routing_duties",
]
