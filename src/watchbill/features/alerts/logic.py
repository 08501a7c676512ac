"""What an event means for an alert: pure decisions, with their reason. No I/O, no clock."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from watchbill.features.alerts.model import AlertState, Event, Outcome

HOLD_FOR = timedelta(minutes=30)
"""A person resolved it; if the source still fires after this, it fires again."""

STALE_FOR = timedelta(hours=24)
"""A stale alert whose incident is acknowledged ends after this."""


class Decision(msgspec.Struct, frozen=True):
    """What to do with one event, and why."""

    outcome: Outcome
    state: AlertState | None
    reason: str


def decide(state: AlertState | None, source_at: datetime | None, event: Event, now: datetime) -> Decision:
    """Decide what an event does to the open alert of its identity.

    ``state`` is None when no open alert has the identity; ``source_at`` is the source's time of the
    newest trigger seen. An older resolve never closes a newer trigger, and an older trigger never
    undoes a newer state.
    """
    at = event.occurred_at or now
    if event.action == "trigger":
        if state is None:
            return Decision("opened", "firing", "a new episode")
        if state == "stale":
            return Decision("refreshed", "firing", "the source reports again")
        return Decision("refreshed", state, "firing already")
    if state is None:
        return Decision("ignored", None, "nothing with this identity is firing")
    if event.occurred_at is not None and source_at is not None and at < source_at:
        return Decision("ignored", state, "the resolve is older than the newest trigger")
    return Decision("resolved", "resolved", "resolved by its source")


def after_hold(held_at: datetime, last_event_at: datetime) -> AlertState:
    """The state of a held alert when its hold ends: firing when the source fired again meanwhile, else resolved."""
    return "firing" if last_event_at > held_at else "resolved"


def stale_due(expires_at: datetime, last_event_at: datetime, intake_resumed_at: datetime | None) -> datetime:
    """When silence becomes staleness.

    Our own downtime does not count: after intake came back at ``intake_resumed_at`` the source has
    its whole allowance (``expires_at - last_event_at``) again.
    """
    if intake_resumed_at is None or intake_resumed_at <= last_event_at:
        return expires_at
    return max(expires_at, intake_resumed_at + (expires_at - last_event_at))


def identity_of_labels(labels: Mapping[str, str]) -> str:
    """A stable identity for sources without a key: SHA-256 over the sorted label set, as hex.

    Empty values are the same as absent ones (Prometheus data model).
    """
    digest = hashlib.sha256()
    for name in sorted(labels):
        if labels[name]:
            digest.update(name.encode() + b"\xff" + labels[name].encode() + b"\xff")
    return digest.hexdigest()


def storable(events: Sequence[Event]) -> Sequence[Event]:
    """The events with U+0000, which PostgreSQL text cannot hold, shown as U+FFFD.

    Refusing the event instead would lose a page for one byte.
    """
    if b"\\u0000" not in msgspec.json.encode(events):
        return events
    return msgspec.convert(_without_zero(msgspec.to_builtins(events, builtin_types=(datetime,))), list[Event])


def _without_zero(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_without_zero(key): _without_zero(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_zero(item) for item in value]
    return value
