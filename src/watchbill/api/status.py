"""How Watchbill itself is."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import httpx
import msgspec
from litestar import get

from watchbill import __version__
from watchbill.api.given import GivenCaller, GivenDb, GivenSettings
from watchbill.features import changes, identity, paging, slo, tickets
from watchbill.kernel.errors import Problem
from watchbill.runtime import due, migrate
from watchbill.runtime.config import Settings
from watchbill.runtime.due import Backlog
from watchbill.trackers import Trackers

_LATE_SECONDS = 30.0
_ASK_SECONDS = 2.0


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """``unknown`` when there is nothing to tell it by; ``why`` says what was seen."""

    name: str
    state: Literal["up", "late", "down", "unknown"]
    why: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Version, clock and schema of the state database, processes, what is due now, by kind, and what is
    wrong with the watch as a whole.
    """

    version: str
    now: datetime
    schema: str | None
    schema_wanted: str
    processes: list[ProcessStatus]
    backlog: list[Backlog]
    warnings: list[Problem]


@get("/status", sync_to_thread=True)
def show_status(caller: GivenCaller, db: GivenDb, settings: GivenSettings) -> Status:
    """How each process is, the schema's version, and what waits."""
    identity.require(caller, "read")
    with db.transaction() as tx:
        now, backlog, problem = tx.now, due.backlog(tx), paging.last_resort_problem(tx)
        watching = changes.watch_problems(changes.watches(tx), now=now)
        watching += slo.source_problems(tx, embedded=settings.telemetry_url is None)
        watching += tickets.problems(tx)
    return Status(
        version=__version__,
        now=now,
        schema=migrate.current(db.url),
        schema_wanted=migrate.head(),
        processes=[
            ProcessStatus(name="server", state="up", why="it answered this"),
            _working(settings, "pager", [line for line in backlog if line.kind.startswith(_PAGER_KINDS)]),
            _observer(settings),
            _working(settings, "worker", [line for line in backlog if line.kind.startswith(_WORKER_KINDS)]),
        ],
        backlog=backlog,
        warnings=[*([problem] if problem else []), *watching, *Trackers(settings.tickets_file).problems()],
    )


_PAGER_KINDS = ("alert.", "page.", "incident.", "notification.")
_WORKER_KINDS = ("contact.", "digest.", "ticket.")


def _working(settings: Settings, name: str, mine: list[Backlog]) -> ProcessStatus:
    """A process that works off due rows is judged by how old its oldest is; one of this home is asked, too."""
    note = settings.home / "run" / f"{name}.url"
    try:
        url = note.read_text().strip()
    except OSError:
        url = ""  # another machine's, or started without `watchbill up`
    if url:
        asked = _ask(name, url)
        if asked.state != "up":
            return asked
    oldest = max((line.oldest_seconds for line in mine), default=0.0)
    if oldest > _LATE_SECONDS:
        return ProcessStatus(name=name, state="late", why=f"its oldest due row waits {oldest:.0f} s")
    return ProcessStatus(name=name, state="up", why="nothing is overdue")


def _observer(settings: Settings) -> ProcessStatus:
    return _ask("observer", settings.observer_base_url)


def _ask(name: str, url: str) -> ProcessStatus:
    try:
        answer = httpx.get(f"{url}/healthz", timeout=_ASK_SECONDS, trust_env=False)
    except httpx.HTTPError as error:
        return ProcessStatus(name=name, state="down", why=f"{url}: {error}")
    state: Literal["up", "down"] = "up" if answer.status_code == 200 else "down"
    return ProcessStatus(name=name, state=state, why=f"/healthz answered {answer.status_code}")


handlers = [show_status]
