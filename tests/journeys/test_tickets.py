"""Alerts of urgency ticket, from firing to the closed ticket, at loopback servers that speak each provider's API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.stage import ACTOR, SETTLE_FOR, Stage
from tests.trackers_api import FakeTrackers, connections_of, fake_trackers
from watchbill.features import alerts, catalog, paging, slo, tickets
from watchbill.features.tickets import SyncTicket, TellTeam, Ticket
from watchbill.runtime import due
from watchbill.runtime.http_out import HttpOut
from watchbill.trackers import Trackers

PLACES: dict[str, dict[str, Any]] = {
    "github": {"repository": "acme/search", "labels": ["slo"]},
    "gitlab": {"project": "acme/apps/search", "labels": ["slo"]},
    "jira": {"project": "PAY", "labels": ["slo"]},
}


class Desk:
    """The stage with a team whose tickets go somewhere, and the worker's duties."""

    def __init__(self, stage: Stage, fake: FakeTrackers, trackers: Trackers) -> None:
        self.stage, self.fake = stage, fake
        self.sync = SyncTicket(trackers=trackers, send=stage._deliver, base_url="https://watchbill.test")
        self.tell = TellTeam(send=stage._deliver)
        stage._duties = [
            *paging.routing_duties(settle_for=SETTLE_FOR, followers=[tickets.follow]),
            *paging.page_duties(),
        ]

    def team(self, **spec: Any) -> None:
        self.stage.team("search", "frank", "grace", tickets=spec)
        self.stage.service("search", owner="search")

    def channel(self, name: str) -> None:
        with self.stage.db.transaction() as tx:
            catalog.add_team_channel(
                tx,
                team_id=self.stage.teams["search"],
                name=name,
                channel="webhook",
                address=f"https://hooks.example.org/{name}",
                actor=ACTOR,
            )

    def fire(self, **more: Any) -> None:
        self.stage.fire("slow-burn", "search", **{"urgency": "ticket", "severity": "warning", **more})
        self.work()

    def recover(self) -> None:
        self.stage.recover("slow-burn")
        self.work()

    def work(self) -> None:
        while due.work_outside(self.stage.db, self.sync) or due.work_outside(self.stage.db, self.tell):
            pass

    def wait(self, by: timedelta) -> None:
        end = self.stage.clock.now() + by
        while True:
            with self.stage.db.transaction() as tx:
                at = due.next_due_at(tx, kinds=[self.sync.kind, self.tell.kind])
            if at is None or at > end:
                break
            self.stage.clock.move_to(max(self.stage.clock.now(), at))
            self.work()
        self.stage.clock.move_to(end)

    def tickets(self) -> list[Ticket]:
        with self.stage.db.transaction() as tx:
            return tickets.tickets_of_team(tx, team_id=self.stage.teams["search"])

    @property
    def told(self) -> list[str]:
        return [f"{message.address.rpartition('/')[2]}: {message.subject}" for _, message in self.stage.sent]


@pytest.fixture(scope="module")
def served() -> Iterator[FakeTrackers]:
    with fake_trackers() as fake:
        yield fake


@pytest.fixture
def desk(stage: Stage, served: FakeTrackers, tmp_path: Path) -> Iterator[Desk]:
    served.issues, served.answers, served.seen, served.cloud = [], [], [], True
    file = tmp_path / "tickets.yaml"
    file.write_text(connections_of(served.url))
    http = HttpOut(allow_private=True)
    yield Desk(stage, served, Trackers(file, environment={"FAKE_TOKEN": "the-token"}, http=http))
    http.close()


@pytest.mark.parametrize("provider", ["github", "gitlab", "jira"])
def test_a_ticket_is_made_follows_its_alert_and_is_reopened_when_it_fires_again(desk: Desk, provider: str) -> None:
    """Semantics: ticket.one, ticket.follows."""
    desk.team(**{provider: PLACES[provider]})
    desk.fire(title="Search burns slowly", description="@everyone look: <b>3x</b> ~~~")
    desk.fire()
    desk.wait(timedelta(minutes=1))
    [issue] = desk.fake.issues
    [ticket] = desk.tickets()
    assert (ticket.state, "slo" in issue["labels"], issue["title"]) == ("open", True, "Search burns slowly")
    assert "~~~~text\n@everyone look: <b>3x</b> ~~~\n~~~~" in issue["body"] or "{noformat}\n@everyone" in issue["body"]
    assert ticket.url is not None
    assert ticket.url.startswith(desk.fake.url)
    assert "https://watchbill.test/teams/search#tickets" in issue["body"]
    assert desk.told == []

    desk.fire(urgency="page", severity="critical")
    desk.wait(timedelta(minutes=1))
    assert "It pages now" in issue["comments"][0]
    desk.recover()
    desk.wait(timedelta(minutes=1))
    assert (issue["open"], len(issue["comments"]), desk.tickets()[0].state) == (False, 2, "closed")
    desk.wait(timedelta(days=2))
    desk.fire()
    desk.wait(timedelta(minutes=1))
    assert (issue["open"], len(desk.fake.issues), desk.tickets()[0].state) == (True, 1, "open")


@pytest.mark.parametrize("provider", ["github", "gitlab", "jira"])
def test_a_crash_between_making_and_writing_makes_no_second_ticket_nor_comment(desk: Desk, provider: str) -> None:
    """Semantics: ticket.one."""
    desk.fake.cloud = False
    desk.team(**{provider: PLACES[provider]})
    desk.stage.fire("slow-burn", "search", urgency="ticket")
    crash(desk)
    desk.wait(timedelta(minutes=5))
    assert [one.state for one in desk.tickets()] == ["open"]
    desk.stage.recover("slow-burn")
    crash(desk)
    desk.wait(timedelta(minutes=5))
    assert (len(desk.fake.issues), len(desk.fake.issues[0]["comments"]), desk.fake.issues[0]["open"]) == (1, 1, False)
    assert desk.tickets()[0].state == "closed"


def crash(desk: Desk) -> None:
    """The worker claims and performs, and is killed before it writes; its lease ends."""
    db = desk.stage.db
    with db.transaction() as tx:
        [row] = due.claim(tx, kinds=[desk.sync.kind], limit=1, lease_for=timedelta(seconds=4))
        job = desk.sync.prepare(tx, row)
    assert job is not None
    assert desk.sync.perform(job).error == ""
    desk.stage.clock.advance(timedelta(seconds=5))


def test_a_ticket_that_people_closed_is_left_alone_and_one_that_is_gone_too(desk: Desk) -> None:
    """Semantics: ticket.left."""
    desk.team(github=PLACES["github"])
    desk.fire()
    desk.fake.issues[0]["open"] = False
    desk.wait(timedelta(hours=7))
    assert desk.tickets()[0].state == "closed_outside"
    desk.fire(severity="error")
    desk.recover()
    desk.fire()
    desk.wait(timedelta(minutes=1))
    assert (desk.fake.issues[0]["open"], len(desk.fake.issues)) == (False, 1)
    assert "It fires again." in desk.fake.issues[0]["comments"][-1]
    desk.recover()
    desk.wait(timedelta(days=2))
    desk.fire()
    assert (len(desk.fake.issues), desk.fake.issues[0]["open"]) == (2, False)
    assert desk.fake.issues[1]["body"].count("/acme/search/issues/1") == 1
    desk.fake.issues.pop()
    desk.recover()
    assert desk.tickets()[0].state == "gone"


def test_a_refusal_is_told_at_once_and_mended_by_itself_within_the_hour(desk: Desk) -> None:
    """Semantics: ticket.failing."""
    desk.team(github=PLACES["github"], fallback="noise")
    desk.channel("alarms")
    desk.channel("noise")
    desk.fake.answers = [("POST", "/issues", 403, {}, {"message": "Resource not accessible by personal access token"})]
    desk.fire()
    assert desk.told == ["noise: [ticket] slow-burn on search"]
    assert "Resource not accessible" in desk.stage.sent[0][1].text
    with desk.stage.db.transaction() as tx:
        [problem] = tickets.problems(tx)
    assert "403" in problem.message
    assert "watchbill tickets test search" in str(problem.hint)
    desk.wait(timedelta(hours=1))
    assert [one.state for one in desk.tickets()] == ["open"]
    with desk.stage.db.transaction() as tx:
        assert tickets.problems(tx) == []


def test_a_provider_that_is_down_is_tried_with_growing_pauses_and_told_after_an_hour(desk: Desk) -> None:
    desk.team(gitlab=PLACES["gitlab"])
    desk.channel("alarms")
    desk.fake.answers = [("POST", "/issues", 502, {}, {}) for _ in range(8)]
    desk.fire()
    desk.wait(timedelta(minutes=50))
    assert (desk.told, len([one for one in desk.fake.seen if one[0] == "POST"])) == ([], 6)
    desk.wait(timedelta(hours=1))
    assert desk.told == ["alarms: [ticket] slow-burn on search"]
    desk.wait(timedelta(hours=3))
    assert ([one.state for one in desk.tickets()], len(desk.fake.issues)) == (["open"], 1)


def test_a_providers_limit_is_kept_for_everything_over_its_connection(desk: Desk) -> None:
    desk.team(jira=PLACES["jira"])
    desk.fake.answers = [("POST", "/issue", 429, {"Retry-After": "600"}, {"errorMessages": ["Rate limit exceeded"]})]
    desk.fire()
    desk.stage.fire("another", "search", urgency="ticket")
    desk.work()
    desk.wait(timedelta(minutes=9))
    assert len(desk.fake.seen) == 1
    desk.wait(timedelta(minutes=2))
    assert (len(desk.fake.issues), desk.told) == (2, [])


def test_a_workflow_that_cannot_be_closed_says_so_and_the_ticket_counts_as_ended(desk: Desk) -> None:
    desk.team(jira=PLACES["jira"])
    desk.fire()
    desk.fake.answers = [("GET", "transitions", 200, {}, {"transitions": []})]
    desk.recover()
    [ticket] = desk.tickets()
    assert (ticket.state, ticket.error) == ("closed", "its workflow offers no step to a status that is done")
    assert "It has ended." in desk.fake.issues[0]["comments"][0]


def test_a_chat_channel_hears_of_the_ticket_and_of_its_end_and_nothing_of_an_alert_that_ended_before(
    desk: Desk,
) -> None:
    desk.team(channel="room", environments=["production", "staging"])
    desk.fire()
    assert [one.state for one in desk.tickets()] == ["wanted"]
    assert "no channel 'room'" in str(desk.tickets()[0].error)
    desk.channel("room")
    desk.wait(timedelta(hours=1))
    desk.recover()
    frank, *rest = desk.told  # without any channel the members hear by mail that there is none
    assert frank.startswith("frank@")
    assert rest[1:] == ["room: [ticket] slow-burn on search"] * 2
    desk.stage.fire("brief", "search", urgency="ticket")
    desk.stage.recover("brief")
    desk.work()
    assert len(desk.tickets()) == 1


def test_comment_instead_of_close_and_pages_and_other_environments_make_no_ticket(desk: Desk) -> None:
    desk.team(github=PLACES["github"], whenResolved="comment")
    desk.fire(environment="staging")
    assert desk.fake.issues == []
    desk.recover()
    desk.fire(urgency="page")
    assert desk.tickets() == []
    desk.fire()
    desk.recover()
    [issue] = desk.fake.issues
    assert (issue["open"], len(issue["comments"])) == (True, 1)


@pytest.fixture
def source(stage: Stage) -> Callable[..., None]:
    def note(*, answered: bool) -> None:
        with stage.db.transaction() as tx:
            slo.note_source(tx, name="prometheus:default", answered=answered, error="" if answered else "refused")
        stage.work()

    return note


@pytest.mark.parametrize("owned", [True, False])
def test_a_source_that_is_down_pages_its_owner_after_ten_minutes_else_the_fallback(
    stage: Stage, source: Callable[..., None], owned: bool
) -> None:
    """Semantics: slo.source_down."""
    if owned:
        stage.service("prometheus", owner="storefront", sources=["prometheus:default"])
    source(answered=True)
    source(answered=False)
    stage.clock.advance(timedelta(minutes=9))
    source(answered=False)
    with stage.db.transaction() as tx:
        assert alerts.open_alerts(tx) == []
    stage.clock.advance(timedelta(minutes=1))
    source(answered=False)
    detail = stage.incident()
    assert detail.incident.unowned is not owned
    assert stage.page().team_id == stage.teams["storefront" if owned else "platform"]
    source(answered=True)
    with stage.db.transaction() as tx:
        assert alerts.open_alerts(tx) == []
