"""``spec.onCall`` of a manifest: good defaults, and errors with the path of the field."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

import pytest

from watchbill.features.oncall import RotationSpec, TeamRotation, parse_rotation
from watchbill.kernel.errors import Invalid

TEAM = ("alice@example.org", "bob@example.org")


def test_without_an_on_call_section_the_members_take_weekly_turns() -> None:
    spec = parse_rotation(None, TEAM, "Europe/Berlin")
    assert spec == RotationSpec(time_zone="Europe/Berlin", members=TEAM, every="1w", handoff="Mon 09:00")


def test_a_full_section_is_read() -> None:
    raw = {"rotation": {"every": "2d", "handoff": "08:30", "members": ["Bob@example.org"], "startsAt": "2026-01-05"}}
    spec = parse_rotation(raw, TEAM, "UTC")
    expected = RotationSpec(members=("bob@example.org",), every="2d", handoff="08:30", starts_at=date(2026, 1, 5))
    assert spec == expected


def test_a_daily_rotation_hands_over_at_nine_by_default() -> None:
    assert parse_rotation({"rotation": {"every": "1d"}}, TEAM, "UTC").handoff == "09:00"


def test_logins_become_ids() -> None:
    team_id, bob = UUID(int=9), UUID(int=1)
    spec = RotationSpec(members=("bob@example.org",), time_zone="Asia/Tokyo")
    expected = TeamRotation(team_id=team_id, members=(bob,), time_zone="Asia/Tokyo")
    assert spec.for_team(team_id, {"bob@example.org": bob}) == expected


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"rotations": {}}, "spec.onCall.rotations"),
        ({"rotation": []}, None),
        ({"rotation": "weekly"}, "spec.onCall.rotation"),
        ({"rotation": {"evry": "1w"}}, "spec.onCall.rotation.evry"),
        ({"rotation": {"every": 7}}, "spec.onCall.rotation.every"),
        ({"rotation": {"every": "1y"}}, "spec.onCall.rotation.every"),
        ({"rotation": {"handoff": "noon"}}, "spec.onCall.rotation.handoff"),
        ({"rotation": {"members": "alice"}}, "spec.onCall.rotation.members"),
        ({"rotation": {"members": []}}, "spec.onCall.rotation.members"),
        ({"rotation": {"members": ["alice", 3]}}, "spec.onCall.rotation.members[1]"),
        ({"rotation": {"members": ["alice", "Alice"]}}, "spec.onCall.rotation.members[1]"),
        ({"rotation": {"startsAt": "next week"}}, "spec.onCall.rotation.startsAt"),
    ],
)
def test_a_mistake_names_its_field(raw: dict[str, Any], field: str | None) -> None:
    if field is None:  # an empty section is the default
        assert parse_rotation(raw, TEAM, "UTC").members == TEAM
        return
    with pytest.raises(Invalid) as caught:
        parse_rotation(raw, TEAM, "UTC")
    assert field in [problem.field for problem in caught.value.problems]


def test_an_unknown_zone_points_at_the_team() -> None:
    with pytest.raises(Invalid) as caught:
        parse_rotation(None, TEAM, "Europe/Atlantis")
    assert [problem.field for problem in caught.value.problems] == ["spec.timeZone"]
