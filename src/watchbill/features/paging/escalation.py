"""Moving a page: its steps, its epochs, its end. Everything here runs with the page's row locked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from watchbill.features import catalog, identity, incidents, oncall
from watchbill.features.incidents import Incident
from watchbill.features.paging import logic, store
from watchbill.features.paging.model import EscalationPolicy, Page
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

_NOBODY_WAIT = timedelta(minutes=1)


def open_page(tx: Tx, *, incident: Incident, team_id: UUID | None, reason: str, first: bool = False) -> Page:
    """Open the team's page with a snapshot of its policy, and take the first step at once.

    ``first`` says that the incident was opened just now, so that no earlier page needs looking for.
    """
    policy = EscalationPolicy(steps=(), repeat_last=0)
    if team_id is not None:
        policy = logic.policy_of(catalog.team(tx, id=team_id).spec.get("escalation"))
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
    )
    store.insert_page(tx, page)
    explain(tx, page, incident, "page.opened", why=reason, data={"epoch": page.epoch})
    return take_step(tx, page=page, incident=incident)


def take_step(tx: Tx, *, page: Page, incident: Incident) -> Page:
    """Take the page's next step: write its notifications, or skip it at once when nobody can be reached.

    The fallback never ends by itself: with nobody reachable there either, it is tried every minute.
    """
    if page.state != "escalating":
        return page
    number = page.step
    while True:
        step = logic.next_step(page.policy, number)
        people = _targets(tx, page=page, names=step.notify)
        methods = identity.contact_methods(tx, person_ids=sorted(people))
        reachable = {person: found for person in sorted(people) if (found := methods.get(person))}
        label = "fallback" if step.fallback else ", ".join(step.notify)
        if reachable:
            _notify(tx, page=page, step=number, reachable=reachable)
            explain(
                tx,
                page,
                incident,
                "page.step_taken",
                why=f"step {number + 1}: {label}",
                data={
                    "step": number,
                    "people": [str(p) for p in reachable],
                    "fallback": step.fallback,
                    "repeat": step.repeat,
                    "epoch": page.epoch,
                },
            )
            return _wait(tx, page, step=number + 1, wait=step.wait)
        why = f"step {number + 1} ({label}): " + ("nobody there can be reached" if people else "nobody is there")
        if step.fallback:
            if step.repeat == 0:
                explain(tx, page, incident, "page.nobody_reachable", why=why + "; tried again every minute")
            return _wait(tx, page, step=number, wait=_NOBODY_WAIT)
        explain(tx, page, incident, "page.step_skipped", why=why, data={"step": number})
        number = logic.step_after_unreachable(page.policy, number)


def _wait(tx: Tx, page: Page, *, step: int, wait: timedelta) -> Page:
    waiting = store.change_page(tx, page, step=step, due_at=tx.now + wait)
    due.schedule(tx, kind=STEP, subject=page.id, due_at=tx.now + wait, payload={"epoch": page.epoch})
    return waiting


def _notify(tx: Tx, *, page: Page, step: int, reachable: dict[UUID, list[identity.ContactMethod]]) -> None:
    rows: list[dict[str, Any]] = []
    for person_id, methods in reachable.items():
        for method, at in zip(methods, logic.send_times(len(methods), tx.now), strict=True):
            rows.append(
                {
                    "id": new_id(),
                    "page_id": page.id,
                    "epoch": page.epoch,
                    "step": step,
                    "person_id": person_id,
                    "channel": method.channel,
                    "address": method.address,
                    "state": "queued",
                    "queued_at": tx.now,
                    "due_at": at,
                }
            )
    tx.execute(sa.insert(store.notification), rows)
    due.schedule_many(tx, kind=SEND, rows=[(str(row["id"]), row["due_at"], {}) for row in rows])


def _targets(tx: Tx, *, page: Page, names: tuple[str, ...]) -> set[UUID]:
    """The active people a step names, now."""
    found: set[UUID] = set()
    for name in names:
        if name == "fallback":
            found |= _fallback(tx)
        elif name.startswith("person:"):
            named = identity.person_by_login(tx, login=name.removeprefix("person:"))
            found |= {named.id} if named else set()
        elif page.team_id is not None:
            found |= _of_team(tx, team_id=page.team_id, name=name)
    known = identity.people(tx, ids=sorted(found))
    return {person_id for person_id in found if person_id in known and known[person_id].active}


def _of_team(tx: Tx, *, team_id: UUID, name: str) -> set[UUID]:
    if name == "on-call":
        shift = oncall.who_is_on_call(tx, team_id=team_id, at=tx.now)
        return {shift.person_id} if shift else set()
    if name == "next-on-call":
        shift = oncall.next_on_call(tx, team_id=team_id, at=tx.now)
        return {shift.person_id} if shift else set()
    members = [m for m in catalog.members(tx, team_ids=[team_id]).get(team_id, []) if m.role != "shadow"]
    if name == "leads":
        return {m.person_id for m in members if m.role == "lead"}
    return {m.person_id for m in members}


def _fallback(tx: Tx) -> set[UUID]:
    """The fallback team's people; without one (or without anybody to reach in it) every administrator."""
    team = catalog.fallback_team(tx)
    if team is not None:
        people = _of_team(tx, team_id=team.id, name="team")
        methods = identity.contact_methods(tx, person_ids=sorted(people))
        if any(methods.get(person) for person in people):
            return people
    return {person.id for person in identity.administrators(tx)}


def begin_epoch(tx: Tx, *, page: Page, incident: Incident, reason: str) -> Page:
    """Paging starts again from the current on-call. Whatever an earlier epoch still had queued is cancelled."""
    cancel_queued(tx, page_id=page.id)
    renewed = store.change_page(
        tx,
        page,
        state="escalating",
        epoch=page.epoch + 1,
        step=0,
        reason=reason,
        acknowledged_by=None,
        acknowledged_at=None,
        acknowledged_until=None,
    )
    explain(tx, renewed, incident, "page.epoch_began", why=reason, data={"epoch": renewed.epoch})
    return take_step(tx, page=renewed, incident=incident)


def end_page(tx: Tx, *, page: Page, incident: Incident, because: str, actor: Actor) -> Page:
    """Nothing more is sent for it."""
    cancel_queued(tx, page_id=page.id)
    ended = store.change_page(tx, page, state="ended", ended_at=tx.now, ended_because=because, due_at=None)
    explain(tx, ended, incident, "page.ended", actor=actor, why=because)
    return ended


def review_step(tx: Tx, *, page: Page, incident: Incident) -> None:
    """After a failure: the person's next method goes out at once; when every channel of everybody in the
    step has failed, the step counts as unreachable and the page moves on at once.
    """
    if page.state != "escalating" or page.step == 0:
        return
    step = page.step - 1
    sent = store.notifications_of_step(tx, page_id=page.id, epoch=page.epoch, step=step)
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
        _wait(tx, page, step=page.step, wait=_NOBODY_WAIT)
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
