"""Changes that were told before their service was described find it. Contributed by the feature *changes*."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watchbill.features import changes
from watchbill.runtime.db import Tx

if TYPE_CHECKING:
    from watchbill.manifest.bundle import Applying


def apply(tx: Tx, applying: Applying) -> None:
    """Adopt them, when the apply wrote a service."""
    if applying.services:
        changes.adopt_changes(tx, actor=applying.actor)
