"""The ways of a page from intake to its end, each a story for `tests.crash.matrix`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from tests.crash.matrix import MINUTE, Play, Story
from tests.journeys.stage import ACTOR, Stage
from watchbill.features import identity, paging
from watchbill.features.identity import PersonalRule, RuleStep
from watchbill.features.paging import SendOutcome

SATURDAY_NIGHT = datetime(2026, 3, 7, 2, 0, tzinfo=UTC)
OPS_ADDRESS = "https://ops.example.org/kim"


def prepare(stage: Stage) -> None:
    """payments (alice, bob), storefront (charlie), and a team for each rule that a way goes by."""
    stage.team("platform", "dana", fallback=True)
    stage.team("payments", "alice", "bob")
    stage.team("storefront", "charlie")
    stage.team("search", "frank", timeZone="Europe/Berlin", escalation={"hold": {"tiers": [3]}})
    stage.team("core", "kim", "lena")
    stage.team("video", "hugo", "ines", escalation={"steps": [{"notify": ["round-robin"], "callEvery": "10s"}]})
    stage.team("texts", "olga", "paul", escalation={"steps": [{"notify": ["team"]}]})
    for team in ("payments", "storefront", "core", "video", "texts"):
        stage.service(team, owner=team)
    stage.service("search", owner="search", tier=3)
    with stage.db.transaction() as tx:
        kim = stage.people["kim"]
        mail = identity.contact_methods(tx, person_ids=[kim])[kim][0]
        hook = identity.add_contact_method(tx, person_id=kim, channel="webhook", address=OPS_ADDRESS, actor=ACTOR)
        steps = (RuleStep(contact_method_id=mail.id), RuleStep(contact_method_id=hook.id, after_seconds=120))
        identity.set_personal_rule(tx, person_id=kim, rule=PersonalRule(default=steps), actor=ACTOR)
        for number, login in enumerate(("olga", "paul")):
            person = stage.people[login]
            for method in identity.contact_methods(tx, person_ids=[person])[person]:
                identity.remove_contact_method(tx, person_id=person, contact_method_id=method.id, actor=ACTOR)
            address = f"+4915112345{number:03}"
            identity.add_contact_method(tx, person_id=person, channel="sms", address=address, actor=ACTOR)
        paging.set_throttles(tx, {"sms": (1 / 45, 1)})


def hand_over(play: Play) -> None:
    """Acknowledged, handed over, accepted."""
    play.fire()
    play.reached("alice")
    play.acknowledge("alice")
    play.parts()
    play.act("alice", paging.hand_over, number=play.number, to="bob@example.org")
    play.reached("bob")
    play.acknowledge("bob")
    play.end()


def hand_over_in_vain(play: Play) -> None:
    """Handed over, not accepted in five minutes: a new epoch."""
    play.fire()
    play.reached("alice")
    play.acknowledge("alice")
    play.parts()
    play.act("alice", paging.hand_over, number=play.number, to="bob@example.org")
    play.until(lambda: play.stage.page(play.number).epoch == 2)
    play.until(lambda: play.stage.addresses()[-1] == "alice")
    play.acknowledge("alice")
    play.end()


def snooze(play: Play) -> None:
    """Snoozed, asked again when the time is over."""
    play.fire()
    play.reached("alice")
    play.parts()
    until = play.stage.clock.now() + 90 * MINUTE
    play.act("alice", paging.snooze, number=play.number, until=until)
    play.wait(88 * MINUTE)
    play.until(lambda: len({message.idempotency_key for _, message in play.stage.sent}) > 1)
    play.acknowledge("alice")
    play.end()


def hold_released(play: Play) -> None:
    """Held over a weekend, released on the working day."""
    play.stage.clock.move_to(SATURDAY_NIGHT)
    play.fire(service="search")
    assert play.stage.page(play.number).state == "held"
    play.wait(timedelta(days=2, hours=5, minutes=58))
    play.reached("frank")
    play.acknowledge("frank")
    play.end()


def delayed_rule(play: Play) -> None:
    """A person's own rule: mail at once, another way two minutes later."""
    play.fire(service="core")
    play.until(lambda: {"kim", OPS_ADDRESS} <= set(play.stage.addresses()), within=4 * MINUTE)
    play.acknowledge("kim")
    play.end()


def permanent_failure(play: Play) -> None:
    """The first way is refused for good: the next goes out at once, then nobody answers."""
    play.stage.broken["kim@example.org"] = SendOutcome(sent=False, permanent=True, error="550 no such box")
    play.fire(service="core")
    play.until(lambda: OPS_ADDRESS in play.stage.addresses(), within=3 * MINUTE)
    play.reached("lena")
    play.acknowledge("lena")
    play.end()


def bundle(play: Play) -> None:
    """Called every ten seconds: after three messages a storm is held, and one message carries the rest."""
    play.fire(service="video")
    play.wait(timedelta(seconds=25))
    play.parts()
    play.wait(timedelta(seconds=20))

    def bundled() -> bool:
        with play.db.transaction() as tx:
            query = "SELECT count(*) FROM notification WHERE state = 'sent' AND bundle_id IS NOT NULL"
            return bool(tx.execute(sa.text(query)).scalar_one())

    end = play.stage.clock.now() + 4 * MINUTE
    while not bundled():
        assert play.stage.clock.now() < end, "no message carried others"
        play.wait(timedelta(seconds=5))
    play.acknowledge("hugo")
    play.end()


def throttled(play: Play) -> None:
    """The second message waits for its turn at a throttled channel."""
    play.fire(service="texts")
    play.until(lambda: len(set(play.stage.addresses())) == 2, within=4 * MINUTE)
    play.acknowledge("paul")
    play.end()


def reassign(play: Play) -> None:
    """Given to another team: the page ends, the other team's begins."""
    play.fire()
    play.reached("alice")
    play.parts()
    play.act("alice", paging.reassign, number=play.number, to_team="storefront", why="their cache")
    play.reached("charlie")
    play.acknowledge("charlie")
    play.end()


def merge(play: Play) -> None:
    """Two incidents become one and are taken apart; both teams are told."""
    play.fire("a", "payments")
    play.fire("b", "storefront")
    play.reached("alice", "charlie")
    first, second = play.numbers
    play.acknowledge("charlie", second)
    play.parts()
    play.act("dana", paging.merge_incident, number=second, into=first)
    play.reached("bob")
    play.acknowledge("alice", first)
    play.act("dana", paging.unmerge_incident, number=second)
    play.end("a", "b")


def cancelled_and_paged_again(play: Play) -> None:
    """Cancelled with a reason, and the team is paged again by a responder."""
    play.fire()
    play.reached("alice")
    play.parts()
    play.act("alice", paging.cancel_page, number=play.number, why="a drill")
    play.act("alice", paging.page_team, number=play.number, team="storefront")
    play.reached("charlie")
    play.acknowledge("charlie")
    play.end()


def provider_answers(play: Play) -> None:
    """The provider says it was delivered, and a key pressed in the call acknowledges."""
    play.fire()
    play.reached("alice")
    play.parts()
    # The reference of the message is what a provider sends back.
    reference = UUID(play.stage.sent[0][1].reference)

    def delivered() -> None:
        with play.db.transaction() as tx:
            assert paging.note_delivery(tx, notification_id=reference, delivered=True, detail="delivered")

    def pressed() -> None:
        with play.db.transaction() as tx:
            paging.answer_notification(tx, notification_id=reference, action="acknowledge", via="key")

    play.outside(delivered)
    play.outside(pressed)
    assert play.stage.page(play.number).state == "acknowledged"
    play.end()


WAYS: Mapping[str, Story] = {
    "hand-over": hand_over,
    "hand-over in vain": hand_over_in_vain,
    "snooze": snooze,
    "hold released": hold_released,
    "delayed personal rule": delayed_rule,
    "permanent failure": permanent_failure,
    "bundle in a storm": bundle,
    "throttled send": throttled,
    "reassigned": reassign,
    "merged and taken apart": merge,
    "cancelled and paged again": cancelled_and_paged_again,
    "provider call-back": provider_answers,
}
