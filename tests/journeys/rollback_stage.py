"""The stage of rollbacks: a small world of services that deploy, fail and recover, on a virtual clock.

The observer and the runner are stood in for by this world, because time is virtual: it counts requests by version as
telemetry would, and carries out what a runner claims. Ranking, rules, leases and verification are the real ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.journeys.stage import SETTLE_FOR, Stage
from watchbill.features import alerts, catalog, changes, paging, rollback, suspects
from watchbill.features.catalog.actions import write_services
from watchbill.features.changes import Change, ChangeReport
from watchbill.features.telemetry import (
    CountColumns,
    Edge,
    Edges,
    GetCounts,
    GetEdges,
    GetVersions,
    Versions,
    VersionSlice,
)
from watchbill.kernel.clock import VirtualClock
from watchbill.kernel.errors import Unavailable
from watchbill.runtime import due, ledger
from watchbill.runtime.db import Database

RATE = 10.0
"""Requests a second of each service."""
BASE = 0.004
"""The bad share of a healthy service."""
ROLL_BACK: dict[str, Any] = {"shell": {"command": ["./put-back", "{previous_version}"]}, "verifyFor": "4m"}


class World:
    """Which version of a service serves when, how bad each is, and what else goes wrong."""

    def __init__(self) -> None:
        self.serving: dict[str, list[tuple[datetime, str]]] = {}
        self.bad: dict[tuple[str, str], float] = {}
        self.outside: dict[str, list[tuple[datetime, datetime, float]]] = {}
        self.depends_on: dict[str, tuple[str, ...]] = {}
        self.away = False
        self.counts: Callable[[GetCounts], CountColumns] | None = None

    def version(self, service: str, at: datetime) -> str:
        return next((v for since, v in reversed(self.serving.get(service, [])) if since <= at), "v1")

    def bad_share(self, service: str, at: datetime) -> float:
        good = 1 - BASE
        good *= 1 - self.bad.get((service, self.version(service, at)), 0.0)
        for start, end, share in self.outside.get(service, []):
            good *= 1 - share if start <= at < end else 1
        for dependency in self.depends_on.get(service, ()):
            good *= 1 - self.bad_share(dependency, at) + BASE
        return 1 - good

    def ask(self, question: Any) -> Any:
        """As the observer answers; requests are spread evenly. Counts are those of ``counts``, when it is given."""
        if self.counts is not None and isinstance(question, GetCounts):
            return self.counts(question)
        if self.away or isinstance(question, GetCounts):
            raise Unavailable("the observer does not answer", code="observer_away")
        if isinstance(question, GetEdges):
            return self._edges(question)
        return self._versions(question)

    def _edges(self, question: GetEdges) -> Edges:
        """What really calls what, around those asked for."""
        near = set(question.service_names)
        while (
            more := {
                name
                for caller, callees in self.depends_on.items()
                for name in (caller, *callees)
                if near & {caller, *callees}
            }
            - near
        ):
            near |= more
        pairs = [(caller, callee) for caller in sorted(near) for callee in self.depends_on.get(caller, ())]
        return Edges(traces=200, edges=[Edge(caller=a, callee=b, traces=200) for a, b in pairs])

    def _versions(self, question: GetVersions) -> Versions:
        width = question.slice_seconds
        slices = []
        at = question.start_at
        while at < question.end_at:
            middle = at + timedelta(seconds=width / 2)
            total = RATE * width
            bad = math.floor(total * self.bad_share(question.service_name, middle))
            slices.append(
                VersionSlice(
                    version=self.version(question.service_name, middle),
                    slice_at=at,
                    total=total,
                    bad=bad,
                    slow=math.floor(total * 0.05),
                    p50_ms=20.0,
                    p95_ms=80.0,
                )
            )
            at += timedelta(seconds=width)
        return Versions(slow_ms=80.0, slices=slices)


class RollbackStage(Stage):
    """A stage whose worker ranks suspects and acts, with one runner for everybody."""

    def __init__(self, db: Database, clock: VirtualClock) -> None:
        super().__init__(db, clock)
        self.world = World()
        self.symptoms: dict[str, tuple[str, bool]] = {}
        self.runner_is_away = False
        self.executor_takes = timedelta(seconds=20)
        self.executor_lies = False
        self._duties = [
            *paging.routing_duties(settle_for=SETTLE_FOR, advisers=[suspects.advise]),
            *paging.page_duties(),
            *rollback.duties(),
        ]
        self._rank = suspects.RankSuspects(
            observer=self.world, on_ranked=rollback.consider, undone=rollback.undone_in_vain
        )
        self._verify = rollback.VerifyRun(observer=self.world)
        self._busy: tuple[rollback.Task, datetime] | None = None
        with db.transaction() as tx:
            _, self.secret = rollback.register_runner(
                tx, name="test", team_id=None, executors=["shell"], actor=ledger.system("test")
            )

    def service(
        self,
        name: str,
        *,
        owner: str,
        tier: int = 2,
        depends_on: tuple[str, ...] = (),
        rules: dict[str, Any] | None = None,
    ) -> UUID:
        service_id = super().service(name, owner=owner, tier=tier, depends_on=depends_on)
        self.world.depends_on[name] = depends_on
        if rules is not None:
            with self.db.transaction() as tx:
                known = catalog.service(tx, id=service_id)
                write_services(
                    tx,
                    writes=[
                        catalog.ServiceWrite(
                            id=service_id,
                            name=name,
                            title=name,
                            former_names=[],
                            telemetry_name=name,
                            team_id=known.team_id,
                            tier=tier,
                            source="test",
                            spec={"rollback": rules},
                            spec_hash="rules",
                            operations=[],
                            depends_on=[self.services[d] for d in depends_on],
                            added=False,
                        )
                    ],
                    actor=ledger.system("test"),
                )
        return service_id

    def deploy(
        self,
        service: str,
        version: str,
        *,
        previous: str = "v1",
        bad: float = 0.0,
        reversible: changes.Reversible = "yes",
        kind: changes.ChangeKind = "deploy",
        told: bool = True,
    ) -> Change | None:
        """Put a version in place now, and tell Watchbill of it unless nobody does."""
        now = self.clock.now()
        self.world.serving.setdefault(service, []).append((now, version))
        self.world.bad[service, version] = bad
        if not told:
            return None
        report = ChangeReport(
            service=service,
            state="finished",
            kind=kind,
            version=version,
            previous_version=previous,
            reversible=reversible,
            occurred_at=now,
        )
        with self.db.transaction() as tx:
            source = alerts.builtin_integration(tx, name="events")
            return changes.record_change(
                tx, report=report, integration_id=source.id, source="ci", actor=ledger.system("test")
            ).change

    def watch(self, service: str) -> None:
        """From now on an alert fires while the service's users are hurt."""
        self.symptoms[service] = (f"burn-{service}-{len(self.symptoms)}", False)

    def pass_time(self, by: timedelta, *, step: timedelta = timedelta(seconds=30)) -> None:
        """Time goes by in steps: alerts follow the world, the runner works, Watchbill does what is due."""
        end = self.clock.now() + by
        while self.clock.now() < end:
            self.clock.move_to(min(self.clock.now() + step, end))
            self._follow_symptoms()
            self._run_runner()
            self.work()

    def work(self) -> None:
        while (
            due.work_inside(self.db, self._duties)
            or due.work_outside(self.db, self._send)
            or due.work_outside(self.db, self._rank)
            or due.work_outside(self.db, self._verify)
        ):
            pass

    def _follow_symptoms(self) -> None:
        now = self.clock.now()
        for service, (identity, firing) in self.symptoms.items():
            hurt = self.world.bad_share(service, now) > 0.03
            if hurt != firing:
                event = alerts.Event(
                    identity=identity,
                    action="trigger" if hurt else "resolve",
                    title=f"{service} burns its budget",
                    service=service,
                    occurred_at=now,
                )
                self.post(event)
                self.symptoms[service] = (identity, hurt)

    def _run_runner(self) -> None:
        if self.runner_is_away:
            return
        with self.db.transaction() as tx:
            runner = rollback.authenticate_runner(tx, secret=self.secret)
            if self._busy is None:
                task = rollback.claim(tx, runner=runner)
                self._busy = (task, tx.now) if task else None
                return
            task, began = self._busy
            stop = rollback.breathe(tx, runner=runner, run_id=task.run_id, lease=task.lease, output="working\n")
            if stop is None and tx.now - began < self.executor_takes:
                return
            outcome: rollback.Outcome = "cancelled" if stop else "succeeded"
            rollback.finish(
                tx, runner=runner, run_id=task.run_id, lease=task.lease, outcome=outcome, message="", exit_code=0
            )
            self._busy = None
        if outcome == "succeeded" and not self.executor_lies:
            self.world.serving.setdefault(task.service, []).append((self.clock.now(), task.previous_version or "v1"))

    def runner_seen(self) -> None:
        """The runner has asked for work lately."""
        with self.db.transaction() as tx:
            rollback.authenticate_runner(tx, secret=self.secret)

    def runs(self) -> Sequence[rollback.Run]:
        with self.db.transaction() as tx:
            return rollback.runs(tx)[::-1]

    def ranking(self, number: int = 1) -> suspects.Ranking | None:
        with self.db.transaction() as tx:
            incident = paging.incident_detail(tx, number=number).incident
            return rollback.ranking_of(tx, incident=incident)
