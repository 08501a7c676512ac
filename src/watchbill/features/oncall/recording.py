"""The record of who was on call: written as it happens, never recomputed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from uuid import UUID

import msgspec

from watchbill.features.oncall import logic, plans, store
from watchbill.features.oncall.model import Span
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx

RECORDER = ledger.system("oncall")


def record_shifts(tx: Tx, *, team_ids: Iterable[UUID] | None = None) -> int:
    """Carry the record of these teams (None: all) forward to now; returns how many teams it changed.

    Ended shifts are written with their real ends, also those of the time in which no worker ran. A handoff
    to somebody else is an entry of the ledger.
    """
    return record_plans(tx, plans.load(tx, team_ids, lock=True))


def record_plans(tx: Tx, loaded: Mapping[UUID, plans.Plan]) -> int:
    """`record_shifts` for plans that are loaded (and locked) already."""
    ended: dict[UUID, list[Span]] = {}
    running: dict[UUID, Span | None] = {}
    for team_id, plan in loaded.items():
        before = plan.stored.running
        past, current = logic.catch_up(
            before, plan.calculator, since=min(plan.stored.effective_from, tx.now), now=tx.now
        )
        if past or current != before:
            ended[team_id], running[team_id] = past, current
            _say_handoffs(tx, team_id, [*([before] if before and before not in past else []), *past, current])
    if running:
        store.write_record(tx, ended, running)
    return len(running)


def _say_handoffs(tx: Tx, team_id: UUID, line: list[Span]) -> None:
    for previous, following in pairwise(line):
        if previous.people == following.people:
            continue
        ledger.append(
            tx,
            name="oncall.handed_over",
            actor=RECORDER,
            subject=("team", team_id),
            team_id=team_id,
            why=following.note or following.reason,
            data={
                "from": str(previous.person_id) if previous.person_id else None,
                "to": str(following.person_id) if following.person_id else None,
                "at": following.start_at.isoformat(),
                "reason": following.reason,
                **({"with": [str(person) for person in following.others]} if following.others else {}),
            },
        )


def close_record(tx: Tx, loaded: Mapping[UUID, plans.Plan]) -> None:
    """End the record of teams that have no rotation any more, at now."""
    ended: dict[UUID, list[Span]] = {}
    for team_id, plan in loaded.items():
        past, current = logic.catch_up(
            plan.stored.running, plan.calculator, since=min(plan.stored.effective_from, tx.now), now=tx.now
        )
        ended[team_id] = [*past, *([_until_now(tx, current)] if current.start_at < tx.now else [])]
    if ended:
        store.write_record(tx, ended, dict.fromkeys(ended))


def _until_now(tx: Tx, span: Span) -> Span:
    return msgspec.structs.replace(span, end_at=tx.now)
