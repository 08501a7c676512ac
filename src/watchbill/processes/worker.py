"""The worker: whatever may wait. Heavy libraries are imported only here."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from watchbill.channels import Context as ChannelContext
from watchbill.channels import Sender, context_of
from watchbill.features import alerts, digest, evidence, identity, oncall, rollback, suspects, tickets
from watchbill.features.telemetry import Observer
from watchbill.processes import reaching
from watchbill.processes.compose import Context, Parts
from watchbill.processes.due_loops import inside_loop, sending_loops
from watchbill.processes.kubernetes_watch import kubernetes_loops
from watchbill.runtime import ledger
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database, Tx
from watchbill.runtime.loops import Loop
from watchbill.runtime.signing import Signer
from watchbill.trackers import Trackers

_MINUTE = 60.0
_HOUR = 3600.0
_SENDERS = 2

log = structlog.get_logger("watchbill.worker")


def build(context: Context) -> Parts:
    """Each duty is a loop; none of them is in the way of a page."""
    db = context.database("worker")
    channels = context_of(context.settings, push_key=reaching.push_key_of(db))
    return Parts(
        loops=[
            Loop("ledger-partitions", lambda: make_ledger_partitions(db), idle_seconds=6 * _HOUR),
            Loop("oncall-record", lambda: record_on_call(db), idle_seconds=_MINUTE),
            Loop("sessions", lambda: forget_sessions(db), idle_seconds=_HOUR),
            Loop("deliveries", lambda: forget(db, alerts.forget_deliveries), idle_seconds=_HOUR),
            Loop("old-alerts", lambda: forget(db, alerts.forget_alerts), idle_seconds=_HOUR),
            Loop("old-evidence", lambda: forget(db, evidence.forget_evidence), idle_seconds=_HOUR),
            *_change_loops(db, context.settings),
            *_reaching_loops(db, context.settings, channels),
            *kubernetes_loops(db, context.settings),
            *_capacity_loops(db, context.settings),
            *_digest_loops(db, context.settings, channels),
            *_ticket_loops(db, context.settings, channels),
        ]
    )


def _reaching_loops(db: Database, settings: Settings, channels: ChannelContext) -> list[Loop]:
    """Codes, tests and test pages; Slack's user groups; alerts about ourselves."""
    duty = identity.SendContactMessage(
        send=Sender(channels), base_url=settings.base_url, signer=Signer(settings.secret_keys)
    )
    return [
        *sending_loops("contact-messages", db, duty, threads=_SENDERS),
        *reaching.test_page_loop(db, settings),
        *([reaching.UserGroups(db, channels).loop()] if settings.slack_bot_token else []),
        reaching.self_watch_loop(db),
    ]


def _change_loops(db: Database, settings: Settings) -> list[Loop]:
    """Rank what may have caused an incident, act on it where the team lets us, and watch what comes of it."""
    observer = Observer(settings.observer_base_url, Signer(settings.secret_keys))
    duty = suspects.RankSuspects(observer=observer, on_ranked=rollback.consider, undone=rollback.undone_in_vain)
    return [
        *sending_loops("suspects", db, duty, threads=_SENDERS),
        inside_loop("rollbacks", db, rollback.duties()),
        Loop("rollouts", lambda: suspects.judge_rollouts(db, observer), idle_seconds=_MINUTE / 2),
        *sending_loops("recoveries", db, rollback.VerifyRun(observer=observer), threads=1),
    ]


def _capacity_loops(db: Database, settings: Settings) -> list[Loop]:
    """Every night's forecasts, and those of services that something was just told about."""
    from watchbill.features.capacity import nightly, ramping
    from watchbill.features.capacity.prometheus import DemandPuller
    from watchbill.features.slo.prometheus import servers_of

    observer = Observer(settings.observer_base_url, Signer(settings.secret_keys))
    puller = DemandPuller(db=db, servers=servers_of(settings.prometheus_urls))
    return [
        Loop("capacity-night", lambda: min(0, nightly.work_night(db, observer)), idle_seconds=10 * _MINUTE),
        Loop("capacity-prometheus", puller.pull, idle_seconds=10 * _MINUTE),
        inside_loop("capacity", db, [nightly.ForecastService()], batch=10),
        *sending_loops("ramps", db, ramping.WatchRamp(observer), threads=1),
    ]


def _ticket_loops(db: Database, settings: Settings, channels: ChannelContext) -> list[Loop]:
    """Tickets one at a time: trackers ask not to be written to at once (GitHub: best practices for its REST API)."""
    sender = Sender(channels)
    duty = tickets.SyncTicket(trackers=Trackers(settings.tickets_file), send=sender, base_url=settings.base_url)
    return [
        *sending_loops("tickets", db, duty, threads=1),
        *sending_loops("ticket-messages", db, tickets.TellTeam(send=sender), threads=1),
    ]


def _digest_loops(db: Database, settings: Settings, channels: ChannelContext) -> list[Loop]:
    if not settings.smtp_url:
        log.info("no daily digests: no mail server is set (WATCHBILL_SMTP_URL)")
        return []
    sender = Sender(channels)
    return [
        Loop("digest-rows", lambda: keep_digest_rows(db), idle_seconds=_MINUTE),
        inside_loop("digests", db, [digest.WriteDigest(base_url=settings.base_url)], batch=10),
        *sending_loops("digest-mails", db, digest.SendDigest(send=sender), threads=_SENDERS),
    ]


def make_ledger_partitions(db: Database) -> int:
    """Make the ledger's partitions for the coming months; returns 0, nothing is left after one run."""
    with db.transaction() as tx:
        ledger.ensure_partitions(tx)
    return 0


def record_on_call(db: Database) -> int:
    """Carry the record of who was on call forward; returns 0, one pass does all teams."""
    oncall.record_loop_work(db)
    return 0


def forget_sessions(db: Database) -> int:
    """Delete sessions that have ended; returns 0, one pass does all."""
    with db.transaction() as tx:
        identity.forget_expired_sessions(tx)
    return 0


def forget(db: Database, batch: Callable[[Tx], int]) -> int:
    """One batch of a deletion; returns how many, so that the loop goes on at once until nothing is left."""
    with db.transaction() as tx:
        return batch(tx)


def keep_digest_rows(db: Database) -> int:
    """Give every team its digest's due row; returns 0, one pass does all teams."""
    with db.transaction() as tx:
        digest.keep_rows(tx)
    return 0
