"""When a digest is due, and how it reads."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.features.digest import Budget, Digest, Gap, OpenIncident, Ticket, compose, logic, next_digest_at

ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati", "Australia/Lord_Howe"]
)
INSTANTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
MONDAY = datetime(2026, 3, 2, 7, 30, tzinfo=UTC)


@given(zone=ZONES, now=INSTANTS)
def test_the_next_digest_is_at_nine_on_the_teams_clock_within_the_next_25_hours(zone: str, now: datetime) -> None:
    at = next_digest_at(zone, now=now)
    assert now < at <= now + timedelta(hours=25)
    assert at.astimezone(ZoneInfo(zone)).strftime("%H:%M") == "09:00"


@given(zone=ZONES, other=ZONES, now=INSTANTS)
def test_a_day_that_had_its_digest_has_no_second_one_even_when_the_team_moves(
    zone: str, other: str, now: datetime
) -> None:
    first = next_digest_at(zone, now=now)
    last = logic.local_day(zone, first)
    second = next_digest_at(other, now=first, last=last)
    assert logic.local_day(other, second) > last


@given(zone=ZONES, now=INSTANTS)
def test_digests_of_following_days_skip_none(zone: str, now: datetime) -> None:
    at = next_digest_at(zone, now=now)
    day = logic.local_day(zone, at)
    assert logic.local_day(zone, next_digest_at(zone, now=at, last=day)) == day + timedelta(days=1)


@pytest.mark.parametrize(
    ("now", "timely"),
    [(datetime(2026, 3, 2, 8, 0, tzinfo=UTC), True), (datetime(2026, 3, 2, 22, 59, tzinfo=UTC), True),
     (datetime(2026, 3, 2, 23, 0, tzinfo=UTC), False)],
)  # fmt: skip
def test_a_late_digest_is_still_written_on_its_day_and_not_on_the_next(now: datetime, timely: bool) -> None:
    due_at = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)  # 09:00 in Berlin
    assert logic.is_timely("Europe/Berlin", due_at=due_at, now=now) is timely


def test_a_mail_that_is_not_taken_is_tried_with_growing_pauses_for_half_a_day() -> None:
    written = now = MONDAY
    pauses = []
    while (at := logic.retry_at(len(pauses), written_at=written, now=now)) is not None:
        pauses.append(int((at - now).total_seconds() // 60))
        now = at
    assert pauses[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert now - written <= timedelta(hours=12)


def digest(**parts: list[object]) -> Digest:
    nothing: dict[str, list[object]] = {
        "tickets": [], "budgets": [], "incidents": [], "gaps": [], "unreachable": []
    }  # fmt: skip
    return Digest(
        team_id=UUID(int=1),
        team="Payments",
        day=date(2026, 3, 2),
        zone="Europe/Berlin",
        team_url="https://w.test/teams/payments",
        **{**nothing, **parts},  # type: ignore[arg-type]
    )


def ticket(title: str = "Disk fills up", note: str = "") -> Ticket:
    return Ticket(title=title, service="Payments API", since_at=MONDAY, url="https://w.test/services/p", note=note)


def test_nothing_to_say_is_no_digest() -> None:
    assert compose(digest()) is None


def test_every_kind_is_said_with_times_of_the_teams_zone_and_a_link() -> None:
    text = compose(
        digest(
            tickets=[ticket(note="stale")],
            budgets=[
                Budget(
                    service="payments",
                    operation="charge card",
                    objective="availability",
                    state="firing",
                    remaining=-0.5,
                    url="https://w.test/slos/1",
                )
            ],
            incidents=[
                OpenIncident(
                    number=7, title="Slow", severity="sev3", opened_at=MONDAY, url="https://w.test/incidents/7"
                )
            ],
            gaps=[Gap(start_at=MONDAY, end_at=MONDAY + timedelta(hours=2))],
            unreachable=["bob"],
        )
    )
    assert text is not None
    assert text.subject == (
        "[digest] Payments: 1 ticket, 1 budget at risk, 1 open incident, 1 gap in the rota, 1 person unreachable"
    )
    assert text.body.splitlines() == [
        "Team Payments, Monday 2026-03-02 (times: Europe/Berlin)",
        "",
        "Open tickets (1)",
        "• Disk fills up",
        "  Payments API, since Mon 2026-03-02 08:30 (stale)",
        "  https://w.test/services/p",
        "",
        "Error budgets at risk (1)",
        "• payments, charge card: availability is firing, -50% of the budget left",
        "  https://w.test/slos/1",
        "",
        "Incidents of the last 24 hours, still open (1)",
        "• #7 Slow (sev3, since Mon 2026-03-02 08:30)",
        "  https://w.test/incidents/7",
        "",
        "Nobody is on call, in the next 7 days (1)",
        "• Mon 2026-03-02 08:30 to Mon 2026-03-02 10:30",
        "",
        "On call in the next 7 days, and cannot be reached (1)",
        "• bob",
        "",
        "All of it: https://w.test/teams/payments",
    ]


@given(titles=st.lists(st.text(max_size=40), min_size=1, max_size=60))
def test_any_title_stays_on_its_line_and_a_flood_is_counted(titles: list[str]) -> None:
    text = compose(digest(tickets=[ticket(title) for title in titles]))
    assert text is not None
    assert text.subject.startswith(f"[digest] Payments: {len(titles)} ticket")
    assert sum(line.startswith("• ") for line in text.body.splitlines()) == min(len(titles), logic.MOST)
    assert (f"… and {len(titles) - logic.MOST} more" in text.body) is (len(titles) > logic.MOST)
