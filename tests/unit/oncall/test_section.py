"""``spec.onCall`` of a manifest: good defaults, and errors with the path of the field."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

import pytest

from watchbill.features.oncall import RotationSpec, TeamRotation, parse_rotation, uncovered
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


def layers(*written: dict[str, Any], **more: Any) -> RotationSpec:
    return parse_rotation({"layers": list(written), **more}, TEAM, "Europe/Berlin")


DAY = {"name": "day", "members": ["alice@example.org"]}


def test_layers_are_read_with_their_hours_slots_and_people_at_once() -> None:
    spec = layers(
        {
            **DAY,
            "members": [["Alice@example.org", "bob@example.org"], "eve@example.org"],
            "hours": [{"days": ["weekdays"], "from": "20:00", "to": "08:00"}, {"from": "Fri 17:00", "to": "Mon 09:00"}],
            "startsAt": "2026-01-07",
        },
        {"members": ["bob@example.org"], "slot": "secondary", "shifts": ["24h", "48h"], "timeZone": "Asia/Tokyo"},
        shadows=["eve@example.org"],
        holidays="DE-BE",
        rest={"between": "11h", "nights": 5},
    )
    first, second = spec.layers
    assert first.crews == (("alice@example.org", "bob@example.org"), ("eve@example.org",))
    assert [(w.days, w.start_minute, w.minutes) for w in first.windows] == [
        ((0, 1, 2, 3, 4), 1200, 720),
        ((4,), 1020, 64 * 60),
    ]
    assert f"{first.starts_at:%Y-%m-%d %H:%M}" == "2026-01-12 09:00", "the first handoff on or after that day"
    assert (second.name, second.slot, second.handoff, second.time_zone) == (
        "layer-2",
        "secondary",
        "09:00",
        "Asia/Tokyo",
    )
    assert spec.members == ("alice@example.org", "bob@example.org", "eve@example.org")
    assert (spec.rest.hours_between, spec.rest.nights, spec.holidays) == (11, 5, "DE-BE")


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"layers": []}, "spec.onCall.layers"),
        ({"layers": [DAY], "rotation": {"every": "1w"}}, "spec.onCall.rotation"),
        ({"layers": [DAY, DAY]}, "spec.onCall.layers[1].name"),
        ({"layers": [{**DAY, "members": []}]}, "spec.onCall.layers[0].members"),
        (
            {"layers": [{**DAY, "members": [["alice@example.org", "Alice@example.org"]]}]},
            "spec.onCall.layers[0].members[0][1]",
        ),
        ({"layers": [{**DAY, "members": [[]]}]}, "spec.onCall.layers[0].members[0]"),
        ({"layers": [{**DAY, "every": "0d"}]}, "spec.onCall.layers[0].every"),
        ({"layers": [{**DAY, "every": "1d", "shifts": ["24h"]}]}, "spec.onCall.layers[0]"),
        ({"layers": [{**DAY, "shifts": ["24h", "5m"]}]}, "spec.onCall.layers[0].shifts[1]"),
        ({"layers": [{**DAY, "rrule": "FREQ=MINUTELY"}]}, "spec.onCall.layers[0].rrule"),
        ({"layers": [{**DAY, "timeZone": "Europe/Atlantis"}]}, "spec.onCall.layers[0].timeZone"),
        ({"layers": [{**DAY, "hours": []}]}, "spec.onCall.layers[0].hours"),
        ({"layers": [{**DAY, "hours": [{"from": "25:00"}]}]}, "spec.onCall.layers[0].hours[0].from"),
        ({"layers": [{**DAY, "hours": [{"days": ["moonday"]}]}]}, "spec.onCall.layers[0].hours[0].days"),
        ({"layers": [{**DAY, "hours": [{"from": "Fri 17:00", "to": "09:00"}]}]}, "spec.onCall.layers[0].hours[0]"),
        ({"layers": [{**DAY, "startsAt": "2026-02-01", "endsAt": "2026-01-01"}]}, "spec.onCall.layers[0].endsAt"),
        ({"layers": [{**DAY, "startsAt": "2026-01-05T09:00Z"}]}, "spec.onCall.layers[0].startsAt"),
        ({"layers": [{**DAY, "holidays": "only"}]}, "spec.onCall.layers[0].holidays"),
        ({"layers": [{**DAY, "slot": "shadow"}]}, "spec.onCall.layers[0].slot"),
        ({"layers": [{**DAY, "shadow": True}]}, "spec.onCall.layers"),
        ({"layers": [{**DAY, "people": []}]}, "spec.onCall.layers[0].people"),
        ({"holidays": "XX"}, "spec.onCall.holidays"),
        ({"holidays": "DE-QQ"}, "spec.onCall.holidays"),
        ({"rest": {"between": "long"}}, "spec.onCall.rest.between"),
        ({"rest": {"nights": 0}}, "spec.onCall.rest.nights"),
    ],
)
def test_a_mistake_in_a_layer_names_its_field(raw: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_rotation(raw, TEAM, "UTC")
    assert field in [problem.field for problem in caught.value.problems]
    assert all(problem.hint for problem in caught.value.problems)


def test_hours_that_nobody_covers_are_found_before_there_is_a_team() -> None:
    office = {**DAY, "hours": [{"days": ["weekdays"], "from": "09:00", "to": "17:00"}]}
    ((slot, holes, total),) = uncovered(layers(office))
    assert slot == "primary"
    assert len(holes) == 21
    assert total == "21d 8h"
    assert uncovered(layers(office, {"members": ["bob@example.org"]})) == []
