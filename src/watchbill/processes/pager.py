"""The pager: moves pages and sends notifications. Needs PostgreSQL and the network, nothing else."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from watchbill.channels import Context as ChannelContext
from watchbill.channels import Sender
from watchbill.features import paging
from watchbill.features.paging import SendNotification, SignedLinks
from watchbill.processes.compose import Context, Parts
from watchbill.runtime import due
from watchbill.runtime.db import Database
from watchbill.runtime.due import InsideDuty
from watchbill.runtime.http_out import HttpOut
from watchbill.runtime.loops import Loop
from watchbill.runtime.signing import Signer

SENDERS = 8
"""How many providers are talked to at the same time."""


def build(context: Context) -> Parts:
    """Routing, steps and notifications, each on a loop of its own, so that an alert storm delays no step."""
    db = context.database("pager")
    settings = context.settings
    sender = Sender(
        ChannelContext(
            http=HttpOut(allow_private=settings.allow_private_addresses),
            smtp_url=settings.smtp_url,
            mail_from=settings.mail_from,
            allow_private_addresses=settings.allow_private_addresses,
        )
    )
    links = SignedLinks(base_url=settings.base_url, signer=Signer(settings.secret_keys))
    return Parts(
        loops=[
            inside_loop("routing", db, paging.routing_duties(settle_for=timedelta(seconds=settings.settle_seconds))),
            inside_loop("steps", db, paging.page_duties()),
            sending_loop("notifications", db, SendNotification(send=sender, links=links)),
        ]
    )


def inside_loop(name: str, db: Database, duties: Sequence[InsideDuty], *, batch: int = 50) -> Loop:
    """A loop that works off due rows inside transactions."""
    kinds = [duty.kind for duty in duties]
    return Loop(
        name,
        lambda: due.work_inside(db, duties, limit=batch),
        channels=kinds,
        idle_seconds=1.0,
        due_in=lambda: seconds_until_due(db, kinds),
        batch=batch,
    )


def sending_loop(name: str, db: Database, duty: SendNotification) -> Loop:
    """A loop that sends on bounded threads; it never leases more than threads are free to take up at once."""
    threads = _FreeThreads(SENDERS)

    def work() -> int:
        done = 0
        while free := threads.wait_for_one(timeout_seconds=1.0):
            claimed = due.work_outside(db, duty, limit=free, executor=threads)
            done += claimed
            if claimed < free:
                break
        return done

    return Loop(
        name,
        work,
        channels=[duty.kind],
        idle_seconds=1.0,
        due_in=lambda: seconds_until_due(db, [duty.kind]),
        batch=sys.maxsize,
    )


class _FreeThreads(ThreadPoolExecutor):
    """An executor that knows how many of its threads have nothing to do."""

    def __init__(self, size: int) -> None:
        super().__init__(size, thread_name_prefix="send")
        self._free = size
        self._changed = threading.Condition()

    def wait_for_one(self, *, timeout_seconds: float) -> int:
        """How many threads are free; 0 when none was for that long."""
        with self._changed:
            self._changed.wait_for(lambda: self._free > 0, timeout_seconds)
            return self._free

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        with self._changed:
            self._free -= 1
        future = super().submit(fn, *args, **kwargs)
        future.add_done_callback(self._freed)
        return future

    def _freed(self, _: Future[Any]) -> None:
        with self._changed:
            self._free += 1
            self._changed.notify()


def seconds_until_due(db: Database, kinds: Sequence[str]) -> float | None:
    """How long until the next row of these kinds can be claimed; None when there is none."""
    with db.transaction() as tx:
        at = due.next_due_at(tx, kinds=kinds)
        return None if at is None else (at - tx.now).total_seconds()
