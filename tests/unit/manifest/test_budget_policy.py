"""``budgetPolicy`` and ``excludeAlone`` in manifests: places of mistakes, and what is kept when they are applied."""

from __future__ import annotations

from decimal import Decimal

import pytest
import sqlalchemy as sa

from watchbill.features import catalog, slo
from watchbill.manifest import File, Options, apply_files, validate
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

TEAM = """apiVersion: watchbill/v1
kind: Team
metadata: {name: payments}
spec:
  members: [alice@example.org]
  fallback: true
"""
SERVICE = """---
apiVersion: watchbill/v1
kind: Service
metadata: {name: payments}
spec:
  owner: payments
"""


@pytest.mark.parametrize(
    ("lines", "place", "said"),
    [
        ("  budgetPolicy: [{remaining: 20%, do: [pray]}]\n", "m.yaml:7:40", "pray"),
        ("  budgetPolicy: [{remaining: half, do: [ticket]}]\n", "m.yaml:7:30", "a percent such as 20%"),
        ("  budgetPolicy: [{remaining: 100.5%, do: [ticket]}]\n", "m.yaml:7:30", "more than all"),
        ("  budgetPolicy: [{remaining: 20%, do: []}]\n", "m.yaml:7:39", ""),
        (
            "  budgetPolicy: [{remaining: 20%, do: [ticket]}, {remaining: 20, do: [freeze]}]\n",
            "m.yaml:7:62",
            "named twice",
        ),
        ("  excludeAlone: most\n", "m.yaml:7:17", "a percent such as 20%"),
    ],
)
def test_a_budget_policy_that_cannot_be_says_where_and_why(lines, place, said):
    _, found = validate([File(path="m.yaml", text=TEAM + lines)])
    problems = [one for one in found if one.severity == "error"]
    assert problems
    assert problems[0].place == place
    assert said in f"{problems[0].message} {problems[0].hint}"


def test_what_is_applied_holds_and_every_change_is_in_the_ledger(db: Database):
    def apply(team: str, service: str):
        with db.transaction() as tx:
            files = [File(path="m.yaml", text=TEAM + team + SERVICE + service)]
            apply_files(tx, files=files, options=Options(source="test"), actor=ledger.system("test"))
            found = catalog.service_by_name(tx, name="payments")
            assert found is not None
            return slo.policy_for(tx, service_id=found.id)

    teams = "  excludeAlone: 25%\n  budgetPolicy: [{remaining: 0%, do: [freeze]}, {remaining: 50%, do: [ticket]}]\n"
    first = apply(teams, "")
    assert ([rule.remaining for rule in first.rules], first.said_by) == ([Decimal(50), Decimal(0)], "team")
    assert first.exclude_alone == 25
    own = apply(teams, "  budgetPolicy: []\n")
    assert (own.rules, own.said_by, own.exclude_alone) == ((), "service", 25)
    assert apply("", "").said_by is None
    with db.transaction() as tx:
        names = tx.execute(sa.text("SELECT data FROM ledger_entry WHERE name = 'slo.policy_changed' ORDER BY id"))
        changes = [row.data for row in names]
    assert len(changes) == 4
    assert changes[0]["after"]["exclude_alone"] == "25"
    assert changes[-1]["before"] != changes[-1]["after"]
