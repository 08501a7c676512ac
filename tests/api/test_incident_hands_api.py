"""Snooze, hand over, reassign, cancel, page a team and merge over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.api.test_incidents_api import app, stage  # noqa: F401  fixtures of the same server
from tests.journeys.stage import Stage

Token = Callable[..., dict[str, str]]
Client = TestClient[Litestar]
Post = Callable[..., Any]


@pytest.fixture
def post(client: Client, token: Token, stage: Stage) -> Post:  # noqa: F811  the fixture, not the import
    """POST about incident 1, acknowledged by nobody yet."""
    stage.fire()
    headers = token("admin")

    def send(path: str, number: int = 1, status: int = 200, **body: Any) -> Any:
        answer = client.post(f"/api/v1/incidents/{number}/{path}", json=body, headers=headers)
        assert answer.status_code == status, answer.text
        stage.work()
        return answer.json()

    return send


def test_a_page_is_snoozed_cancelled_and_paged_again(post: Post) -> None:
    page = post("snooze", **{"for": "2h"})["pages"][0]
    assert (page["state"], page["snoozed"]) == ("acknowledged", True)
    assert post("snooze", status=400)["error"]["field"] == "until"
    assert post("snooze", status=400, **{"for": "soon"})["error"]["field"] == "for"
    assert post("cancel", status=400, why=" ")["error"]["field"] == "why"
    assert post("cancel", why="a rehearsal")["pages"][0]["ended_because"] == "cancelled: a rehearsal"
    assert post("cancel", status=409, why="again")["error"]["code"] == "no_open_page"
    assert post("pages", status=201, team="payments")["pages"][-1]["state"] == "escalating"
    assert post("pages", status=404, team="nobody")["error"]["field"] == "team"


def test_a_page_is_handed_over_and_reassigned(post: Post, stage: Stage) -> None:  # noqa: F811  the fixture
    stage.acknowledge("alice")
    page = post("hand-over", to="bob@example.org")["pages"][0]
    assert (page["acknowledged_by"], page["handover_to"]) == ("alice", "bob")
    assert post("hand-over/decline")["pages"][0]["handover_to"] is None
    assert post("reassign", status=400)["error"]["field"] == "to_team"
    pages = post("reassign", to_team="platform", why="theirs")["pages"]
    assert [(each["team"], each["state"]) for each in pages] == [("payments", "ended"), ("platform", "escalating")]


def test_incidents_are_merged_and_taken_apart(post: Post, stage: Stage) -> None:  # noqa: F811  the fixture
    stage.team("search", "frank")
    stage.service("search", owner="search")
    stage.fire("other", service="search")
    merged = post("merge", number=2, into=1)
    assert (merged["number"], merged["absorbed"], len(merged["alerts"])) == (1, [2], 2)
    assert post("merge", number=1, status=400, into=1)["error"]["field"] == "into"
    apart = post("unmerge", number=2)
    assert (apart["number"], apart["state"], apart["merged_into"]) == (2, "open", None)
