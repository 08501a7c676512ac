"""`watchbill oncall` against a real server: tables for people, JSON for machines, a calendar for phones."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import icalendar
import pytest
import sqlalchemy as sa
import uvicorn
from litestar import Litestar
from typer.testing import CliRunner

from watchbill.cli.app import app as watchbill
from watchbill.features import identity, oncall
from watchbill.features.catalog.store import team
from watchbill.features.oncall import TeamRotation
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

SYSTEM = ledger.system("test")


@pytest.fixture(autouse=True)
def server(app: Litestar, db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server with team payments (alice, bob), and the environment that points at it."""
    with db.transaction() as tx:
        ids = identity.ensure_people(tx, logins=["alice@example.org", "bob@example.org"])
        team_id = new_id()
        row = {"id": team_id, "name": "payments", "title": "Payments", "source": "test", "spec": {}, "spec_hash": ""}
        tx.execute(sa.insert(team).values(**row, created_at=tx.now, updated_at=tx.now))
        spec = TeamRotation(team_id=team_id, members=tuple(ids.values()), time_zone="Asia/Kolkata")
        oncall.set_rotations(tx, rotations=[spec], actor=SYSTEM)
        empty = new_id()
        tx.execute(
            sa.insert(team).values(**{**row, "id": empty, "name": "empty"}, created_at=tx.now, updated_at=tx.now)
        )
        secret = identity.create_token(tx, name="cli", role="admin", actor=SYSTEM)[1]
    listening = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    monkeypatch.setenv("WATCHBILL_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
    monkeypatch.setenv("WATCHBILL_TOKEN", secret)
    monkeypatch.setenv("COLUMNS", "200")
    yield
    running.should_exit = True
    thread.join(timeout=10)
    listening.close()


@pytest.fixture
def run() -> Callable[..., tuple[int, str]]:
    def call(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(watchbill, ["oncall", *arguments])
        return result.exit_code, result.output

    return call


Run = Callable[..., tuple[int, str]]


def test_now_names_who_is_on_call_and_who_is_next(run: Run) -> None:
    code, said = run("now", "--team", "payments")
    assert code == 0, said
    assert "alice@example.org" in said
    assert "bob@example.org" in said
    assert "IST" in said, "the team's zone beside the reader's"
    code, said = run("now", "--json")
    assert {watch["team"]: bool(watch["on_call"]) for watch in json.loads(said)} == {"payments": True, "empty": False}
    assert "NOBODY" in run("now")[1]


def test_bob_takes_over_and_the_rota_shows_why(run: Run) -> None:
    code, said = run("override", "payments", "--person", "bob@example.org", "--to", "2h", "--reason", "dentist")
    assert code == 0, said
    assert "bob@example.org is on call for payments" in said
    code, strip = run("show", "payments", "--days", "14")
    assert code == 0, strip
    assert "put on call by an override (dentist)" in strip
    assert "█" in strip
    assert "warning: only 2 people are in the rotation" in strip
    shifts = json.loads(run("show", "payments", "--json")[1])["shifts"]
    made = next(shift["override_id"] for shift in shifts if shift["override_id"])
    assert run("cancel", made)[0] == 0
    assert "dentist" not in json.dumps(json.loads(run("now", "--team", "payments", "--json")[1]))


def test_gaps_are_an_exit_code_too(run: Run) -> None:
    code, said = run("gaps")
    assert code == 1
    assert "nobody on call from" in said
    assert run("gaps", "--team", "payments")[0] == 0


def test_the_exported_calendar_is_one_that_calendars_read(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "payments.ics"
    code, said = run("export", "--team", "payments", "--days", "30", "-o", str(file))
    assert code == 0, said
    events = icalendar.Calendar.from_ical(file.read_bytes()).walk("VEVENT")
    exported = json.loads(run("export", "--team", "payments", "--days", "30", "--format", "json")[1])
    assert len(events) == len(exported["shifts"]) >= 4
    ends = [event.decoded("dtend") for event in events]
    assert ends[:-1] == [event.decoded("dtstart") for event in events][1:]
    assert len({str(event["uid"]) for event in events}) == len(events)


@pytest.mark.parametrize("when", ["whenever", "25:00", "2026-13-01"])
def test_a_time_that_is_none_says_how_to_write_one(run: Run, when: str) -> None:
    code, said = run("now", "--team", "payments", "--at", when)
    assert code == 2
    assert "is not a time" in said


def test_bob_takes_alices_time_by_a_swap_and_a_calendar_fetches_it(run: Run, tmp_path: Path) -> None:
    who = json.loads(run("now", "--team", "payments", "--json")[1])[0]["on_call"]["person"]["login"]
    other = "bob@example.org" if who.startswith("alice") else "alice@example.org"
    code, said = run("swap", "request", "payments", "--from", "1h", "--to", "3h", "--person", who, "--json")
    assert code == 0, said
    offer = json.loads(said)["id"]
    assert run("swap", "answer", offer, "accept", "--person", other)[0] == 3, "who is not in the team cannot accept"
    assert run("swap", "answer", offer, "withdraw")[0] == 0
    assert "withdrawn" in run("swap", "list", "--team", "payments")[1]
    code, said = run("override", "payments", "--person", other, "--to", "2h", "--preview")
    assert code == 0, said
    assert "nothing is changed" in said
    code, said = run("time-off", "add", "--from", "1h", "--to", "3h", "--person", who, "--note", "secret")
    assert code == 0, said
    code, said = run("check", "--team", "payments")
    assert code == 0, said
    assert f"{who} is away but on call" in said
    assert run("check")[0] == 1, "the team without a rotation is a gap"
    made = json.loads(run("feed", "create", "--team", "payments", "--person", who, "--json")[1])
    fetched = urllib.request.urlopen(made["url"].replace("http://127.0.0.1:8080", os.environ["WATCHBILL_URL"])).read()
    assert icalendar.Calendar.from_ical(fetched).walk("VEVENT")
    assert run("feed", "revoke", made["id"])[0] == 0
    bad = tmp_path / "bomb.ics"
    bad.write_text(
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20260101T000000Z\nDTEND:20260101T000001Z\n"
        "RRULE:FREQ=SECONDLY\nEND:VEVENT\nEND:VCALENDAR\n"
    )
    code, said = run("time-off", "import", str(bad), "--person", who)
    assert code == 2, said
    assert "repeats within a day" in said


def test_a_drafted_rota_is_applied_as_overrides() -> None:
    pytest.importorskip("highspy")
    options = ["--rest-hours", "0", "--in-row", "2", "--look-back", "1", "--apply", "--yes", "--json"]
    ran = CliRunner().invoke(watchbill, ["oncall", "draft", "payments", "--days", "35", *options])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert told["violations"] == []
    assert set(told["fairness"]) == {
        "alice@example.org",
        "bob@example.org",
    }
    shown = json.loads(CliRunner().invoke(watchbill, ["oncall", "show", "payments", "--days", "35", "--json"]).stdout)
    for seat in told["seats"]:
        on_call = [
            shift["person"]["login"]
            for shift in shown["shifts"]
            if shift["start_at"] <= seat["start_at"] < shift["end_at"]
        ]
        assert on_call == [seat["person"]]
