"""When one notification may go out, as pure decisions: storms, throttles, and tries after a failure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from watchbill.features.paging import logic

STORM_WINDOW = timedelta(seconds=60)
STORM_AFTER = 3
"""So many messages to one address within the window, and what is no news of its service waits for the next one."""

JITTER = 0.2
"""A wait is longer by up to this share, so that what failed together is not tried again together."""


class Recent(NamedTuple):
    """A notification that was handed to the address's channel; ``led`` is false when another's message carried it."""

    at: datetime
    about: UUID
    led: bool


def hold_until(*, now: datetime, about: UUID, recent: Sequence[Recent]) -> datetime | None:
    """Until when to hold a notification so that one message can carry many, or None to send it now.

    The first about a service within the window is never held. ``recent`` is what went to the same address; nothing is
    held longer than the window, and every message takes with it what is held.
    """
    within = [sent for sent in recent if now - STORM_WINDOW < sent.at <= now]
    if all(sent.about != about for sent in within):
        return None
    led = sorted((sent.at for sent in within if sent.led), reverse=True)
    if len(led) < STORM_AFTER:
        return None
    return led[STORM_AFTER - 1] + STORM_WINDOW


class Slot(NamedTuple):
    """When a message may use its channel, and the throttle's new state."""

    at: datetime
    next_at: datetime


def take_slot(*, now: datetime, next_at: datetime, per_second: float, burst: int) -> Slot:
    """The generic cell rate algorithm (ITU-T I.371): ``burst`` at once, then ``per_second``; nothing is ever dropped.

    ``next_at`` is the theoretical arrival time of the next message.
    """
    gap = timedelta(seconds=1 / per_second)
    theoretical = max(next_at, now)
    return Slot(at=max(now, theoretical - gap * (burst - 1)), next_at=theoretical + gap)


def wait_before_retry(*, attempts: int, key: UUID, retry_after_seconds: float | None = None) -> timedelta | None:
    """How long to wait before the next try, or None when tries are used up.

    Growing pauses with jitter that is the same for the same try; never sooner than the provider asked for, and never
    later than ten minutes, whatever it asked for.
    """
    wait = logic.retry_after(attempts)
    if wait is None:
        return None
    share = int.from_bytes(hashlib.sha256(f"{key}:{attempts}".encode()).digest()[:4]) / 2**32
    jittered = wait * (1 + JITTER * share)
    asked = timedelta(seconds=min(600.0, max(0.0, retry_after_seconds or 0.0)))
    return max(jittered, asked)
