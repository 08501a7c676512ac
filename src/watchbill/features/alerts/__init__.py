"""Alerts: what other tools and our own SLOs report, one episode of one identity each."""

from watchbill.features.alerts.accepting import BEAT_EVERY, EXPIRE, ROUTE, accept_events
from watchbill.features.alerts.actions import (
    HOLD_ENDS,
    alerts_of_incident,
    attach_alert,
    beat_intake,
    end_hold,
    expire_alert,
    hold_alert,
    move_alerts,
    open_alerts,
    previous_incident,
)
from watchbill.features.alerts.integrations import (
    builtin_integration,
    create_integration,
    integration_by_key,
    integrations,
    revoke_integration,
)
from watchbill.features.alerts.logic import HOLD_FOR, STALE_FOR, identity_of_labels
from watchbill.features.alerts.model import (
    Accepted,
    Alert,
    AlertState,
    Event,
    Integration,
    Link,
    Severity,
    Urgency,
)
from watchbill.features.alerts.retention import DELIVERIES_FOR, RESOLVED_FOR, forget_alerts, forget_deliveries
from watchbill.features.alerts.store import BusyError, lock_alert, new_deliveries

__all__ = [
    "BEAT_EVERY",
    "DELIVERIES_FOR",
    "EXPIRE",
    "HOLD_ENDS",
    "HOLD_FOR",
    "RESOLVED_FOR",
    "ROUTE",
    "STALE_FOR",
    "Accepted",
    "Alert",
    "AlertState",
    "BusyError",
    "Event",
    "Integration",
    "Link",
    "Severity",
    "Urgency",
    "accept_events",
    "alerts_of_incident",
    "attach_alert",
    "beat_intake",
    "builtin_integration",
    "create_integration",
    "end_hold",
    "expire_alert",
    "forget_alerts",
    "forget_deliveries",
    "hold_alert",
    "identity_of_labels",
    "integration_by_key",
    "integrations",
    "lock_alert",
    "move_alerts",
    "new_deliveries",
    "open_alerts",
    "previous_incident",
    "revoke_integration",
]
