"""The stage of the journeys: the fixed cast on a real database and a virtual clock.

alice leads team payments and bob is a member; charlie belongs to another team; dana administers.
Providers are stood in for by a list of what was sent, because time here is virtual; real SMTP and
real webhooks are used by the crash tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from watchbill.features import alerts, catalog, identity, oncall, paging
from watchbill.features.alerts.store import intake_beat
from watchbill.features.catalog.actions import write_services, write_teams
from watchbill.features.identity import Caller
from watchbill.features.incidents import EvidenceAction
from watchbill.features.paging import Message, SendOutcome
from watchbill.kernel.clock import VirtualClock
from watchbill.kernel.ids import new_id
from watchbill.runtime import due, ledger
from watchbill.runtime.db import Database, Tx
from watchbill.runtime.due import InsideDuty

SETTLE_FOR = timedelta(minutes=2)
ACTOR = ledger.system("test")


class StageLinks:
    """Readable links instead of signed ones."""

    def acknowledge(self, *, person_id: UUID, page_id: UUID, now: datetime) -> str:
        return f"https://watchbill.test/a/{page_id}/{person_id}"

    def incident(self, number: int) -> str:
        return f"https://watchbill.test/incidents/{number}"

    def action(self, *, person_id: UUID, incident_id: UUID, action: EvidenceAction, now: datetime) -> str:
        return f"https://watchbill.test/do/{action.name}/{action.subject}/{person_id}"


class Stage:
    """A small organisation, and the pager working its due rows whenever time moves."""

    def __init__(self, db: Database, clock: VirtualClock) -> None:
        self.db = db
        self.clock = clock
        self.sent: list[tuple[datetime, Message]] = []
        self.broken: dict[str, SendOutcome] = {}
        self.people: dict[str, UUID] = {}
        self.teams: dict[str, UUID] = {}
        self.services: dict[str, UUID] = {}
        self._duties: list[InsideDuty] = [
            *paging.routing_duties(settle_for=SETTLE_FOR),
            *paging.page_duties(),
        ]
        self._send = paging.SendNotification(send=self._deliver, links=StageLinks())

    # The organisation

    def team(self, name: str, *logins: str, fallback: bool = False, **spec: Any) -> UUID:
        """A team whose first member leads it; ``login:shadow`` names another role."""
        with self.db.transaction() as tx:
            members: list[tuple[UUID, Any]] = []
            for position, text in enumerate(logins):
                login, _, role = text.partition(":")
                person = identity.ensure_person(tx, login=f"{login}@example.org", name=login)
                self.people[login] = person.id
                members.append((person.id, role or ("lead" if position == 0 else "member")))
            team_id = new_id()
            write_teams(
                tx,
                writes=[
                    catalog.TeamWrite(
                        id=team_id,
                        name=name,
                        title=name,
                        former_names=[],
                        source="test",
                        spec=spec,
                        spec_hash="",
                        fallback=fallback,
                        members=members,
                        added=True,
                    )
                ],
                actor=ACTOR,
            )
            rota = tuple(person for person, role in members if role != "shadow")
            oncall.set_rotations(
                tx,
                rotations=[oncall.TeamRotation(team_id=team_id, members=rota, starts_at=date(2026, 3, 2))],
                actor=ACTOR,
            )
        self.teams[name] = team_id
        return team_id

    def service(self, name: str, *, owner: str, tier: int = 2, depends_on: tuple[str, ...] = (), **spec: Any) -> UUID:
        service_id = new_id()
        with self.db.transaction() as tx:
            write_services(
                tx,
                writes=[
                    catalog.ServiceWrite(
                        id=service_id,
                        name=name,
                        title=name,
                        former_names=[],
                        telemetry_name=name,
                        team_id=self.teams[owner],
                        tier=tier,
                        source="test",
                        spec=spec,
                        spec_hash="",
                        operations=[],
                        depends_on=[self.services[d] for d in depends_on],
                        added=True,
                    )
                ],
                actor=ACTOR,
            )
        self.services[name] = service_id
        return service_id

    def caller(self, login: str) -> Caller:
        with self.db.transaction() as tx:
            return paging.person_caller(tx, person_id=self.people[login])

    @contextmanager
    def acting(self, login: str) -> Iterator[tuple[Tx, Caller]]:
        """A transaction, and who acts in it. dana administers."""
        caller = self.caller(login)
        if login == "dana":
            caller = msgspec.structs.replace(caller, role="admin")
        with self.db.transaction() as tx:
            yield tx, caller

    # What happens

    def post(self, *events: alerts.Event) -> list[alerts.Accepted]:
        with self.db.transaction() as tx:
            source = alerts.builtin_integration(tx, name="events")
            return alerts.accept_events(tx, integration_id=source.id, events=events)

    def fire(self, identity: str = "high-errors", service: str | None = "payments", **more: Any) -> None:
        """Post a firing event, and let the pager take it."""
        title = more.pop("title", f"{identity} on {service}")
        self.post(alerts.Event(identity=identity, action="trigger", title=title, service=service, **more))
        self.work()

    def recover(self, identity: str = "high-errors") -> None:
        self.post(alerts.Event(identity=identity, action="resolve", title=identity))
        self.work()

    def beat(self, *, after_absence: bool = False) -> None:
        """Intake is alive, and was all the time unless it comes back ``after_absence``."""
        with self.db.transaction() as tx:
            if not after_absence:
                tx.execute(sa.update(intake_beat).values(beat_at=tx.now))
            alerts.beat_intake(tx)

    def work(self) -> None:
        """The pager works until nothing is due at this instant."""
        while due.work_inside(self.db, self._duties) or due.work_outside(self.db, self._send):
            pass

    def wait(self, by: timedelta, *, intake: bool = True) -> None:
        """Let time pass, stopping at each due row as the pager would."""
        end = self.clock.now() + by
        kinds = [*(duty.kind for duty in self._duties), self._send.kind]
        while True:
            with self.db.transaction() as tx:
                at = due.next_due_at(tx, kinds=kinds)
            if at is None or at > end:
                break
            self.clock.move_to(max(self.clock.now(), at))
            if intake:
                self.beat()
            self.work()
        self.clock.move_to(end)
        if intake:
            self.beat()

    def _deliver(self, message: Message) -> SendOutcome:
        broken = self.broken.get(message.address)
        if broken is not None:
            return broken
        self.sent.append((self.clock.now(), message))
        return SendOutcome(sent=True)

    # What can be seen

    def addresses(self) -> list[str]:
        """Who was sent something, in order, by the part of the address before the @."""
        return [message.address.split("@")[0] for _, message in self.sent]

    def incident(self, number: int = 1) -> paging.IncidentDetail:
        with self.db.transaction() as tx:
            return paging.incident_detail(tx, number=number)

    def page(self, number: int = 1) -> paging.Page:
        """The newest page of the incident."""
        return self.incident(number).pages[-1].page

    def story(self, number: int = 1) -> list[str]:
        """The names of the timeline's entries, oldest first."""
        return [entry.name for entry in self.incident(number).timeline]

    def acknowledge(self, login: str, number: int = 1) -> None:
        caller = self.caller(login)
        with self.db.transaction() as tx:
            paging.acknowledge_incident(tx, number=number, caller=caller)

    def resolve(self, login: str, number: int = 1) -> None:
        caller = self.caller(login)
        with self.db.transaction() as tx:
            paging.resolve_incident(tx, number=number, caller=caller)
        self.work()
