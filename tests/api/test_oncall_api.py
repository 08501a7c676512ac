"""On-call over HTTP: who, when, and who may change it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from litestar import Litestar
from litestar.testing import TestClient

from watchbill.features import identity, oncall
from watchbill.features.catalog.store import team, team_member
from watchbill.features.oncall import TeamRotation
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

Token = Callable[..., dict[str, str]]
SYSTEM = ledger.system("test")


@pytest.fixture(autouse=True)
def payments(db: Database) -> None:
    """Team payments: alice leads, bob is a member; charlie is an outsider."""
    with db.transaction() as tx:
        ids = identity.ensure_people(tx, logins=["alice@example.org", "bob@example.org", "charlie@example.org"])
        team_id = new_id()
        row = {"id": team_id, "name": "payments", "title": "Payments", "source": "test", "spec": {}, "spec_hash": ""}
        tx.execute(sa.insert(team).values(**row, created_at=tx.now, updated_at=tx.now))
        for position, (login, role) in enumerate([("alice@example.org", "lead"), ("bob@example.org", "member")]):
            member = {"team_id": team_id, "person_id": ids[login], "role": role, "position": position}
            tx.execute(sa.insert(team_member).values(**member))
        members = (ids["alice@example.org"], ids["bob@example.org"])
        spec = TeamRotation(team_id=team_id, members=members, time_zone="Europe/Berlin")
        oncall.set_rotations(tx, rotations=[spec], actor=SYSTEM)


def signed_in(db: Database, client: TestClient[Litestar], login: str) -> dict[str, str]:
    """The headers of a browser in which this person has signed in."""
    with db.transaction() as tx:
        person = identity.person_by_login(tx, login=login)
        assert person is not None
        identity.set_password(tx, person_id=person.id, password="correct horse battery", actor=SYSTEM)
    with db.transaction() as tx:
        secret = identity.sign_in(tx, login=login, password="correct horse battery")
    with db.transaction() as tx:
        caller = identity.caller_of_session(tx, secret=secret)
    return {"cookie": f"{identity.SESSION_COOKIE}={secret}", "x-csrf-token": caller.csrf or ""}


def covering(login: str, **more: Any) -> dict[str, Any]:
    begin = datetime.now(UTC) + timedelta(days=1)
    body = {"team": "payments", "person": login, "start_at": begin.isoformat()}
    return {**body, "end_at": (begin + timedelta(hours=2)).isoformat(), "reason": "dentist", **more}


def test_who_is_on_call_now_and_next(client: TestClient[Litestar], token: Token) -> None:
    answer = client.get("/api/v1/oncall", params={"team": "payments"}, headers=token("viewer"))
    assert answer.status_code == 200
    (watch,) = answer.json()
    logins = {watch["on_call"]["person"]["login"], watch["next"]["person"]["login"]}
    assert logins == {"alice@example.org", "bob@example.org"}
    assert watch["time_zone"] == "Europe/Berlin"
    assert watch["on_call"]["end_at"] == watch["next"]["start_at"]
    assert client.get("/api/v1/oncall", headers=token("viewer", name="second")).json()[0]["team"] == "payments"


def test_a_time_before_the_rotation_answers_nobody(client: TestClient[Litestar], token: Token) -> None:
    params = {"team": "payments", "at": "2020-01-01T00:00:00Z"}
    (watch,) = client.get("/api/v1/oncall", params=params, headers=token("viewer")).json()
    assert watch["on_call"] is None


@pytest.mark.parametrize(
    ("path", "params", "status", "field"),
    [
        ("", {"team": "nowhere"}, 404, "team"),
        ("", {"service": "nothing"}, 404, "service"),
        ("", {"team": "payments", "at": "tomorrow"}, 400, "at"),
        ("", {"team": "payments", "at": "2026-01-01T00:00:00"}, 400, "at"),
        ("", {"team": "payments", "at": "9999-12-31T23:59:59Z"}, 400, "at"),
        ("/shifts", {}, 400, "team"),
        ("/shifts", {"person": "nobody"}, 404, "person"),
        ("/shifts", {"team": "payments", "to": "2000-01-01T00:00:00Z"}, 400, "to"),
        ("/gaps", {"team": "payments", "to": "2190-01-01T00:00:00Z"}, 400, "to"),
    ],
)
def test_a_wrong_question_says_what_is_wrong(
    *, client: TestClient[Litestar], token: Token, path: str, params: dict[str, str], status: int, field: str
) -> None:
    answer = client.get(f"/api/v1/oncall{path}", params=params, headers=token("viewer"))
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["field"] == field


def test_bob_covers_an_afternoon_and_cancels_it(client: TestClient[Litestar], db: Database) -> None:
    bob = signed_in(db, client, "bob@example.org")
    made = client.post("/api/v1/oncall/overrides", json=covering("me"), headers=bob)
    assert made.status_code == 201, made.text
    shifts = client.get("/api/v1/oncall/shifts", params={"team": "payments"}, headers=bob).json()["shifts"]
    assert [(s["person"]["login"], s["note"]) for s in shifts if s["reason"] == "override"] == [
        ("bob@example.org", "dentist")
    ]
    mine = client.get("/api/v1/oncall/shifts", params={"person": "me"}, headers=bob).json()["shifts"]
    assert made.json()["id"] in [shift["override_id"] for shift in mine]
    assert client.delete(f"/api/v1/oncall/overrides/{made.json()['id']}", headers=bob).status_code == 204
    shifts = client.get("/api/v1/oncall/shifts", params={"team": "payments"}, headers=bob).json()["shifts"]
    assert not [s for s in shifts if s["reason"] == "override"]


def test_an_outsider_may_look_but_not_touch(client: TestClient[Litestar], db: Database, token: Token) -> None:
    charlie = signed_in(db, client, "charlie@example.org")
    assert client.get("/api/v1/oncall", params={"team": "payments"}, headers=charlie).status_code == 200
    refused = client.post("/api/v1/oncall/overrides", json=covering("charlie@example.org"), headers=charlie)
    assert refused.status_code == 403
    made = client.post("/api/v1/oncall/overrides", json=covering("charlie@example.org"), headers=token("admin"))
    assert made.status_code == 201
    assert client.delete(f"/api/v1/oncall/overrides/{made.json()['id']}", headers=charlie).status_code == 403
    assert client.get("/api/v1/oncall").status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"person": "nobody"},
        {"end_at": "2020-01-01T00:00:00Z"},
        {"end_at": "2026-01-01T00:00:00"},
        {"reason": "x" * 501},
        {"unknown": 1},
        {"start_at": None},
    ],
)
def test_a_wrong_override_changes_nothing(client: TestClient[Litestar], token: Token, wrong: dict[str, Any]) -> None:
    body = covering("bob@example.org", **wrong)
    answer = client.post("/api/v1/oncall/overrides", json=body, headers=token("admin"))
    assert answer.status_code in {400, 404}, answer.text
    assert answer.json()["error"]["message"]


def test_gaps_warn_about_a_small_rota(client: TestClient[Litestar], token: Token) -> None:
    (entry,) = client.get("/api/v1/oncall/gaps", headers=token("viewer")).json()
    assert entry["gaps"] == []
    assert [problem["code"] for problem in entry["warnings"]] == ["oncall_small_rota", "oncall_member_unverified"]


def test_a_slot_that_the_schedule_does_not_have_is_said_and_not_read_as_nobody(
    client: TestClient[Litestar], token: Token
) -> None:
    viewer = token("viewer")
    for path in ("/api/v1/oncall", "/api/v1/oncall/shifts"):
        answer = client.get(path, params={"team": "payments", "slot": "tertiary"}, headers=viewer)
        assert answer.status_code == 400
        assert answer.json()["error"]["field"] == "slot"


def test_people_are_away_for_themselves_and_their_note_is_theirs(
    client: TestClient[Litestar], token: Token, db: Database
) -> None:
    alice, bob = (signed_in(db, client, f"{name}@example.org") for name in ("alice", "bob"))
    begin = datetime.now(UTC) + timedelta(days=1)
    body = {"start_at": begin.isoformat(), "end_at": (begin + timedelta(days=1)).isoformat(), "note": "dentist"}
    client.cookies.clear()
    made = client.post("/api/v1/oncall/time-off", json=body, headers=alice).json()
    assert made["note"] == "dentist"
    (seen,) = client.get("/api/v1/oncall/time-off", params={"person": "alice@example.org"}, headers=bob).json()
    assert seen["note"] == ""
    assert (
        client.post("/api/v1/oncall/time-off", json={**body, "person": "alice@example.org"}, headers=bob).status_code
        == 403
    )
    assert client.delete(f"/api/v1/oncall/time-off/{made['id']}", headers=bob).status_code == 403
    assert client.post("/api/v1/oncall/time-off", json=body, headers=token("responder")).status_code == 403
    feed = client.post("/api/v1/oncall/feeds", json={}, headers=bob).json()
    assert client.delete(f"/api/v1/oncall/feeds/{feed['feed']['id']}", headers=alice).status_code == 403
    path = feed["url"].split("8080")[1]
    assert client.get(path).headers["content-type"].startswith("text/calendar")
    assert client.get(path.replace(".ics", "x.ics")).status_code == 404
