"""What is behind the signed link in a page's message.

GET shows, POST acts: previews and scanners that open links acknowledge nothing.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

from litestar import Response, get, post
from litestar.params import FromPath

from watchbill.features import catalog, identity, paging
from watchbill.features.identity import Caller
from watchbill.features.incidents import Incident
from watchbill.features.paging import Page
from watchbill.kernel.errors import Conflict, Forbidden, NotFound, Problem
from watchbill.runtime.db import Tx
from watchbill.web import shell
from watchbill.web.shell import AnyRequest, GivenWeb, Web


@get("/a/{signed:str}", sync_to_thread=True)
def show(request: AnyRequest, web: GivenWeb, signed: FromPath[str]) -> Response[str]:
    """What the page is about, and one large button. Changes nothing."""
    with web.act.transaction() as tx:
        caller, page, incident = _opened(tx, web, signed)
        return _render(request, tx, caller, page, incident)


@post("/a/{signed:str}", sync_to_thread=True, status_code=200, opt={"lane": "act"})
def acknowledge(request: AnyRequest, web: GivenWeb, signed: FromPath[str]) -> Response[str]:
    """Acknowledge as the person the link was sent to. The link is the proof; no sign-in is needed."""
    with web.act.transaction() as tx:
        caller, page, incident = _opened(tx, web, signed)
        refused: Problem | None = None
        try:
            with tx.savepoint():
                page = paging.acknowledge_page(tx, page_id=page.id, caller=caller, via="link")
        except (Forbidden, Conflict) as error:
            refused = error.problem
        return _render(request, tx, caller, page, incident, refused=refused, status=409 if refused else 200)


def _opened(tx: Tx, web: Web, signed: str) -> tuple[Caller, Page, Incident]:
    person_id, page_id = paging.open_link(web.signer, signed, now=tx.now)
    found = paging.page_with_incident(tx, page_id=page_id)
    if found is None:
        raise NotFound("the page that this link was sent for is gone")
    return paging.person_caller(tx, person_id=person_id), *found


def _render(
    request: AnyRequest,
    tx: Tx,
    caller: Caller,
    page: Page,
    incident: Incident,
    *,
    refused: Problem | None = None,
    status: int = 200,
) -> Response[str]:
    person = identity.person_by_id(tx, person_id=caller.id)
    detail = paging.incident_detail(tx, number=incident.number)
    by = identity.people(tx, ids=[page.acknowledged_by]) if page.acknowledged_by else {}
    return shell.page(
        request,
        "acknowledge.html",
        status=status,
        now=tx.now,
        zone=ZoneInfo(person.time_zone),
        title=f"Incident {incident.number}",
        reader=person,
        page=page,
        incident=incident,
        alerts=[alert for alert in detail.alerts if alert.is_open] or detail.alerts,
        team=catalog.team(tx, id=page.team_id) if page.team_id else None,
        by=by.get(page.acknowledged_by) if page.acknowledged_by else None,
        refused=refused,
    )


handlers = [show, acknowledge]
