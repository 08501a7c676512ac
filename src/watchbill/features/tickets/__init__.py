"""Tickets: alerts of urgency ticket, in the place where their team works."""

from watchbill.features.tickets.actions import follow
from watchbill.features.tickets.duties import SyncTicket
from watchbill.features.tickets.logic import rules_of
from watchbill.features.tickets.model import (
    Draft,
    FindTracker,
    Place,
    Remote,
    Rules,
    Said,
    Ticket,
    TicketState,
    Tracker,
    TrackerError,
)
from watchbill.features.tickets.reads import (
    problems,
    sample,
    ticket_of_alert,
    tickets_of_alerts,
    tickets_of_identity,
    tickets_of_team,
)
from watchbill.features.tickets.telling import TellTeam

__all__ = [
    "Draft",
    "FindTracker",
    "Place",
    "Remote",
    "Rules",
    "Said",
    "SyncTicket",
    "TellTeam",
    "Ticket",
    "TicketState",
    "Tracker",
    "TrackerError",
    "follow",
    "problems",
    "rules_of",
    "sample",
    "ticket_of_alert",
    "tickets_of_alerts",
    "tickets_of_identity",
    "tickets_of_team",
]
