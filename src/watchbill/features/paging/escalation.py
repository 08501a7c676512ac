"""Moving a page: its steps, its epochs, its end. Everything here runs with the page's row locked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from watchbill.features import catalog, incidents
from watchbill.features.incidents import Incident
from watchbill.features.paging import logic, store, targets, walk
from watchbill.features.paging.logic import Harmed, Hold, Moment, NextStep
from watchbill.features.paging.model import EscalationPolicy, Page
from watchbill.features.paging.policy import policy_of_team
from watchbill.features.paging.walk import Reach
from watchbill.features.paging.world import DatabaseWorld, free_days, harmed_of
from watchbill.kernel.ids import new_id
from watchbill.runtime import due, ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor, system

STEP = "page.step"
"""Due row: the page's next step."""
ACKNOWLEDGEMENT_EXPIRES = "page.acknowledgement_expires"
"""Due row: acknowledged, but not resolved in time."""
REVIEW = "page.review"
"""Due row: a notification of the page failed; see who is left to reach."""
SEND = "notification.send"
"""Due row: one notification to get to one person."""

AFRESH: Mapping[str, Any] = {
    "acknowledged_by": None,
    "acknowledged_at": None,
    "acknowledged_until": None,
    "snoozed": False,
    "handover_to": None,
    "handover_by": None,
    "handover_until": None,
}
"""Columns of a page that nobody has, with nobody asked to take it over."""
CALL = "page.call"
"""Due row: a step that calls until somebody answers, again."""


def open_page(
    tx: Tx,
    *,
    incident: Incident,
    team_id: UUID | None,
    reason: str,
    first: bool = False,
    policy: EscalationPolicy | None = None,
    harmed: Sequence[Harmed] | None = None,
    actor: Actor | None = None,
) -> Page:
    """Open the team's page with a snapshot of its policy, and take the first step at once unless the policy holds it.

    ``first`` says that the incident was opened just now, so that no earlier page needs looking for. ``policy`` is
    in place of the team's own; ``harmed`` are the services, where the caller has them.
    """
    if policy is None:
        policy = EscalationPolicy(steps=(), repeat_last=0) if team_id is None else team_policy(tx, team_id=team_id)
    found = harmed_of(tx, incident) if harmed is None else harmed
    pages = [] if first else store.pages_of(tx, incident_ids=[incident.id])
    earlier = [page for page in pages if page.team_id == team_id]
    page = Page(
        id=new_id(),
        incident_id=incident.id,
        team_id=team_id,
        state="escalating",
        epoch=1 + max((p.epoch for p in earlier), default=0),
        step=0,
        due_at=tx.now,
        policy=policy,
        reason=reason,
        created_at=tx.now,
        acknowledged_by=None,
        acknowledged_at=None,
        acknowledged_until=None,
        ended_at=None,
        ended_because=None,
        tier=logic.tier_of(found),
    )
    held = _hold(tx, page, incident, found)
    if held is not None:
        page = msgspec.structs.replace(page, state="held", held_because=held.reason, due_at=held.until)
    store.insert_page(tx, page)
    explain(tx, page, incident, "page.opened", actor=actor, why=reason, data={"epoch": page.epoch})
    if held is not None:
        return _held(tx, page, incident, held)
    return take_step(tx, page=page, incident=incident)


def team_policy(tx: Tx, *, team_id: UUID) -> EscalationPolicy:
    """The policy of the team as it is now."""
    return policy_of_team(catalog.team(tx, id=team_id).spec)


def _hold(tx: Tx, page: Page, incident: Incident, harmed: Sequence[Harmed]) -> Hold | None:
    policy = page.policy
    days = free_days(tx, policy) if any(each.watch == "office-hours" for each in harmed) or policy.hold_tiers else None
    return logic.hold(
        policy, harmed=harmed, severity=incident.severity, at=tx.now, holidays=days if days else frozenset()
    )


def _held(tx: Tx, page: Page, incident: Incident, held: Hold) -> Page:
    due.schedule(tx, kind=STEP, subject=page.id, due_at=held.until, payload={"epoch": page.epoch})
    explain(tx, page, incident, "page.held", why=held.reason, data={"until": held.until.isoformat()})
    return page


def reconsider_held(tx: Tx, *, page: Page, incident: Incident, why: str) -> Page:
    """Decide again about a held page: its time has come, or what is harmed or the severity has changed.

    It goes on waiting (perhaps until another time), or its escalation begins now.
    """
    if page.state != "held":
        return page
    harmed = harmed_of(tx, incident)
    tier = logic.tier_of(harmed)
    held = _hold(tx, page, incident, harmed)
    if held is None:
        released = store.change_page(tx, page, state="escalating", held_because=None, step=0, due_at=tx.now, tier=tier)
        explain(tx, released, incident, "page.released", why=why, data={"epoch": page.epoch})
        return take_step(tx, page=released, incident=incident)
    if (held.until, held.reason) == (page.due_at, page.held_because):
        due.schedule(tx, kind=STEP, subject=page.id, due_at=held.until, payload={"epoch": page.epoch})
        return page
    waiting = store.change_page(tx, page, held_because=held.reason, due_at=held.until, tier=tier)
    return _held(tx, waiting, incident, held)


def take_step(tx: Tx, *, page: Page, incident: Incident) -> Page:
    """Take the page's next step: write its notifications, or skip it at once when nobody can be reached.

    The fallback never ends by itself: with nobody reachable there either, it is tried every minute.
    """
    if page.state != "escalating":
        return page
    world = DatabaseWorld(tx, important=is_important(incident))
    taken = walk.take(page.policy, page.step, _moment(tx, page), partial(_reach, world, page))
    step = taken.step
    for skipped in taken.skipped:
        explain(tx, page, incident, "page.step_skipped", why=skipped.why, data={"step": skipped.step})
    if taken.reach:
        _notify(tx, page=page, step=step.number, reach=taken.reach)
        explain(
            tx,
            page,
            incident,
            "page.step_taken",
            why=taken.why,
            data={
                "step": step.number,
                "people": [str(p) for p in taken.reach.people],
                "fallback": step.fallback,
                "repeat": step.repeat,
                "epoch": page.epoch,
                **({"channels": [each.name for each in taken.reach.channels]} if taken.reach.channels else {}),
                **({"watchers": [str(p) for p in taken.reach.watchers]} if taken.reach.watchers else {}),
            },
        )
        _call_again(tx, page, step)
    elif step.repeat == 0:
        explain(tx, page, incident, "page.nobody_reachable", why=taken.why)
    return _wait(tx, page, step=taken.following, wait=taken.wait)


def _moment(tx: Tx, page: Page) -> Moment:
    return Moment(at=tx.now, tier=page.tier or 3, holidays=free_days(tx, page.policy))


def _reach(world: DatabaseWorld, page: Page, names: tuple[str, ...]) -> Reach:
    return targets.resolve(world, team_id=page.team_id, names=names)


def is_important(incident: Incident) -> bool:
    """Important pages pierce quiet hours: severities 1 and 2, and whatever hurts users."""
    return incident.severity in ("sev1", "sev2") or incident.phase == "declared"


def _call_again(tx: Tx, page: Page, step: NextStep) -> None:
    """Keep calling until somebody answers; a repeat of the same step goes on with the same calls."""
    if step.call_every is not None:
        of_policy = min(step.number, len(page.policy.steps) - 1)
        due.schedule(
            tx,
            kind=CALL,
            subject=f"{page.id}:{of_policy}",
            due_at=tx.now + step.call_every,
            payload={"epoch": page.epoch, "step": step.number},
        )


def call_again(tx: Tx, *, page: Page, incident: Incident, epoch: int, number: int) -> None:
    """Notify a step's people again, while nobody has acknowledged."""
    if page.state != "escalating" or page.epoch != epoch:
        return
    step = logic.next_step(page.policy, number)
    reach = _reach(DatabaseWorld(tx, important=is_important(incident), turns={}), page, step.notify)
    if reach.people:
        _notify(tx, page=page, step=number, reach=Reach(people=reach.people, named=reach.named))
        explain(
            tx,
            page,
            incident,
            "page.called_again",
            why=f"{walk.label_of(step)}; until somebody answers",
            data={"step": number, "people": [str(p) for p in reach.people], "epoch": epoch},
        )
    _call_again(tx, page, step)


def _wait(tx: Tx, page: Page, *, step: int, wait: timedelta) -> Page:
    waiting = store.change_page(tx, page, step=step, due_at=tx.now + wait)
    due.schedule(tx, kind=STEP, subject=page.id, due_at=tx.now + wait, payload={"epoch": page.epoch})
    return waiting


def _notify(tx: Tx, *, page: Page, step: int, reach: Reach) -> None:
    rows = [
        {**_row(tx, page, step, tx.now + after), "person_id": person_id, "channel": method.channel}
        | {"address": method.address, "watching": watching}
        for watching, people in ((False, reach.people), (True, reach.watchers))
        for person_id, sends in people.items()
        for method, after in sends
    ]
    rows += [
        {**_row(tx, page, step, tx.now), "team_channel_id": each.id, "channel": each.channel, "address": each.address}
        | {"watching": bool(reach.people)}
        for each in reach.channels
    ]
    tx.execute(sa.insert(store.notification), rows)
    due.schedule_many(tx, kind=SEND, rows=[(str(row["id"]), row["due_at"], {}) for row in rows])


def _row(tx: Tx, page: Page, step: int, at: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "page_id": page.id,
        "epoch": page.epoch,
        "step": step,
        "person_id": None,
        "team_channel_id": None,
        "state": "queued",
        "queued_at": tx.now,
        "due_at": at,
    }


def notify_person(tx: Tx, *, page: Page, incident: Incident, person_id: UUID) -> bool:
    """Ask one person about a page outside its steps, as for a hand-over; False when they cannot be reached."""
    plans = DatabaseWorld(tx, important=is_important(incident)).plans([person_id])
    if plans:
        _notify(tx, page=page, step=max(0, page.step - 1), reach=Reach(people=plans))
    return bool(plans)


def begin_epoch(tx: Tx, *, page: Page, incident: Incident, reason: str) -> Page:
    """Paging starts again from the current on-call, unless the policy holds it now.

    Whatever an earlier epoch still had queued is cancelled.
    """
    cancel_queued(tx, page_id=page.id)
    harmed = harmed_of(tx, incident)
    held = _hold(tx, page, incident, harmed)
    renewed = store.change_page(
        tx,
        page,
        **AFRESH,
        state="escalating" if held is None else "held",
        epoch=page.epoch + 1,
        step=0,
        reason=reason,
        tier=logic.tier_of(harmed),
        held_because=held.reason if held else None,
        due_at=held.until if held else page.due_at,
    )
    explain(tx, renewed, incident, "page.epoch_began", why=reason, data={"epoch": renewed.epoch})
    if held is not None:
        return _held(tx, renewed, incident, held)
    return take_step(tx, page=renewed, incident=incident)


def end_page(tx: Tx, *, page: Page, incident: Incident, because: str, actor: Actor) -> Page:
    """Nothing more is sent for it."""
    cancel_queued(tx, page_id=page.id)
    ended = store.change_page(
        tx, page, state="ended", ended_at=tx.now, ended_because=because, due_at=None, handover_to=None
    )
    explain(tx, ended, incident, "page.ended", actor=actor, why=because)
    return ended


def review_step(tx: Tx, *, page: Page, incident: Incident) -> None:
    """After a failure: the person's next method goes out at once; when every channel of everybody in the
    step has failed, the step counts as unreachable and the page moves on at once.
    """
    if page.state != "escalating" or page.step == 0:
        return
    step = page.step - 1
    told = store.notifications_of_step(tx, page_id=page.id, epoch=page.epoch, step=step)
    sent = [notification for notification in told if not notification.watching]
    for failing in (n for n in sent if n.error is not None):
        waiting = [n for n in sent if n.person_id == failing.person_id and n.state == "queued" and not n.attempts]
        if waiting and due.hasten(tx, kind=SEND, subject=waiting[0].id):
            store.change_notification(tx, waiting[0].id, due_at=tx.now)
    if not sent or any(n.state != "failed" for n in sent):
        return
    explain(
        tx,
        page,
        incident,
        "page.step_unreachable",
        why=f"step {step + 1}: every channel failed; the next step is taken",
    )
    if logic.next_step(page.policy, step).fallback:
        _wait(tx, page, step=page.step, wait=walk.NOBODY_WAIT)
        return
    onward = store.change_page(tx, page, step=logic.step_after_unreachable(page.policy, step))
    take_step(tx, page=onward, incident=incident)


def cancel_queued(tx: Tx, *, page_id: UUID) -> None:
    """Queued notifications will not go out. Their due rows find that out by themselves."""
    tx.execute(
        sa.update(store.notification)
        .where(store.notification.c.page_id == page_id, store.notification.c.state == "queued")
        .values(state="cancelled", settled_at=tx.now)
    )


def explain(
    tx: Tx,
    page: Page,
    incident: Incident,
    name: str,
    *,
    actor: Actor | None = None,
    why: str = "",
    data: dict[str, Any] | None = None,
) -> None:
    """Append to the timeline of the page's incident."""
    ledger.append(
        tx,
        name=name,
        actor=actor or system("pager"),
        subject=("page", page.id),
        incident_id=incident.id,
        team_id=page.team_id,
        why=why,
        data=data,
    )
    tx.hint(incidents.LIVE, f"incident:{incident.number}")
