"""The server: intake, JSON API and web UI over PostgreSQL; keeps nothing of its own."""

from __future__ import annotations

from watchbill.api.app import create_app
from watchbill.api.pools import Lanes
from watchbill.processes.compose import Context, Parts


def build(context: Context) -> Parts:
    """One Litestar app over separate lanes, so that slow screens cannot stop intake or an acknowledgement."""
    lanes = Lanes.over(context.open)
    return Parts(app=create_app(settings=context.settings, lanes=lanes))
