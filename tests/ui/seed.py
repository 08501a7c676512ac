"""A week in the life of a small shop, written through the features' own actions, for screens to show.

``python -m tests.ui.seed DATABASE_URL`` fills a migrated database for looking at screens by hand; alice signs
in with the password below.
"""

from __future__ import annotations

import math
import sys
from datetime import timedelta
from decimal import Decimal

import sqlalchemy as sa

from watchbill.features import alerts, identity, oncall, paging, slo
from watchbill.features.alerts import Event, Link
from watchbill.features.slo import StateRow, WindowReading
from watchbill.features.slo import store as slo_store
from watchbill.kernel.ids import new_id
from watchbill.manifest.applying import Options, apply_files
from watchbill.manifest.bundle import File
from watchbill.runtime import due, ledger
from watchbill.runtime.db import Database, Tx

PASSWORD = "correct horse battery staple"
SEED = ledger.system("seed")

MANIFEST = """
apiVersion: watchbill/v1
kind: Team
metadata: {name: payments, title: Payments}
spec:
  members:
    - {login: alice@example.org, role: lead}
    - {login: bob@example.org}
    - {login: erin@example.org}
    - {login: frank@example.org, role: shadow}
  timeZone: Europe/Berlin
  escalation:
    steps:
      - {notify: [on-call], wait: 5m}
      - {notify: [next-on-call], wait: 5m}
      - {notify: [team, leads], wait: 10m}
---
apiVersion: watchbill/v1
kind: Team
metadata: {name: storefront, title: Storefront}
spec:
  members: [charlie@example.org, gina@example.org, henry@example.org]
---
apiVersion: watchbill/v1
kind: Team
metadata: {name: platform, title: Platform}
spec:
  members: [dana@example.org, ivan@example.org]
  fallback: true
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: payments, title: Payments API}
spec:
  owner: payments
  tier: 1
  dependsOn: [ledger]
  runbook: https://runbooks.example.org/payments
  repository: https://git.example.org/payments
  operations:
    - name: charge card
      match: {route: "POST /charge"}
      objectives:
        - {name: availability, target: 99.9, window: 30d}
        - {name: latency, target: 99, threshold: 300ms, window: 30d}
    - name: refund
      match: {route: "POST /refund"}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: ledger, title: Ledger}
spec: {owner: payments, tier: 2, operations: [{name: post entry, match: {route: "POST /entries"}}]}
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: checkout, title: Checkout}
spec:
  owner: storefront
  tier: 2
  dependsOn: [payments]
  operations: [{name: place order, match: {route: "POST /orders"}}]
---
apiVersion: watchbill/v1
kind: Service
metadata: {name: search, title: Search}
spec: {owner: storefront, tier: 3, operations: [{name: search, match: {route: "GET /search"}}]}
"""


def seed(db: Database) -> None:
    """Teams, people with names and passwords, objectives with a past, and incidents in every state."""
    with db.transaction() as tx:
        apply_files(
            tx,
            files=[File(path="shop.yaml", text=MANIFEST, named=True)],
            options=Options(source="shop"),
            actor=SEED,
        )
        _people(tx)
        _objectives(tx)
        _override(tx)
    fire(db, "ledger-lag", "ledger", "Ledger falls behind by 40 s", severity="warning")
    number = latest(db)
    with db.transaction() as tx:
        paging.acknowledge_incident(tx, number=number, caller=caller(tx, "bob@example.org"), via="screen")
        paging.add_note(
            tx,
            number=number,
            caller=caller(tx, "bob@example.org"),
            text="Queue drains again since the batch job ended.",
        )
    fire(db, "checkout-5xx", "checkout", "Checkout answers 503 to 2% of orders")
    with db.transaction() as tx:
        paging.resolve_incident(
            tx, number=number + 1, caller=caller(tx, "charlie@example.org"), resolution="Rolled back release 41"
        )


def _people(tx: Tx) -> None:
    for login, name in {
        "alice@example.org": "Alice Abendroth",
        "bob@example.org": "Bob Okafor",
        "charlie@example.org": "Charlie Lindqvist",
        "dana@example.org": "Dana Petrov",
        "erin@example.org": "Erin Castellano",
        "frank@example.org": "Frank Mbeki",
        "gina@example.org": "Gina Rossi",
        "henry@example.org": "Henry Wu",
        "ivan@example.org": "Ivan Horvat",
    }.items():
        person = identity.ensure_person(tx, login=login, name=name)
        role = "admin" if login.startswith("dana") else "responder"
        identity.change_person(tx, person_id=person.id, role=role, time_zone="Europe/Berlin", actor=SEED)
        if login.startswith("alice"):
            identity.set_password(tx, person_id=person.id, password=PASSWORD, actor=SEED)
    # Hashing takes a tenth of a second each, by intention: those who sign in share one.
    tx.execute(
        sa.text(
            "UPDATE person SET password_hash = (SELECT password_hash FROM person WHERE login LIKE 'alice@%')"
            " WHERE login ~ '^(bob|charlie|dana)@'"
        )
    )


def _override(tx: Tx) -> None:
    team = next(view for view in slo.slos(tx) if view.team == "payments").team_id
    erin = identity.person_by_login(tx, login="erin@example.org")
    assert erin is not None
    start = tx.now + timedelta(days=3)
    oncall.add_override(
        tx,
        team_id=team,
        person_id=erin.id,
        start_at=start,
        end_at=start + timedelta(hours=30),
        actor=SEED,
        reason="Bob travels",
    )


def _objectives(tx: Tx) -> None:
    """What the observer writes while it measures: states, and a day of the series behind the charts."""
    remaining = {"charge card": "0.1340", "refund": "0.9120", "post entry": "0.6400", "place order": "-0.0800"}
    observer = new_id()
    slo_store.take_lease(tx, holder=observer, until=tx.now + timedelta(hours=1))
    slo_store.note_evaluation(tx, holder=observer, slice_seconds=60)
    for view in slo.slos(tx):
        if view.operation == "search":
            continue
        left = Decimal(remaining[view.operation]) if view.slo.name == "availability" else Decimal("0.7770")
        hot = view.operation == "charge card" and view.slo.name == "availability"
        burn = 16.2 if hot else 0.8
        slo_store.write_states(
            tx,
            states=[
                StateRow(
                    slo_id=view.slo.id,
                    state="firing" if hot else "ok",
                    tier="page" if hot else None,
                    cause="burn" if hot else None,
                    reason="burning 16.2 times too fast over 1h" if hot else "within budget",
                    since_at=tx.now - timedelta(minutes=4 if hot else 600),
                    evaluated_at=tx.now,
                    budget_remaining=left,
                    bad=1731 if hot else 204,
                    total=2_104_220,
                    burn=burn,
                    exhausted_at=tx.now + timedelta(hours=5) if hot else None,
                    windows=[
                        WindowReading(
                            tier="page",
                            short_seconds=300,
                            long_seconds=3600,
                            factor=14.4,
                            short_burn=burn * 1.3,
                            long_burn=burn,
                            over_short=hot,
                            over_long=hot,
                        ),
                        WindowReading(
                            tier="ticket",
                            short_seconds=7200,
                            long_seconds=86400,
                            factor=3.0,
                            short_burn=burn / 3,
                            long_burn=burn / 7,
                            over_short=hot,
                            over_long=False,
                        ),
                    ],
                    memory={},
                )
            ],
        )
        first = (tx.now - timedelta(hours=26)).replace(minute=0, second=0, microsecond=0)
        hours = []
        for hour in range(26):
            total = [60 * int(40 + 25 * math.sin((hour + b / 12) / 4)) for b in range(12)]
            spike = hot and hour >= 24
            bad = [int(t * (0.02 if spike else 0.0004 + 0.0004 * math.sin(b + hour))) for b, t in enumerate(total)]
            hours.append(
                {
                    "slo_id": view.slo.id,
                    "hour_at": first + timedelta(hours=hour),
                    "bucket_seconds": 300,
                    "bad": bad,
                    "total": total,
                }
            )
        slo_store.write_series(tx, rows=hours)


def caller(tx: Tx, login: str) -> identity.Caller:
    person = identity.person_by_login(tx, login=login)
    assert person is not None
    return paging.person_caller(tx, person_id=person.id)


def fire(db: Database, key: str, service: str, title: str, *, severity: alerts.Severity = "critical") -> None:
    """An event as it arrives by the API, and what the pager does with it at once."""
    with db.transaction() as tx:
        alerts.accept_events(
            tx,
            integration_id=alerts.builtin_integration(tx, name="api").id,
            events=[
                Event(
                    identity=key,
                    action="trigger",
                    title=title,
                    description="The error ratio over the last five minutes is 2.1%.",
                    severity=severity,
                    service=service,
                    labels={"region": "eu-central", "release": "2026.11.23"},
                    links=[Link(title="Dashboard", url="https://grafana.example.org/d/payments")],
                )
            ],
        )
    duties = [*paging.routing_duties(settle_for=timedelta(minutes=2)), *paging.page_duties()]
    while due.work_inside(db, duties):
        pass


def latest(db: Database) -> int:
    with db.transaction() as tx:
        return paging.incident_list(tx, limit=1)[0].incident.number


if __name__ == "__main__":
    seed(Database(sys.argv[1], name="seed"))
