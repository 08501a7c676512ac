"""What to do about a ticket, what an answer of a provider means, and who may use which connection."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trackers_api import connections_of, fake_trackers
from watchbill.features.tickets import Place, Said, Ticket, TrackerError
from watchbill.features.tickets import logic as tickets
from watchbill.kernel.errors import SetupError
from watchbill.kernel.ids import new_id
from watchbill.runtime.http_out import Answer, HttpOut
from watchbill.trackers import Trackers, read_connections
from watchbill.trackers.base import escaped, fenced, limit_seconds
from watchbill.trackers.github import GitHub

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
PLACE = Place(provider="github", project="acme/shop", connection="github")


def ticket(**more: object) -> Ticket:
    made = Ticket(
        id=new_id(),
        alert_id=new_id(),
        integration_id=new_id(),
        identity="slo:1",
        team_id=new_id(),
        title="slow",
        place=PLACE,
        state="open",
        marker="watchbill-ticket-1",
        ref="1",
        url=None,
        said=Said(firing=True, urgency="ticket", severity="warning"),
        comments=0,
        tried_at=None,
        attempts=0,
        failing_at=None,
        told_at=None,
        error=None,
        created_at=NOW,
        opened_at=NOW,
        closed_at=None,
        looked_at=NOW,
    )
    return msgspec.structs.replace(made, **more)


abouts = st.builds(
    tickets.About,
    id=st.just(new_id()),
    firing=st.booleans(),
    urgency=st.sampled_from(["page", "ticket"]),
    severity=st.sampled_from(["error", "warning"]),
    environment=st.just("production"),
)


@given(
    about=abouts,
    state=st.sampled_from(["wanted", "open", "closed", "closed_outside", "gone", "dropped", "failed"]),
    said=st.none() | st.builds(Said, firing=st.booleans(), urgency=st.just("ticket"), severity=st.just("warning")),
    when=st.sampled_from(["close", "comment"]),
)
def test_people_are_not_fought_and_what_was_said_is_not_said_again(
    about: tickets.About, state: str, said: Said | None, when: str
) -> None:
    one = ticket(state=state, said=said)
    decision = tickets.decide(one, about, when_resolved=when, now=NOW)
    if state in ("closed_outside", "gone", "dropped", "failed"):
        assert decision.want_open is None
    if state in ("gone", "dropped", "failed") or (said == about.said and state != "wanted"):
        assert decision.kind == "none"
    if decision.want_open is False:
        assert not about.firing
        assert when == "close"
    if decision.want_open:
        assert about.firing
    if decision.kind == "update":
        assert decision.comment


@pytest.mark.parametrize(
    ("state", "closed", "project", "taken"),
    [
        ("open", None, "acme/shop", True),
        ("open", None, "acme/other", False),
        ("closed", timedelta(days=6), "acme/shop", True),
        ("closed", timedelta(days=8), "acme/shop", False),
        ("closed_outside", timedelta(hours=23), "acme/shop", True),
        ("closed_outside", timedelta(hours=25), "acme/shop", False),
        ("gone", timedelta(), "acme/shop", False),
    ],
)
def test_a_new_episode_takes_a_recent_ticket_over(
    state: str, closed: timedelta | None, project: str, taken: bool
) -> None:
    one = ticket(state=state, closed_at=None if closed is None else NOW - closed)
    place = msgspec.structs.replace(PLACE, project=project)
    assert (tickets.takes_over(one, place, now=NOW) is not None) is taken


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "30"}, 30),
        ({"Retry-After": format_datetime(NOW + timedelta(seconds=90))}, 90),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW.timestamp()) + 600)}, 600),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2026-03-02T09:01Z"}, 60),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": str(int(NOW.timestamp()) + 5)}, 5),
        ({"X-RateLimit-Remaining": "9", "X-RateLimit-Reset": str(int(NOW.timestamp()) + 600)}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_a_providers_limit_is_read_in_every_documented_form(headers: dict[str, str], seconds: float | None) -> None:
    assert limit_seconds(Answer(status=429, headers=headers, body=b""), now=NOW) == seconds


def test_foreign_text_mentions_nobody_and_does_not_end_its_block() -> None:
    assert escaped("@all *x*") == "@\u200ball \\*x\\*"
    assert fenced("a\n~~~\nb") == "~~~~text\na\n~~~\nb\n~~~~"


@pytest.mark.parametrize(
    ("status", "headers", "permanent", "unsure", "limited"),
    [
        (401, {}, True, False, False),
        (403, {}, True, False, False),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9999999999"}, False, False, True),
        (404, {}, True, False, False),
        (410, {}, True, False, False),
        (422, {}, True, False, False),
        (429, {}, False, False, True),
        (500, {}, False, True, False),
        (503, {"Retry-After": "7"}, False, True, True),
    ],
)
def test_what_a_refused_issue_means(
    status: int, headers: dict[str, str], *, permanent: bool, unsure: bool, limited: bool, tmp_path: Path
) -> None:
    file = tmp_path / "tickets.yaml"
    http = HttpOut(allow_private=True)
    with fake_trackers() as fake:
        file.write_text(connections_of(fake.url))
        fake.answers = [("POST", "/issues", status, headers, {"message": "no", "errors": [{"code": "invalid"}]})]
        tracker = Trackers(file, environment={"FAKE_TOKEN": "the-token"}, http=http)("shop", PLACE)
        with pytest.raises(TrackerError, match=f"GitHub answered {status}: no; invalid") as refused:
            tracker.create(PLACE, tickets_draft())
    assert (refused.value.permanent, refused.value.unsure) == (permanent, unsure)
    assert (refused.value.retry_after_seconds is not None) is limited
    with pytest.raises(TrackerError, match="cannot be reached") as down:
        tracker.create(PLACE, tickets_draft())
    assert (down.value.permanent, down.value.unsure) == (False, False)
    http.close()


def tickets_draft() -> object:
    from watchbill.features.tickets import sample

    return sample(team="shop", base_url="https://watchbill.test", id=new_id())


def test_a_connection_is_only_for_its_teams_and_projects_and_a_missing_token_is_said(tmp_path: Path) -> None:
    file = tmp_path / "tickets.yaml"
    file.write_text("github: {provider: github, token: 'env:NOPE', teams: [shop], projects: ['acme/*']}")
    trackers = Trackers(file, environment={})
    assert isinstance(trackers("shop", PLACE), GitHub)
    for team, place, why in (
        ("other", PLACE, "not for team other"),
        ("shop", msgspec.structs.replace(PLACE, project="evil/shop"), "is for acme/\\*, not for evil/shop"),
        ("shop", msgspec.structs.replace(PLACE, connection="x"), "there is no connection 'x'"),
        ("shop", Place(provider="gitlab", project="a/b", connection="github"), "is to github, not gitlab"),
    ):
        with pytest.raises(TrackerError, match=why):
            trackers(team, place)
    assert [problem.message for problem in trackers.problems()] == ["the token of 'github' is not there (env:NOPE)"]
    file.write_text("github: {provider: github, token: ghp_secret}\njira: {provider: jira, token: 'env:A'}\n")
    with pytest.raises(SetupError) as wrong:
        read_connections(file)
    assert [problem.place for problem in wrong.value.problems] == [f"{file}:1:9", f"{file}:2:7"]
    assert "ghp_secret" not in str(wrong.value.problems)
    assert len(trackers.problems()) == 2
    with pytest.raises(TrackerError, match="file of connections is wrong"):
        trackers("shop", PLACE)
