"""Exclusions and budgets over HTTP and on the terminal: rights, bad input, and what they say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.api.test_slos_api import burning as burning  # noqa: PLC0414  (a fixture that is used here)
from watchbill.cli import slo_exclusions
from watchbill.cli.output import emit
from watchbill.features import identity, slo
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

NEXT = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=30)


def body(**changes) -> dict:
    plain = {
        "start_at": NEXT.isoformat(),
        "end_at": (NEXT + timedelta(minutes=12)).isoformat(),
        "reason": "database upgrade",
    }
    return plain | changes


def ids(db: Database) -> tuple[str, str]:
    """The latency SLO, which is well, and the availability SLO, which burns."""
    with db.transaction() as tx:
        named = {view.slo.name: str(view.slo.id) for view in slo.slos(tx)}
    return named["latency"], named["availability"]


def test_time_is_excluded_listed_shown_and_revoked(client, token, burning, db, capsys):
    calm, burns = ids(db)
    admin, viewer = token("admin"), token("viewer")
    url = f"/api/v1/slos/{calm}/exclusions"
    seen = client.post(url, json=body(dry_run=True), headers=admin).json()
    assert (seen["exclusion"], seen["minutes"], seen["needs_second"]) == (None, 12, None)
    assert client.get(url, headers=viewer).json() == []
    made = client.post(url, json=body(), headers=admin)
    assert made.status_code == 201
    one = made.json()["exclusion"]
    assert (one["status"], one["by"], one["minutes"]) == ("announced", "a token", 12)
    assert client.post(url, json=body(), headers=admin).status_code == 409
    whole = client.post(f"/api/v1/slos/{burns}/exclusions", json=body(whole_service=True), headers=admin).json()
    assert whole["slos"] == 2
    assert whole["exclusion"]["status"] == "waiting"
    assert "availability is burning" in whole["needs_second"]
    signed = client.post(f"/api/v1/slos/exclusions/{whole['exclusion']['id']}/signature", headers=admin)
    assert signed.status_code == 403
    assert "person" in signed.json()["error"]["message"]
    listed = client.get(url, headers=viewer).json()
    emit(listed, json=False, table=slo_exclusions.exclusion_table)
    said = " ".join(capsys.readouterr().out.split())
    assert "12 minutes" in said
    gone = client.post(
        f"/api/v1/slos/exclusions/{one['id']}/revocation", json={"reason": "put off to May"}, headers=admin
    ).json()
    assert (gone["status"], gone["revoked_by"], gone["revoke_reason"]) == ("revoked", "a token", "put off to May")
    page = client.get(f"/api/v1/slos/{calm}/budget", headers=viewer).json()
    assert {each["status"] for each in page["exclusions"]} == {"waiting", "revoked"}
    assert (page["excluded_seconds"], page["remaining_without"], page["policy"]) == (0, None, [])
    emit(page, json=False, table=slo_exclusions._budget)
    assert "no error budget policy" in capsys.readouterr().out
    summary = client.get(f"/api/v1/slos/{calm}", headers=viewer).json()["slo"]
    assert summary["budget_without"] is None


def test_only_the_owning_team_excludes_and_two_different_people_sign(client, token, burning, db):
    calm, _ = ids(db)
    for headers, status in ((token("viewer"), 403), (token("responder"), 403), ({}, 401)):
        assert client.post(f"/api/v1/slos/{calm}/exclusions", json=body(), headers=headers).status_code == status
    past = body(start_at=(NEXT - timedelta(hours=3)).isoformat(), end_at=(NEXT - timedelta(hours=2)).isoformat())
    waiting = client.post(f"/api/v1/slos/{calm}/exclusions", json=past, headers=token("admin", "other")).json()
    people = {}
    with db.transaction() as tx:
        for login in ("alice", "bob"):
            person = identity.ensure_person(tx, login=login)
            people[login] = person.id
        for login, status in (("alice", "waiting"), ("bob", "over")):
            done = slo.sign_exclusion(
                tx,
                exclusion_id=waiting["exclusion"]["id"],
                person_id=people[login],
                actor=ledger.person(people[login]),
            )
            assert slo.exclusion_status(done, now=tx.now) == status  # a token's declaration signs nothing


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"start_at": NEXT.replace(second=30).isoformat()}, "start_at"),
        ({"end_at": NEXT.isoformat()}, "end_at"),
        ({"end_at": (NEXT + timedelta(days=8)).isoformat()}, "end_at"),
        ({"start_at": "2026-03-02T09:00:00"}, "start_at"),
        ({"start_at": "0001-01-01T00:00:00+14:00"}, "start_at"),
        ({"end_at": "9999-12-31T23:59:00-14:00"}, "end_at"),
        ({"reason": "x"}, "reason"),
        ({"minutes": 5}, "minutes"),
    ],
)
@pytest.mark.usefixtures("burning")
def test_what_cannot_be_excluded_says_where_and_why(client, token, db, change, field):
    calm, _ = ids(db)
    refused = client.post(f"/api/v1/slos/{calm}/exclusions", json=body(**change), headers=token("admin"))
    assert refused.status_code == 400
    assert field in refused.text
