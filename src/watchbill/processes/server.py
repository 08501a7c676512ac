"""The server: intake, JSON API and web UI over PostgreSQL; keeps nothing of its own."""

from __future__ import annotations

from litestar.datastructures import State

from watchbill.api.app import create_app
from watchbill.api.pools import Lanes
from watchbill.api.replies import reply_router
from watchbill.features import alerts
from watchbill.intake.changes.http import change_router
from watchbill.intake.http import intake_router
from watchbill.processes.compose import Context, Parts
from watchbill.runtime.db import Database
from watchbill.runtime.loops import Loop
from watchbill.runtime.signing import Signer
from watchbill.web.app import web_router
from watchbill.web.live import Broadcaster
from watchbill.web.shell import Web


def build(context: Context) -> Parts:
    """One Litestar app over separate lanes, so that slow screens cannot stop intake or an acknowledgement."""
    settings = context.settings
    lanes = Lanes.over(context.open)
    live = Broadcaster(context.database_url)
    web = Web(settings=settings, lanes=lanes, signer=Signer(settings.secret_keys), live=live)
    app = create_app(
        settings=settings,
        lanes=lanes,
        handlers=[intake_router(), reply_router(), change_router(), web_router(web)],
        on_startup=[live.start],
        state=State({"live": live}),
    )
    return Parts(app=app, loops=[intake_beat(context.database("health"))], on_stop=live.close)


def intake_beat(db: Database) -> Loop:
    """Says that intake is alive; the time nobody said so does not count towards any alert's expiry."""

    def beat() -> int:
        with db.transaction() as tx:
            alerts.beat_intake(tx)
        return 0

    return Loop("intake-beat", beat, idle_seconds=alerts.BEAT_EVERY.total_seconds())
