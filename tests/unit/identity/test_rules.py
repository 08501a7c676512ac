"""Personal rules: whom a page reaches by which method after which delay, and what quiet hours leave out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.features.identity.addresses import CHANNELS, check_address, shown_address
from watchbill.features.identity.model import ContactMethod
from watchbill.features.identity.rules import (
    PersonalRule,
    QuietHours,
    RuleStep,
    Urgency,
    check_rule,
    is_quiet,
    plan_sends,
    quiet_until,
)
from watchbill.kernel.errors import Invalid

NOW = datetime(2026, 3, 2, 2, 30, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = QuietHours(from_time="22:00", to_time="07:00")


def method(channel: str) -> ContactMethod:
    return ContactMethod(
        id=uuid4(),
        person_id=UUID(int=1),
        channel=channel,
        address=f"{channel}:x",
        position=0,
        verified_at=None,
        created_at=NOW,
    )


PUSH, SMS, CALL = method("webpush"), method("sms"), method("voice")
ALL = [PUSH, SMS, CALL]


def plan(rule: PersonalRule | None, urgency: Urgency = "default", now: datetime = NOW) -> list[tuple[str, int]]:
    planned = plan_sends(methods=ALL, rule=rule, urgency=urgency, time_zone="Europe/Berlin", now=now)
    return [(one.channel, int(after.total_seconds())) for one, after in planned.sends]


def steps(*wanted: tuple[ContactMethod, int]) -> tuple[RuleStep, ...]:
    return tuple(RuleStep(contact_method_id=one.id, after_seconds=after) for one, after in wanted)


def test_without_a_rule_all_methods_follow_a_minute_apart() -> None:
    assert plan(None) == plan(PersonalRule()) == [("webpush", 0), ("sms", 60), ("voice", 120)]


def test_push_at_once_a_text_after_two_minutes_and_a_call_after_five() -> None:
    rule = PersonalRule(default=steps((PUSH, 0), (SMS, 120), (CALL, 300)))
    assert plan(rule) == [("webpush", 0), ("sms", 120), ("voice", 300)]
    assert plan(rule, "important") == plan(rule), "without steps of their own important pages go the same way"


def test_important_pages_have_steps_of_their_own_and_pierce_quiet_hours() -> None:
    """page.zone"""
    rule = PersonalRule(default=steps((PUSH, 0)), important=steps((CALL, 0), (SMS, 60)), quiet=(NIGHT,))
    assert plan(rule, "important") == [("voice", 0), ("sms", 60)]
    assert plan(rule) == [], "03:30 in Berlin is quiet: unreachable now, so the step advances"
    assert plan(rule, now=NOW + timedelta(hours=6)) == [("webpush", 0)]


def test_a_step_that_would_fall_into_quiet_hours_is_left_out_and_the_rest_moves_up() -> None:
    rule = PersonalRule(default=steps((PUSH, 0), (SMS, 1200)), quiet=(NIGHT,))
    before_seven = datetime(2026, 3, 2, 5, 50, tzinfo=UTC)
    assert plan(rule, now=before_seven) == [("sms", 0)], "only the later step is allowed: it goes at once"


def test_a_rule_whose_methods_are_gone_falls_back_to_all() -> None:
    assert plan(PersonalRule(default=steps((method("email"), 0)))) == plan(None)


@pytest.mark.parametrize(
    ("local", "quiet"),
    [
        ((2026, 3, 6, 23, 0), True),  # Friday
        ((2026, 3, 7, 6, 59), True),  # Friday's night ends on Saturday
        ((2026, 3, 7, 7, 0), False),
        ((2026, 3, 7, 23, 0), False),  # Saturday is not named
        ((2026, 3, 9, 3, 0), False),  # nor is Sunday, whose night this would be
    ],
)
def test_quiet_hours_past_midnight_belong_to_the_day_they_start(local: tuple[int, ...], quiet: bool) -> None:
    weekdays = QuietHours(from_time="22:00", to_time="07:00", days=("mon", "tue", "wed", "thu", "fri"))
    assert is_quiet([weekdays], datetime(*local, tzinfo=BERLIN)) is quiet  # type: ignore[arg-type,misc]  # five numbers


@settings(max_examples=50, deadline=None)
@given(
    delays=st.lists(st.integers(0, 3600), max_size=5),
    minutes=st.integers(0, 7 * 24 * 60),
    start=st.integers(0, 23),
    end=st.integers(0, 23),
    important=st.booleans(),
)
def test_what_is_planned_is_allowed_in_order_and_begins_at_once(
    delays: list[int], minutes: int, start: int, end: int, important: bool
) -> None:
    quiet = QuietHours(from_time=f"{start:02}:00", to_time=f"{end:02}:00")
    rule = PersonalRule(default=steps(*((ALL[i % 3], after) for i, after in enumerate(delays))), quiet=(quiet,))
    now = NOW + timedelta(minutes=minutes)
    planned = plan_sends(
        methods=ALL, rule=rule, urgency="important" if important else "default", time_zone="Europe/Berlin", now=now
    )
    afters = [after for _, after in planned.sends]
    assert afters == sorted(afters)
    assert bool(planned.sends) is not bool(planned.why)
    if planned.sends:
        assert afters[0] == timedelta()
    if important:
        assert planned.sends
    if not planned.sends:
        assert is_quiet((quiet,), now.astimezone(BERLIN))
        later = quiet_until((quiet,), now, "Europe/Berlin")
        assert start == end or not is_quiet((quiet,), later.astimezone(BERLIN))


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (PersonalRule(default=steps((method("sms"), 0))), "default[0].contact_method_id"),
        (PersonalRule(important=steps((SMS, -1))), "important[0].after_seconds"),
        (PersonalRule(default=steps((SMS, 90_000))), "default[0].after_seconds"),
        (PersonalRule(quiet=(QuietHours(from_time="25:00", to_time="07:00"),)), "quiet[0].from"),
        (PersonalRule(quiet=(QuietHours(from_time="22:00", to_time=""),)), "quiet[0].to"),
        (PersonalRule(quiet=(QuietHours(from_time="22:00", to_time="07:00", days=("someday",)),)), "quiet[0].days"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_its_place(rule: PersonalRule, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_rule(rule, mine=[one.id for one in ALL])
    assert refused.value.problem.field == field


@pytest.mark.parametrize(
    ("channel", "typed", "kept"),
    [
        ("sms", "+49 (151) 1234-5678", "+4915112345678"),
        ("voice", "+14155552671", "+14155552671"),
        ("slack", "U024BE7LH", "U024BE7LH"),
        ("mattermost", "@alice", "@alice"),
        ("telegram", "-100123456", "-100123456"),
        ("teams", "https://x.logic.azure.com/w", "https://x.logic.azure.com/w"),
    ],
)
def test_an_address_is_kept_in_its_one_spelling(channel: str, typed: str, kept: str) -> None:
    assert check_address(channel, typed) == kept


@pytest.mark.parametrize(
    ("channel", "typed"),
    [
        ("sms", "0151 1234567"),
        ("voice", "+0123456789"),
        ("sms", "+1234567890123456"),
        ("sms", "＋4915112345678"),
        ("slack", "@alice"),
        ("mattermost", "alice"),
        ("telegram", "12e4"),
        ("teams", "ftp://x"),
        ("webpush", "{}"),
        ("webpush", '{"endpoint":"https://x","keys":{"auth":"a"}}'),
        ("pigeon", "x"),
        ("email", "   "),
    ],
)
def test_an_address_that_cannot_be_is_refused_with_how_to_write_it(channel: str, typed: str) -> None:
    with pytest.raises(Invalid):
        check_address(channel, typed)


def test_secret_addresses_are_shown_without_their_secret() -> None:
    assert shown_address("teams", "https://x.logic.azure.com/w?sig=secret") == "https://x.logic.azure.com/…"
    assert shown_address("apprise", "tgram://123:secret/99") == "tgram://123/…"
    push = '{"endpoint":"https://push.example.org/secret","keys":{"auth":"a","p256dh":"b"}}'
    assert shown_address("webpush", push) == "a browser, by push.example.org"
    assert shown_address("sms", "+4915112345678") == "+4915112345678"
    assert len(CHANNELS) == 11
