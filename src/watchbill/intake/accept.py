"""The one way in: events become durable alerts, or the sender is told to send again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from watchbill.features import alerts, catalog
from watchbill.features.alerts import Accepted, Event, Integration
from watchbill.kernel.errors import Conflict, Unavailable
from watchbill.runtime.db import Database, Tx

_TRIES = 5


def accept(db: Database, *, source: Callable[[Tx], Integration], events: Sequence[Event]) -> list[Accepted]:
    """Authenticate and store a delivery in one commit; what returns is durable.

    Two deliveries that open the same alert at the same moment collide; the loser is tried again
    and then refreshes what the winner opened.

    Raises:
        Unauthenticated: from ``source``.
        Unavailable: the database is away, or the collision did not end; nothing was accepted.
    """
    for _ in range(_TRIES):
        try:
            with db.transaction() as tx:
                integration = source(tx)
                named = _with_service(tx, integration, events)
                return alerts.accept_events(tx, integration_id=integration.id, events=named)
        except Conflict as error:
            if error.problem.code != "concurrent_delivery":
                raise
    raise Unavailable("several deliveries of the same alert collide", code="busy", hint="send it again")


def _with_service(tx: Tx, integration: Integration, events: Sequence[Event]) -> Sequence[Event]:
    """An integration that belongs to a service names it for events that name none."""
    if integration.service_id is None or all(event.service for event in events):
        return events
    name = catalog.service(tx, id=integration.service_id).name
    return [event if event.service else msgspec.structs.replace(event, service=name) for event in events]
