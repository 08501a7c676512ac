"""The pager's due rows, each one small class: what has to happen, in one commit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from watchbill.features import alerts, incidents
from watchbill.features.alerts import BusyError
from watchbill.features.paging import actions, escalation, routing, store
from watchbill.features.paging.routing import Adviser, Follower
from watchbill.runtime import due
from watchbill.runtime.db import Tx
from watchbill.runtime.due import DueRow, InsideDuty

log = structlog.get_logger("watchbill.pager")

_BUSY_WAIT = timedelta(milliseconds=100)


class _Duty:
    """Work on one subject; when somebody else holds it, put it back for a moment."""

    kind: str

    def run(self, tx: Tx, row: DueRow) -> None:
        try:
            self.work(tx, row)
        except BusyError:
            due.schedule(tx, kind=self.kind, subject=row.subject, due_at=tx.now + _BUSY_WAIT, payload=row.payload)

    def work(self, tx: Tx, row: DueRow) -> None:
        raise NotImplementedError


class RouteAlert(_Duty):
    """``alert.route``: an alert to its owner, or its incident towards its end."""

    kind = alerts.ROUTE

    def __init__(
        self, *, settle_for: timedelta, advisers: Sequence[Adviser] = (), followers: Sequence[Follower] = ()
    ) -> None:
        self._settle_for = settle_for
        self._advisers = advisers
        self._followers = followers

    def work(self, tx: Tx, row: DueRow) -> None:
        routing.route_alert(
            tx,
            alert_id=UUID(row.subject),
            settle_for=self._settle_for,
            advisers=self._advisers,
            followers=self._followers,
        )


class ExpireAlert(_Duty):
    """``alert.expire``: the source is silent past its own expiry."""

    kind = alerts.EXPIRE

    def work(self, tx: Tx, row: DueRow) -> None:
        routing.lock_response(tx)
        alert_id = UUID(row.subject)
        alerts.expire_alert(tx, alert_id=alert_id, acknowledged=self._acknowledged(tx, alert_id))

    @staticmethod
    def _acknowledged(tx: Tx, alert_id: UUID) -> bool:
        """True when nobody is still being looked for: each open page of its incident is acknowledged."""
        alert = alerts.lock_alert(tx, alert_id=alert_id)
        if alert is None or alert.incident_id is None:
            return True
        pages = store.pages_of(tx, incident_ids=[alert.incident_id])
        return all(page.state in ("acknowledged", "ended") for page in pages)


class EndHold(_Duty):
    """``alert.hold_ends``: half an hour after a person resolved it."""

    kind = alerts.HOLD_ENDS

    def work(self, tx: Tx, row: DueRow) -> None:
        routing.lock_response(tx)
        alert = alerts.end_hold(tx, alert_id=UUID(row.subject))
        if alert is not None:
            routing.fire_again(tx, alert=alert)


class SettleIncident(_Duty):
    """``incident.settle``: an undeclared incident whose alerts stayed resolved."""

    kind = incidents.SETTLE

    def work(self, tx: Tx, row: DueRow) -> None:
        routing.settle_incident(tx, incident_id=UUID(row.subject))


class TakeStep(_Duty):
    """``page.step``: the next step of a page."""

    kind = escalation.STEP

    def work(self, tx: Tx, row: DueRow) -> None:
        actions.take_due_step(tx, page_id=UUID(row.subject))


class ExpireAcknowledgement(_Duty):
    """``page.acknowledgement_expires``: acknowledged, but not resolved in time."""

    kind = escalation.ACKNOWLEDGEMENT_EXPIRES

    def work(self, tx: Tx, row: DueRow) -> None:
        actions.expire_acknowledgement(tx, page_id=UUID(row.subject), epoch=int(row.payload["epoch"]))


class CallAgain(_Duty):
    """``page.call``: a step that calls until somebody answers."""

    kind = escalation.CALL

    def work(self, tx: Tx, row: DueRow) -> None:
        page_id = UUID(row.subject.partition(":")[0])
        actions.call_again(tx, page_id=page_id, epoch=int(row.payload["epoch"]), step=int(row.payload["step"]))


class ReviewPage(_Duty):
    """``page.review``: a notification of the page failed."""

    kind = escalation.REVIEW

    def work(self, tx: Tx, row: DueRow) -> None:
        actions.review_page(tx, page_id=UUID(row.subject))


def routing_duties(
    *, settle_for: timedelta, advisers: Sequence[Adviser] = (), followers: Sequence[Follower] = ()
) -> list[InsideDuty]:
    """Duties that touch alerts and incidents; one loop works them.

    ``advisers`` add evidence to new incidents; ``followers`` are told of every alert that was routed.
    """
    route = RouteAlert(settle_for=settle_for, advisers=advisers, followers=followers)
    return [route, ExpireAlert(), EndHold(), SettleIncident()]


def page_duties() -> list[InsideDuty]:
    """Duties that move pages; a loop of their own, so that an alert storm does not delay a step."""
    return [TakeStep(), CallAgain(), ExpireAcknowledgement(), ReviewPage()]
