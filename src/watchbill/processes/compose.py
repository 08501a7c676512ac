"""The one composition root: which pools, app and loops each process is made of.

A process is data, a `ProcessPlan`. Its ``build`` function lives in the process's own module and is
imported only by that process, so that the pager never loads what only the observer needs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from watchbill.kernel.errors import NotFound, SetupError
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database
from watchbill.runtime.loops import Loop
from watchbill.runtime.postgres import EmbeddedPostgres


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """Connections of one purpose."""

    size: int
    statement_timeout_ms: int = 15_000


class ProcessPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of process.

    ``build`` is ``module:function``, called with a `Context`. ``port`` names the field of `Settings`
    it serves HTTP on; None means only its health is served.
    """

    name: str
    duty: str
    build: str
    pools: Mapping[str, Pool]
    port: str | None = None
    health_port: int = 0


PLANS: Mapping[str, ProcessPlan] = {
    plan.name: plan
    for plan in (
        ProcessPlan(
            name="server",
            duty="intake, JSON API and web UI",
            build="watchbill.processes.server:build",
            port="port",
            pools={"health": Pool(size=2, statement_timeout_ms=5_000)},
        ),
        ProcessPlan(
            name="pager",
            duty="moves pages and sends notifications",
            build="watchbill.processes.pager:build",
            pools={"pager": Pool(size=12)},
            health_port=8081,
        ),
        ProcessPlan(
            name="observer",
            duty="takes OTLP, keeps SLI counts, evaluates SLOs",
            build="watchbill.processes.observer:build",
            port="otlp_port",
            pools={"observer": Pool(size=6, statement_timeout_ms=60_000)},
        ),
        ProcessPlan(
            name="worker",
            duty="whatever may wait: records, digests, retention",
            build="watchbill.processes.worker:build",
            pools={"worker": Pool(size=3, statement_timeout_ms=300_000)},
            health_port=8082,
        ),
    )
}


class Background(Protocol):
    """Something that runs beside app and loops."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Context:
    """What a process is built from. Pools connect at first use and are closed together."""

    def __init__(self, plan: ProcessPlan, settings: Settings, database_url: str) -> None:
        self.plan = plan
        self.settings = settings
        self.database_url = database_url
        self._databases: dict[str, Database] = {}

    def database(self, pool: str) -> Database:
        """The pool of that name, as planned for this process."""
        if pool not in self._databases:
            planned = self.plan.pools[pool]
            self._databases[pool] = Database(
                self.database_url,
                name=f"watchbill {self.plan.name} {pool}",
                pool_size=planned.size,
                statement_timeout_ms=planned.statement_timeout_ms,
            )
        return self._databases[pool]

    def open(self, name: str, size: int) -> Database:
        """A pool that the process plans itself, such as a lane of the server."""
        return self._databases.setdefault(name, Database(self.database_url, name=f"watchbill {name}", pool_size=size))

    def close(self) -> None:
        """Close every connection."""
        for database in self._databases.values():
            database.dispose()


class Parts(msgspec.Struct, kw_only=True):
    """What a process runs: an ASGI ``app`` or none, ``loops``, and what else has to be started and stopped.

    ``ready`` answers /readyz beyond "can write to PostgreSQL". ``on_stop`` is called as soon as the
    process is told to stop, before open connections are waited for: streams say goodbye there.
    """

    app: Any = None
    loops: Sequence[Loop] = ()
    background: Sequence[Background] = ()
    ready: Callable[[], str | None] | None = None
    on_stop: Callable[[], None] | None = None


def plan_of(name: str) -> ProcessPlan:
    """The plan of a process.

    Raises:
        NotFound: there is no such process.
    """
    if name not in PLANS:
        raise NotFound(f"there is no process '{name}'", hint=f"one of: {', '.join(PLANS)}")
    return PLANS[name]


def build(context: Context) -> Parts:
    """Import the process's own module and put it together."""
    module, _, function = context.plan.build.partition(":")
    parts: Parts = getattr(importlib.import_module(module), function)(context)
    return parts


def database_url_of(settings: Settings) -> str:
    """The database: the given one, else the embedded one that runs in this home.

    Raises:
        SetupError: neither is there.
    """
    if settings.database_url:
        return settings.database_url
    embedded = EmbeddedPostgres(settings.home)
    if embedded.pid() is None:
        raise SetupError(
            f"no database: WATCHBILL_DATABASE_URL is not set and no embedded PostgreSQL runs in {settings.home}",
            code="no_database",
            hint="start `watchbill up`, or set WATCHBILL_DATABASE_URL",
        )
    return embedded.url
