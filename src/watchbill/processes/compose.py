"""The one composition root: settings and plan in, pools, app and loops out.

A process is data, a `plans.ProcessPlan`. Its ``build`` function lives in the process's own module and
is imported only by that process, so that the pager never loads what only the observer needs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from watchbill.kernel.errors import SetupError
from watchbill.processes.plans import ProcessPlan
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database
from watchbill.runtime.loops import Loop
from watchbill.runtime.postgres import EmbeddedPostgres


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


def load(plan: ProcessPlan) -> Callable[[Context], Parts]:
    """Import the process's own module; returns its ``build``."""
    module, _, function = plan.build.partition(":")
    found: Callable[[Context], Parts] = getattr(importlib.import_module(module), function)
    return found


def build(context: Context) -> Parts:
    """Put the process together."""
    return load(context.plan)(context)


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
