"""What nobody owns goes to the fallback team, else to the administrators; it is said when that reaches nobody."""

from __future__ import annotations

import sqlalchemy as sa

from tests.journeys.stage import ACTOR, Stage
from watchbill.features import identity, paging
from watchbill.features.catalog.store import team
from watchbill.features.identity.store import contact_method


def said(stage: Stage) -> str | None:
    with stage.db.transaction() as tx:
        problem = paging.last_resort_problem(tx)
    return problem.message if problem else None


def without_a_fallback(stage: Stage) -> None:
    with stage.db.transaction() as tx:
        tx.execute(sa.update(team).values(fallback=False))


def test_a_fallback_team_that_can_be_reached_is_enough(stage: Stage) -> None:
    assert said(stage) is None


def test_without_a_fallback_team_or_an_admin_it_is_said_that_nobody_hears(stage: Stage) -> None:
    without_a_fallback(stage)
    assert "no team says fallback: true, and no admin can be reached" in str(said(stage))


def test_an_admin_who_can_be_reached_is_paged_for_what_nobody_owns(stage: Stage) -> None:
    """paged.unowned"""
    without_a_fallback(stage)
    with stage.db.transaction() as tx:
        identity.change_person(tx, person_id=stage.people["charlie"], role="admin", actor=ACTOR)
    assert said(stage) is None
    stage.fire(service="unheard-of")
    assert stage.addresses() == ["charlie"]


def test_a_fallback_team_that_nobody_can_reach_is_said_too(stage: Stage) -> None:
    with stage.db.transaction() as tx:
        tx.execute(sa.delete(contact_method).where(contact_method.c.person_id == stage.people["dana"]))
    assert "neither the fallback team platform nor an admin can be reached" in str(said(stage))
