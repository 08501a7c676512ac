"""The screens composed: what they need, and every route of theirs."""

from __future__ import annotations

from litestar import Router
from litestar.di import Provide

from watchbill.web import (
    assets,
    availability,
    badges,
    capacity,
    changes,
    errors,
    home,
    incident_hands,
    incidents,
    links,
    live,
    me,
    ramps,
    reach,
    schedule,
    services,
    session,
    shell,
    slo_budget,
    slos,
    suspects,
    swaps,
    teams,
    traces,
)
from watchbill.web.shell import Web


def web_router(web: Web) -> Router:
    """Every page, fragment, asset and the live stream."""
    return Router(
        path="/",
        route_handlers=[
            assets.static_file,
            assets.favicon,
            *session.handlers,
            *home.handlers,
            *incidents.handlers,
            *incident_hands.handlers,
            *links.handlers,
            *suspects.handlers,
            *services.handlers,
            *changes.handlers,
            *teams.handlers,
            *schedule.handlers,
            *swaps.handlers,
            *availability.handlers,
            *slos.handlers,
            *slo_budget.handlers,
            *badges.handlers,
            *capacity.handlers,
            *ramps.handlers,
            *traces.handlers,
            *me.handlers,
            *reach.handlers,
            *live.handlers,
        ],
        dependencies={"web": Provide(lambda: web, sync_to_thread=False)},
        exception_handlers=errors.HANDLERS,
        after_request=shell.harden,
        include_in_schema=False,
    )
