"""The server: intake, JSON API and web UI over PostgreSQL; keeps nothing of its own."""

from __future__ import annotations

from watchbill.api.app import create_app
from watchbill.processes.compose import Context, Parts


def build(context: Context) -> Parts:
    """One Litestar app over three pools, so that slow screens cannot stop intake or an acknowledgement."""
    return Parts(app=create_app(settings=context.settings, databases=context.databases()))
