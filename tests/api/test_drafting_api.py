"""What a draft is made from, over HTTP, and the draft that the command makes of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from litestar import Litestar
from litestar.testing import TestClient

from watchbill.cli import oncall_draft
from watchbill.features import identity, oncall
from watchbill.features.catalog.store import team
from watchbill.features.oncall import TeamRotation
from watchbill.features.oncall.drafting import Rules
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Database


def test_a_draft_of_a_real_team_keeps_time_off_and_leaves_shadows_out(
    db: Database, client: TestClient[Litestar], token: Callable[..., dict[str, str]]
) -> None:
    pytest.importorskip("highspy")
    from watchbill.features.oncall.drafting_solve import solve

    system = ledger.system("test")
    with db.transaction() as tx:
        ids = identity.ensure_people(tx, logins=["alice", "bob", "charlie", "dana"])
        row = {"id": new_id(), "name": "payments", "title": "Payments", "source": "t", "spec": {}, "spec_hash": ""}
        tx.execute(sa.insert(team).values(**row, created_at=tx.now, updated_at=tx.now))
        members = tuple(ids[login] for login in ("alice", "bob", "charlie"))
        spec = TeamRotation(team_id=row["id"], members=members, shadows=(ids["dana"],))  # type: ignore[arg-type]  # a UUID
        oncall.set_rotations(tx, rotations=[spec], actor=system)
        away = tx.now + timedelta(days=28)
        oncall.add_time_off(tx, person_id=ids["bob"], start_at=tx.now, end_at=away, note="", actor=system)
        until = (tx.now + timedelta(days=60)).isoformat().replace("+00:00", "Z")
    asked = {"team": "payments", "to": until}
    answer = client.get("/api/v1/oncall/drafting", params=asked, headers=token("admin"))
    assert answer.status_code == 200, answer.text
    given = answer.json()
    assert {person["login"] for person in given["people"]} == {"alice", "bob", "charlie"}
    turns, people = oncall_draft._problem(given, {})
    draft = solve(turns, people, Rules())
    assert draft.violations == ()
    assert "bob" not in {seat.login for seat in draft.seats if turns[seat.turn].start_at < away}
    assert client.get("/api/v1/oncall/drafting", params=asked, headers=token("viewer")).status_code == 403
