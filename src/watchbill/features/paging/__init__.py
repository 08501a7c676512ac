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
from watchbill.features.paging.answers import (
    AnswerAction,
    Answered,
    answer_notification,
    answer_text,
    incidents_in,
    note_delivery,
    notified_at,
    prove,
)
from watchbill.features.paging.duties import page_duties, routing_duties
from watchbill.features.paging.handing import (
    cancel_page,
    decline_hand_over,
    hand_over,
    page_team,
    reassign,
    snooze,
)
from watchbill.features.paging.history import Asked, PastPage, interruptions, past_pages
from watchbill.features.paging.last_resort import last_resort_problem
from watchbill.features.paging.links import SignedLinks, open_action, open_link
from watchbill.features.paging.logic import Harmed
from watchbill.features.paging.merging import merge_incident, unmerge_incident
from watchbill.features.paging.model import (
    EscalationPolicy,
    IncidentDetail,
    Notification,
    Page,
    PageDetail,
    Step,
)
from watchbill.features.paging.notify import Links, SendNotification
from watchbill.features.paging.outbox import set_throttles, throttles
from watchbill.features.paging.policy import policy_of, policy_of_team
from watchbill.features.paging.preview import Preview, preview
from watchbill.features.paging.rights import person_caller
from watchbill.features.paging.simulate import Case, Happening, Line, Sent, simulate
from watchbill.features.paging.targets import World
from watchbill.features.paging.views import IncidentLine, incident_detail, incident_list, page_with_incident
from watchbill.runtime.messages import Message, Send, SendOutcome

__all__ = [
    "AnswerAction",
    "Answered",
    "Asked",
    "Case",
    "EscalationPolicy",
    "Happening",
    "Harmed",
    "IncidentDetail",
    "IncidentLine",
    "Line",
    "Links",
    "Message",
    "Notification",
    "Page",
    "PageDetail",
    "PastPage",
    "Preview",
    "Send",
    "SendNotification",
    "SendOutcome",
    "Sent",
    "SignedLinks",
    "Step",
    "World",
    "acknowledge_incident",
    "acknowledge_page",
    "add_note",
    "answer_notification",
    "answer_text",
    "cancel_page",
    "declare",
    "decline_hand_over",
    "hand_over",
    "incident_detail",
    "incident_list",
    "incidents_in",
    "interruptions",
    "last_resort_problem",
    "merge_incident",
    "note_delivery",
    "notified_at",
    "open_action",
    "open_link",
    "page_duties",
    "page_team",
    "page_team_for_test",
    "page_with_incident",
    "past_pages",
    "person_caller",
    "policy_of",
    "policy_of_team",
    "preview",
    "prove",
    "reassign",
    "reopen_incident",
    "resolve_incident",
    "routing_duties",
    "set_throttles",
    "simulate",
    "snooze",
    "throttles",
    "unmerge_incident",
]
