"""Personal rules, storms, throttles and answers on the virtual clock."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.journeys.stage import ACTOR, Stage
from watchbill.features import catalog, identity, paging
from watchbill.features.identity import PersonalRule, QuietHours, RuleStep
from watchbill.features.incidents.store import incident
from watchbill.features.paging import SendOutcome
from watchbill.kernel.errors import WatchbillError
from watchbill.runtime import due
from watchbill.runtime.signing import Signer

NUMBER = "+4915112345678"


def add(stage: Stage, login: str, channel: str, address: str) -> UUID:
    with stage.db.transaction() as tx:
        return identity.add_contact_method(
            tx, person_id=stage.people[login], channel=channel, address=address, actor=ACTOR
        ).id


def methods(stage: Stage, login: str) -> list[identity.ContactMethod]:
    with stage.db.transaction() as tx:
        return identity.contact_methods(tx, person_ids=[stage.people[login]])[stage.people[login]]


def rule(stage: Stage, login: str, made: PersonalRule) -> None:
    with stage.db.transaction() as tx:
        identity.set_personal_rule(tx, person_id=stage.people[login], rule=made, actor=ACTOR)


def sent(stage: Stage) -> list[tuple[int, str]]:
    start = stage.sent[0][0]
    return [(int((at - start).total_seconds()), message.channel) for at, message in stage.sent]


def test_steps_of_a_personal_rule_come_after_their_delays_and_die_with_the_acknowledgement(stage: Stage) -> None:
    """page.acknowledged"""
    sms, call = add(stage, "alice", "sms", NUMBER), add(stage, "alice", "voice", NUMBER)
    mail = methods(stage, "alice")[0].id
    steps = [RuleStep(contact_method_id=id, after_seconds=after) for id, after in ((mail, 0), (sms, 120), (call, 240))]
    rule(stage, "alice", PersonalRule(default=tuple(steps)))
    stage.fire()
    stage.wait(timedelta(minutes=3))
    assert sent(stage) == [(0, "email"), (120, "sms")]
    stage.acknowledge("alice")
    stage.wait(timedelta(minutes=10))
    assert sent(stage) == [(0, "email"), (120, "sms")], "the call died with the acknowledgement"


def test_in_quiet_hours_the_step_advances_at_once_and_an_important_page_pierces_them(stage: Stage) -> None:
    """page.zone"""
    rule(stage, "alice", PersonalRule(quiet=(QuietHours(from_time="00:00", to_time="00:00"),)))
    stage.fire("slow", severity="warning")
    assert stage.addresses()[:1] == ["bob"], stage.story()
    assert "page.step_skipped" in stage.story()
    alice = stage.caller("alice")
    with stage.db.transaction() as tx:
        paging.declare(tx, number=1, caller=alice, why="users are hurt")
    stage.wait(timedelta(hours=1))
    assert "alice" in stage.addresses(), "declared: it pierces her quiet hours"


def test_when_everybody_is_quiet_the_fallback_is_woken_all_the_same(stage: Stage) -> None:
    """page.escalating"""
    for name in stage.people:
        rule(stage, name, PersonalRule(quiet=(QuietHours(from_time="00:00", to_time="00:00"),)))
    stage.fire("slow", severity="warning")
    assert stage.addresses(), stage.story()


def test_the_first_page_about_each_service_is_never_delayed(stage: Stage) -> None:
    """notification.queued"""
    for number in range(6):
        stage.service(f"extra-{number}", owner="payments")
        stage.fire(f"a-{number}", service=f"extra-{number}", title=f"extra {number} fails")
    assert sent(stage) == [(0, "email")] * 6


def _incidents(stage: Stage) -> list[paging.IncidentLine]:
    with stage.db.transaction() as tx:
        return paging.incident_list(tx, state=None)


def reopen(stage: Stage, times: int) -> None:
    """Resolve and reopen: each time a page of the same service comes to the person on call."""
    for _ in range(times):
        stage.resolve("alice")
        caller = stage.caller("alice")
        with stage.db.transaction() as tx:
            paging.reopen_incident(tx, number=1, caller=caller)
        stage.work()


def test_pages_of_one_service_in_a_row_are_held_after_three_and_nothing_is_lost(stage: Stage) -> None:
    """notification.queued"""
    stage.fire()
    reopen(stage, 2)
    assert len(stage.sent) == 3
    reopen(stage, 1)
    assert len(stage.sent) == 3, "the fourth within the minute waits"
    stage.wait(timedelta(seconds=61))
    assert len(stage.sent) == 4
    last = stage.incident().pages[-1].notifications[0]
    assert (last.state, last.sending_at) == ("sent", stage.sent[-1][0])


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gaps=st.lists(st.integers(0, 25), min_size=3, max_size=7), fails=st.booleans())
def test_whatever_the_storm_each_page_is_told_or_cancelled_within_two_minutes(
    stage: Stage, gaps: list[int], fails: bool
) -> None:
    """Several teams' pages come to dana at random times; each notification ends sent, none stays behind."""
    before = len(_incidents(stage))
    for number, gap in enumerate(gaps):
        stage.wait(timedelta(seconds=gap))
        if number == 3:
            stage.broken.clear()  # away for at most 25 seconds: tries are not used up
        if fails and number == 2:
            stage.broken["dana@example.org"] = SendOutcome(sent=False, error="away")
        stage.fire(f"unowned-{before}-{number}", service=None, title=f"unowned {number}")
    stage.broken.clear()
    stage.wait(timedelta(seconds=125))
    for line in _incidents(stage)[: len(gaps)]:
        first = stage.incident(line.incident.number).pages[0].notifications[0]
        assert first.state == "sent", (first, gaps)
        assert first.sent_at is not None
        assert first.sent_at - first.queued_at <= timedelta(seconds=120)


def test_one_message_carries_what_is_held_with_a_link_for_each(stage: Stage) -> None:
    """notification.queued"""
    hold_three_pages(stage)
    stage.wait(timedelta(seconds=61))
    last = stage.sent[-1][1]
    listed = last.payload.get("pages", [])
    assert last.payload["type"] == "pages"
    assert len(listed) >= 2
    assert all(each["acknowledge_url"] in last.text for each in listed)
    with stage.db.transaction() as tx:
        answered = paging.answer_notification(
            tx, notification_id=UUID(last.reference), action="acknowledge", via="test"
        )
    assert answered.done
    numbers = [each["incident"]["number"] for each in listed]
    assert {stage.page(number).state for number in numbers} == {"acknowledged"}


def hold_three_pages(stage: Stage) -> None:
    """Three messages about payments went out; then two incidents more of the same service wait."""
    stage.fire()
    reopen(stage, 2)
    alice = stage.caller("alice")
    with stage.db.transaction() as tx:
        for _ in range(2):
            made = paging.page_team_for_test(tx, team_id=stage.teams["payments"], caller=alice)
            of_service = incident.update().where(incident.c.id == made.id)
            tx.execute(of_service.values(service_id=stage.services["payments"]))
    stage.work()


def test_when_the_leading_page_is_acknowledged_the_others_still_go(stage: Stage) -> None:
    """page.acknowledged"""
    hold_three_pages(stage)
    stage.acknowledge("alice", number=2)
    before = len(stage.sent)
    stage.wait(timedelta(seconds=61))
    told = [message for _, message in stage.sent[before:]]
    assert any("incident 3" in message.text.lower() for message in told)
    assert not any("incident 2 ·" in message.text.lower() for message in told)


def test_a_throttled_channel_delays_and_never_drops(stage: Stage) -> None:
    with stage.db.transaction() as tx:
        paging.set_throttles(tx, {"email": (0.5, 1)})
    for number in range(4):
        stage.service(f"s-{number}", owner="payments")
        stage.fire(f"a-{number}", service=f"s-{number}", title=f"s-{number} fails")
    assert len(stage.sent) == 1
    stage.wait(timedelta(seconds=7))
    start = stage.sent[0][0]
    assert [int((at - start).total_seconds()) for at, _ in stage.sent] == [0, 2, 4, 6]


def test_a_text_reply_acknowledges_as_whoever_was_notified_and_proves_the_number(stage: Stage) -> None:
    """page.one_use_case"""
    sms = add(stage, "alice", "sms", NUMBER)
    rule(stage, "alice", PersonalRule(default=(RuleStep(contact_method_id=sms),)))
    stage.fire()
    for text, done in (("hello", False), ("ack 99", False), ("ack 1", True), ("ack", True)):
        with stage.db.transaction() as tx:
            answered = paging.answer_text(tx, channel="sms", address=NUMBER, text=text, via="text message")
        assert answered.done is done, (text, answered.text)
    assert stage.page().acknowledged_by == stage.people["alice"]
    assert next(m for m in methods(stage, "alice") if m.channel == "sms").verified_at is not None
    with stage.db.transaction() as tx:
        stranger = paging.answer_text(tx, channel="sms", address="+15550001111", text="ack 1", via="text message")
    assert not stranger.done


def test_a_message_that_was_not_delivered_after_all_hastens_the_next_method(stage: Stage) -> None:
    """notification.failed"""
    sms = add(stage, "alice", "sms", NUMBER)
    mail = next(m.id for m in methods(stage, "alice") if m.channel == "email")
    steps = (RuleStep(contact_method_id=sms), RuleStep(contact_method_id=mail, after_seconds=240))
    rule(stage, "alice", PersonalRule(default=steps))
    stage.fire()
    assert sent(stage) == [(0, "sms")]
    first = stage.incident().pages[0].notifications[0]
    with stage.db.transaction() as tx:
        assert paging.note_delivery(tx, notification_id=first.id, delivered=None, detail="queued")
        assert paging.note_delivery(tx, notification_id=first.id, delivered=False, detail="undelivered (Twilio 30003)")
    stage.work()
    assert sent(stage) == [(0, "sms"), (0, "email")]
    assert any("30003" in entry.why for entry in stage.incident().timeline)


def test_a_teams_channel_is_told_and_whoever_presses_the_button_there_answers(stage: Stage) -> None:
    """page.may_acknowledge"""
    add(stage, "bob", "slack", "U0BOB123")
    add(stage, "charlie", "slack", "U0CHARLIE")
    stage.team("search", "frank", escalation={"steps": [{"notify": ["channel:room"], "wait": "5m"}]})
    with stage.db.transaction() as tx:
        catalog.add_team_channel(
            tx, team_id=stage.teams["search"], name="room", channel="slack", address="C0SEARCH", actor=ACTOR
        )
        paging.page_team_for_test(tx, team_id=stage.teams["search"], caller=stage.caller("frank"))
    stage.work()
    message = next(message for _, message in stage.sent if message.address == "C0SEARCH")
    with stage.db.transaction() as tx:
        bob = identity.person_at(tx, channel="slack", addresses=["U0BOB123"])
        assert identity.person_at(tx, channel="slack", addresses=["U0NOBODY"]) is None
        nobody = paging.answer_notification(
            tx, notification_id=UUID(message.reference), action="acknowledge", via="Slack"
        )
        outsider = paging.answer_notification(
            tx, notification_id=UUID(message.reference), action="acknowledge", via="Slack", person_id=bob
        )
        member = paging.answer_notification(
            tx,
            notification_id=UUID(message.reference),
            action="acknowledge",
            via="Slack",
            person_id=stage.people["frank"],
        )
    assert (nobody.done, outsider.done, member.done) == (False, False, True)


def test_a_monthly_test_page_goes_out_in_office_hours_and_its_answer_or_silence_is_kept(stage: Stage) -> None:
    outbox: list[str] = []

    def deliver(message: paging.Message) -> SendOutcome:
        outbox.append(message.text)
        return SendOutcome(sent=True)

    signer = Signer(["k" * 40])
    duty = identity.SendContactMessage(send=deliver, base_url="https://wb.test", signer=signer)
    alice = stage.people["alice"]

    def begin() -> int:
        with stage.db.transaction() as tx:
            return identity.begin_due_tests(tx, person_ids=[alice], every=timedelta(days=30))

    assert begin() == 0, "nobody is tested on the first day"
    stage.clock.move_to(stage.clock.now() + timedelta(days=1, hours=10))
    assert begin() == 0, "19:00 is no office hour"
    stage.clock.move_to(stage.clock.now() + timedelta(hours=16))
    assert begin() == 1
    assert begin() == 0
    due.work_outside(stage.db, duty)
    link = outbox[0].split("Confirm: ")[1].strip().rpartition("/")[2]
    with stage.db.transaction() as tx:
        method_id, test_id = identity.open_proof_link(signer, link, now=tx.now)
        identity.prove_method(tx, contact_method_id=method_id, test_id=test_id)
        assert identity.latest_tests(tx, person_ids=[alice])[alice].state == "answered"
        assert identity.reachable(tx, person_ids=[alice])[alice].reachable
    stage.clock.move_to(stage.clock.now() + timedelta(days=30))
    assert begin() == 1
    stage.clock.move_to(stage.clock.now() + timedelta(days=2))
    with stage.db.transaction() as tx:
        assert identity.close_tests(tx) == 1
        assert identity.latest_tests(tx, person_ids=[alice])[alice].state == "unanswered"
        assert [person.id for person in identity.unanswered(tx, person_ids=stage.people.values())] == [alice]


def test_a_code_is_good_once_for_a_while_and_for_five_tries(stage: Stage) -> None:
    """people.unverified"""
    codes: list[str] = []

    def deliver(message: paging.Message) -> SendOutcome:
        codes.append(message.short.split("code is ")[1][:6])
        return SendOutcome(sent=True)

    duty = identity.SendContactMessage(send=deliver, base_url="https://wb.test", signer=Signer(["k" * 40]))
    alice, mail = stage.people["alice"], methods(stage, "alice")[0].id

    def ask() -> None:
        with stage.db.transaction() as tx:
            identity.ask_for_code(tx, person_id=alice, contact_method_id=mail, actor=ACTOR)
        due.work_outside(stage.db, duty)

    def confirm(code: str) -> bool:
        with stage.db.transaction() as tx:
            return identity.confirm_code(tx, person_id=alice, contact_method_id=mail, code=code, actor=ACTOR)

    ask()
    with pytest.raises(WatchbillError):
        ask()
    for _ in range(5):
        assert not confirm("000000" if codes[-1] != "000000" else "111111")
    with pytest.raises(WatchbillError):
        confirm(codes[-1])
    stage.clock.move_to(stage.clock.now() + timedelta(minutes=1))
    ask()
    stage.clock.move_to(stage.clock.now() + timedelta(minutes=16))
    with pytest.raises(WatchbillError):
        confirm(codes[-1])
    ask()
    assert confirm(f" {codes[-1][:3]} {codes[-1][3:]} ")
    assert methods(stage, "alice")[0].verified_at is not None
