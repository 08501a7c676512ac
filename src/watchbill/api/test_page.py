"""A test page: the real escalation of a team, on purpose."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import post
from litestar.params import JSONBody

from watchbill.api.given import GivenCaller, GivenDb, GivenSettings
from watchbill.features import catalog, paging
from watchbill.kernel.errors import NotFound


class NewTestPage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to page: a team by its name."""

    team: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class StartedTestPage(msgspec.Struct, frozen=True, kw_only=True):
    """The incident that carries the test."""

    number: int
    url: str


@post("/test-page", sync_to_thread=True, opt={"lane": "act"}, status_code=201)
def start_test_page(
    caller: GivenCaller, db: GivenDb, settings: GivenSettings, data: JSONBody[NewTestPage]
) -> StartedTestPage:
    """Page a team's on-call now, saying that it is a test (members of the team, admins)."""
    with db.transaction() as tx:
        team = catalog.team_by_name(tx, name=data.team)
        if team is None:
            raise NotFound(f"there is no team '{data.team}'", field="team", hint="see `watchbill team list`")
        incident = paging.page_team_for_test(tx, team_id=team.id, caller=caller)
    return StartedTestPage(number=incident.number, url=f"{settings.base_url}/incidents/{incident.number}")


handlers = [start_test_page]
