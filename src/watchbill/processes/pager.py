"""The pager: moves pages and sends notifications. Needs PostgreSQL and the network, nothing else."""

from __future__ import annotations

from datetime import timedelta

from watchbill.channels import Context as ChannelContext
from watchbill.channels import Sender
from watchbill.features import paging, suspects
from watchbill.features.paging import SendNotification, SignedLinks
from watchbill.processes.compose import Context, Parts
from watchbill.processes.due_loops import inside_loop, sending_loops
from watchbill.runtime.http_out import HttpOut
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
    settle_for = timedelta(seconds=settings.settle_seconds)
    return Parts(
        loops=[
            inside_loop("routing", db, paging.routing_duties(settle_for=settle_for, advisers=[suspects.advise])),
            inside_loop("steps", db, paging.page_duties()),
            *sending_loops("notifications", db, SendNotification(send=sender, links=links), threads=SENDERS),
        ]
    )
