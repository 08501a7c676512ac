"""The pager: moves pages and sends notifications. Needs PostgreSQL and the network, nothing else."""

from __future__ import annotations

from datetime import timedelta

from watchbill.channels import Sender, context_of, limits_of
from watchbill.features import paging, suspects, tickets
from watchbill.features.paging import SendNotification, SignedLinks
from watchbill.processes.chat import SlackSocket, telegram_loop
from watchbill.processes.compose import Context, Parts
from watchbill.processes.due_loops import inside_loop, sending_loops
from watchbill.processes.heartbeat import Heartbeat, LagCollector
from watchbill.processes.reaching import push_key_of
from watchbill.runtime import metrics
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database
from watchbill.runtime.http_out import HttpOut
from watchbill.runtime.loops import Loop
from watchbill.runtime.signing import Signer

SENDERS = 8
"""How many providers are talked to at the same time."""


def build(context: Context) -> Parts:
    """Routing, steps and notifications, each on a loop of its own, so that an alert storm delays no step.

    What answers from chats, and the sign of life to the outside, run beside them and stop none of them.
    """
    db = context.database("pager")
    settings = context.settings
    channels = context_of(settings, push_key=push_key_of(db))
    sender = Sender(channels)
    links = SignedLinks(base_url=settings.base_url, signer=Signer(settings.secret_keys))
    settle_for = timedelta(seconds=settings.settle_seconds)
    paging_loops = [
        inside_loop(
            "routing",
            db,
            paging.routing_duties(settle_for=settle_for, advisers=[suspects.advise], followers=[tickets.follow]),
        ),
        inside_loop("steps", db, paging.page_duties()),
        *sending_loops("notifications", db, SendNotification(send=sender, links=links), threads=SENDERS),
    ]
    limits = limits_of(settings)
    metrics.registry.register(LagCollector(db))
    return Parts(
        loops=[
            *paging_loops,
            Loop("channel-limits", lambda: write_limits(db, limits), idle_seconds=600.0),
            *([telegram_loop(db, channels)] if settings.telegram_bot_token else []),
            *heartbeat_loops(db, settings, paging_loops),
        ],
        background=[SlackSocket(db, settings)] if settings.slack_app_token else [],
    )


def write_limits(db: Database, limits: dict[str, tuple[float, int]]) -> int:
    """Keep the channels' limits as the setting says; returns 0."""
    with db.transaction() as tx:
        if paging.throttles(tx) != limits:
            paging.set_throttles(tx, limits)
    return 0


def heartbeat_loops(db: Database, settings: Settings, watched: list[Loop]) -> list[Loop]:
    """The sign of life; without a URL only its metric says whether pages can go out."""
    urls = [url.strip() for url in (settings.heartbeat_urls or "").split(",") if url.strip()]
    return [Heartbeat(db, urls=urls, watched=watched, http=HttpOut(allow_private=True)).loop()]
