"""Exports of the three systems import, and agree minute by minute for 90 days or list each difference."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from watchbill import leaving, manifest
from watchbill.cli.import_ import _files
from watchbill.kernel.errors import Invalid
from watchbill.leaving.compare import our_minutes, source_minutes

START = datetime(2026, 2, 20, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC")
PEOPLE = ("ann", "ben", "cyd", "dan")


def daily(start: str, hours: int) -> dict[str, Any]:
    return {"type": "daily_restriction", "start_time_of_day": start, "duration_seconds": hours * 3600}


def weekly(day: int, start: str, hours: int) -> dict[str, Any]:
    return {**daily(start, hours), "type": "weekly_restriction", "start_day_of_week": day}


def pd_layer(users: str, turn: float, restrictions: Any = (), **more: Any) -> dict[str, Any]:
    begun = {"start": "2026-01-05T08:00:00Z", "rotation_virtual_start": "2026-01-05T08:00:00Z", "end": None}
    listed = [{"user": {"id": user, "type": "user_reference"}} for user in users.split()]
    length = int(turn * 3600)
    return {
        **begun,
        "rotation_turn_length_seconds": length,
        "users": listed,
        "restrictions": list(restrictions),
        **more,
    }


def pd(zone: str, *layers: dict[str, Any], **more: Any) -> dict[str, Any]:
    users = [{"id": who, "email": f"{who}@example.org", "name": who} for who in PEOPLE]
    users[0]["contact_methods"] = [{"type": "sms_contact_method", "address": "5550100", "country_code": 1}]
    named = [{**layer, "name": f"Layer {at}"} for at, layer in enumerate(layers)]
    schedule = {"id": "S1", "name": "Web on-call", "time_zone": zone, "schedule_layers": named, **more}
    targets = [{"type": "schedule_reference", "id": "S1"}, {"type": "user_reference", "id": "dan"}]
    rules = [{"escalation_delay_in_minutes": 10, "targets": [target]} for target in targets]
    return {
        "users": users,
        "schedules": [schedule],
        "escalation_policies": [{"id": "P1", "name": "Web", "num_loops": 2, "escalation_rules": rules}],
        "services": [{"id": "V1", "name": "Shop", "escalation_policy": {"id": "P1"}}],
    }


def og(zone: str, *rotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    schedule = {"id": "s1", "name": "Ops", "timezone": zone, "rotations": list(rotations), **more}
    rules = [{"delay": {"timeAmount": at}, "recipient": to} for at, to in ((0, {"type": "schedule", "id": "s1"}),)]
    return {
        "schedules": [schedule],
        "escalations": [{"id": "e1", "name": "Ops", "rules": rules}],
        "users": [{"id": who, "username": f"{who}@example.org"} for who in PEOPLE],
        "teams": [{"id": "t1", "name": "crew", "members": [{"user": {"id": "ann"}}, {"user": {"id": "ben"}}]}],
    }


def og_turn(users: str, kind: str, length: int = 1, **more: Any) -> dict[str, Any]:
    listed = [{"type": "user", "id": user} for user in users.split()]
    return {"type": kind, "length": length, "startDate": "2026-01-05T08:00:00Z", "participants": listed, **more}


def go(zone: str, *shifts: dict[str, Any], **more: Any) -> dict[str, Any]:
    listed = [{"id": f"O{at}", "name": f"shift {at}", **shift} for at, shift in enumerate(shifts)]
    schedule = {"id": "G1", "name": "Grid", "time_zone": zone, "type": "web", "shifts": [s["id"] for s in listed]}
    steps = [
        {"type": "notify_on_call_from_schedule", "notify_on_call_from_schedule": "G1"},
        {"type": "wait", "duration": 300},
        {"type": "notify_persons", "persons_to_notify": ["dan"]},
    ]
    return {
        "users": [{"id": who, "email": f"{who}@example.org", "username": who} for who in PEOPLE],
        "schedules": [{**schedule, **more}],
        "on_call_shifts": listed,
        "escalation_chains": [{"id": "C1", "name": "Grid"}],
        "escalation_policies": [{"escalation_chain_id": "C1", "position": at, **s} for at, s in enumerate(steps)],
        "integrations": [{"id": "I1", "name": "Prom", "default_route": {"escalation_chain_id": "C1"}}],
    }


def go_shift(users: str, frequency: str, hours: int, **more: Any) -> dict[str, Any]:
    rolling = [[user] for user in users.split()]
    base = {"type": "rolling_users", "start": "2026-01-05T09:00:00", "rolling_users": rolling}
    return {**base, "frequency": frequency, "interval": 1, "duration": hours * 3600, **more}


NIGHT = {"type": "time-of-day", "restriction": {"startHour": 22, "startMin": 0, "endHour": 6, "endMin": 30}}
WEEKEND = {
    "type": "weekday-and-time-of-day",
    "restrictions": [
        {"startDay": "friday", "startHour": 17, "startMin": 0, "endDay": "monday", "endHour": 9, "endMin": 0}
    ],
}
PD_COVER = {"start": "2026-03-10T10:00:00Z", "end": "2026-03-11T10:00:00Z", "user": {"id": "dan"}}
OG_COVER = {"startDate": "2026-03-10T10:00:00Z", "endDate": "2026-03-11T10:00:00Z", "user": {"id": "dan"}}
FINAL = {
    "rendered_schedule_entries": [
        {"start": "2026-03-02T00:00:00Z", "end": "2026-03-04T00:00:00Z", "user": {"id": "dan"}},
    ]
}
EXPORTS: list[tuple[str, dict[str, Any], bool]] = [
    *[("pagerduty", pd(zone, pd_layer("ann ben cyd", 168)), True) for zone in ZONES],
    ("pagerduty", pd(ZONES[0], pd_layer("ann ben", 24), pd_layer("cyd dan", 168, [daily("22:00:00", 8)])), True),
    ("pagerduty", pd(ZONES[1], pd_layer("ann ben", 12), pd_layer("cyd", 168, [weekly(5, "17:00:00", 64)])), True),
    ("pagerduty", pd(ZONES[0], pd_layer("ann ben", 168, end="2026-03-20T12:00:00Z"), overrides=[PD_COVER]), True),
    ("pagerduty", pd(ZONES[2], pd_layer("ann ben", 24, [daily("09:00:00", 8)]), pd_layer("", 24)), True),
    ("pagerduty", pd(ZONES[4], pd_layer("ann gone ben", 24)), False),
    ("pagerduty", pd(ZONES[0], pd_layer("ann ben", 24, [daily("02:30:00", 4)])), False),
    ("pagerduty", pd(ZONES[4], pd_layer("ann", 24), final_schedule=FINAL), False),
    ("pagerduty", pd(ZONES[4], pd_layer("dan", 168), pd_layer("ann ben", 24), final_schedule=FINAL), True),
    *[("opsgenie", og(zone, og_turn("ann ben cyd", "weekly", 2)), True) for zone in ZONES[:3]],
    ("opsgenie", og(ZONES[0], og_turn("ann ben", "daily"), og_turn("cyd dan", "daily", timeRestriction=NIGHT)), True),
    ("opsgenie", og(ZONES[1], og_turn("ann ben", "weekly", timeRestriction=WEEKEND), overrides=[OG_COVER]), True),
    ("opsgenie", og(ZONES[3], og_turn("ann ben", "hourly", 8, endDate="2026-04-01T00:00:00Z")), True),
    ("opsgenie", og(ZONES[4], og_turn("ann", "daily", participants=[{"type": "none"}, {"type": "team", "id": "t1"}])), False),  # noqa: E501  (a row of a table)
    ("opsgenie", og(ZONES[4]), True),
    *[("grafana-oncall", go(zone, go_shift("ann ben cyd", "weekly", 168)), True) for zone in ZONES[:3]],
    ("grafana-oncall", go(ZONES[0], go_shift("ann ben", "daily", 12), go_shift("cyd", "daily", 24, level=-1)), True),
    ("grafana-oncall", go(ZONES[1], go_shift("ann ben", "weekly", 14, by_day=["MO", "WE", "SU"], week_start="MO")), True),  # noqa: E501  (a row of a table)
    ("grafana-oncall", go(ZONES[4], go_shift("ann ben", "hourly", 6, interval=6, until="2026-04-01T00:00:00Z")), True),
    ("grafana-oncall", go(ZONES[0], go_shift("ann", "daily", 24), go_shift("dan", "daily", 9, type="override")), True),
    ("grafana-oncall", go(ZONES[0], go_shift("ann ben", "weekly", 10, interval=2)), False),
]  # fmt: skip


def convert(tmp_path: Path, source: str, export: dict[str, Any]) -> leaving.Imported:
    (tmp_path / "export.json").write_text(json.dumps(export))
    return leaving.convert(source, [tmp_path / "export.json"])


def test_exports_agree_minute_by_minute_or_list_each_difference(tmp_path: Path) -> None:
    minutes = listed = 0
    wrong = []
    for at, (source, export, agrees) in enumerate(EXPORTS):
        imported = convert(tmp_path, source, export)
        compared = leaving.compare(imported, START)
        minutes += compared.minutes
        listed += len(compared.differences)
        if agrees != (not compared.differences):
            wrong.append((at, source, compared.differences[:2]))
        assert all(each.reason and not each.reason.startswith("not known") for each in compared.differences), at
        text = _files(imported)["watchbill.yaml"]
        _, problems = manifest.validate([manifest.File(path="w.yaml", text=text, named=True)])
        assert [str(each) for each in problems if each.severity == "error"] == [], at
        assert "5550100" not in text
    said = f"{len(EXPORTS)} exports, {minutes} minutes compared, {listed} differences listed"
    sys.stdout.write(said + "\n")
    assert wrong == []
    assert len(EXPORTS) >= 20


def test_ranges_say_what_counting_every_minute_says(tmp_path: Path) -> None:
    imported = convert(tmp_path, "pagerduty", pd("Europe/Berlin", pd_layer("ann gone ben", 12, [daily("21:00:00", 9)])))
    pair, spec = imported.pairs[0], imported.teams[0]["spec"]
    total = 12 * 1440
    theirs, ours = source_minutes(pair, START, total), our_minutes(pair, spec, START, total)

    def at(segments: list[Any], minute: int) -> Any:
        return next(who for begins, ends, who in segments if begins <= minute < ends)

    entries = pair.schedule.render(START, START + timedelta(days=12))
    counted = 0
    for minute in range(total):
        now = START + timedelta(minutes=minute)
        who = {person for entry in entries if entry.start <= now < entry.end for person in entry.people}
        assert who == at(theirs, minute)
        counted += who != at(ours, minute)
    assert counted == sum(each.minutes for each in leaving.compare(imported, START, days=12).differences) > 0


def test_contacts_and_overrides_become_commands_and_loops_become_steps(tmp_path: Path) -> None:
    imported = convert(tmp_path, "pagerduty", pd("UTC", pd_layer("ann ben", 24), overrides=[PD_COVER]))
    assert imported.contact_commands == ["watchbill contact add sms +15550100 --person ann@example.org"]
    assert "--person dan@example.org --from 2026-03-10T10:00:00Z" in imported.override_commands[0]
    steps = imported.teams[0]["spec"]["escalation"]["steps"]
    assert [step["notify"] for step in steps] == [["on-call"], ["person:dan@example.org"]] * 3
    assert imported.services[0]["spec"] == {"owner": "web"}


CYCLE = og("UTC", og_turn("", "daily", participants=[{"type": "escalation", "id": "e1"}]))


@pytest.mark.parametrize(
    ("source", "text", "place"),
    [
        ("pagerduty", '{"schedules": [', "export.json:1:"),
        ("pagerduty", json.dumps({"version": 9, "schedules": []}), "#/version"),
        ("pagerduty", json.dumps(pd("Europe/Nowhere", pd_layer("ann", 24))), "#/schedules/0/time_zone"),
        ("pagerduty", json.dumps(pd("UTC", pd_layer("ann", 0))), "schedule_layers/0/rotation_turn_length_seconds"),
        ("opsgenie", json.dumps(CYCLE), "#/schedules/0"),
        ("opsgenie", json.dumps(og("UTC", og_turn("ann", "yearly"))), "rotations/0/type"),
        ("grafana-oncall", json.dumps(go("UTC", go_shift("ann", "yearly", 1))), "on_call_shifts/0/frequency"),
        ("grafana-oncall", json.dumps({"strange": []}), "nothing"),
    ],
)
def test_a_bad_export_is_an_error_with_its_place(tmp_path: Path, source: str, text: str, place: str) -> None:
    (tmp_path / "export.json").write_text(text)
    with pytest.raises(Invalid) as caught:
        leaving.convert(source, [tmp_path])
    assert place in str(caught.value)
