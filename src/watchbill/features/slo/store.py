"""Tables of SLOs and the SQL over them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert

from watchbill.features.slo.model import Revision, Slo, StateRow
from watchbill.runtime.bulk import upsert_many
from watchbill.runtime.db import Instant, Tx, metadata

slo = sa.Table(
    "slo",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("operation_id", sa.Uuid, sa.ForeignKey("operation.id"), nullable=False),
    sa.Column("service_id", sa.Uuid, sa.ForeignKey("service.id"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("target", sa.Numeric, nullable=False),
    sa.Column("window_seconds", sa.Integer, nullable=False),
    sa.Column("threshold_ms", sa.Integer),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("removed_at", Instant),
    sa.Column("measure", JSONB(none_as_null=True)),
    sa.UniqueConstraint("operation_id", "name"),
    sa.CheckConstraint("target > 0 AND target < 100", name="target"),
    sa.CheckConstraint("window_seconds > 0", name="window"),
    sa.Index("ix_slo_service_id", "service_id", postgresql_where=sa.text("removed_at IS NULL")),
)

slo_revision = sa.Table(
    "slo_revision",
    metadata,
    sa.Column("slo_id", sa.Uuid, sa.ForeignKey("slo.id"), primary_key=True),
    sa.Column("at", Instant, primary_key=True),
    sa.Column("target", sa.Numeric, nullable=False),
    sa.Column("window_seconds", sa.Integer, nullable=False),
    sa.Column("threshold_ms", sa.Integer),
    sa.Column("actor_kind", sa.Text, nullable=False),
    sa.Column("actor_id", sa.Text, nullable=False),
)

slo_state = sa.Table(
    "slo_state",
    metadata,
    sa.Column("slo_id", sa.Uuid, sa.ForeignKey("slo.id"), primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("tier", sa.Text),
    sa.Column("cause", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("since_at", Instant, nullable=False),
    sa.Column("evaluated_at", Instant, nullable=False),
    sa.Column("budget_remaining", sa.Numeric),
    sa.Column("bad", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("total", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("burn", sa.Float),
    sa.Column("exhausted_at", Instant),
    sa.Column("windows", JSONB, nullable=False),
    sa.Column("memory", JSONB, nullable=False),
    sa.Column("excluded_seconds", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("excluded_bad", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("excluded_total", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("budget_without", sa.Numeric),
    sa.CheckConstraint("state IN ('ok', 'firing', 'recovering', 'unmeasured')", name="state"),
    sa.CheckConstraint("tier IN ('page', 'ticket')", name="tier"),
    sa.CheckConstraint("cause IN ('burn', 'traffic')", name="cause"),
    sa.CheckConstraint("(state = 'firing') = (tier IS NOT NULL)", name="firing_has_a_tier"),
    sa.Index("ix_slo_state_firing", "state", postgresql_where=sa.text("state = 'firing'")),
)

slo_series = sa.Table(
    "slo_series",
    metadata,
    sa.Column("slo_id", sa.Uuid, sa.ForeignKey("slo.id"), primary_key=True),
    sa.Column("hour_at", Instant, primary_key=True),
    sa.Column("bucket_seconds", sa.Integer, nullable=False),
    sa.Column("bad", ARRAY(sa.BigInteger), nullable=False),
    sa.Column("total", ARRAY(sa.BigInteger), nullable=False),
    sa.Column("excluded_bad", ARRAY(sa.BigInteger)),
    sa.Column("excluded_total", ARRAY(sa.BigInteger)),
    sa.Index("ix_slo_series_hour_at", "hour_at"),
)
"""One hour of one SLO, in equal buckets: what the charts are drawn from, also while the observer is away.

``bad`` and ``total`` count everything; the ``excluded`` ones say how much of it is left out (null: nothing).
"""

slo_evaluator = sa.Table(
    "slo_evaluator",
    metadata,
    sa.Column("one", sa.Boolean, sa.CheckConstraint("one", name="one"), primary_key=True),
    sa.Column("holder", sa.Uuid, nullable=False),
    sa.Column("lease_until", Instant, nullable=False),
    sa.Column("evaluated_at", Instant),
    sa.Column("slice_seconds", sa.Integer),
)
"""The lease that makes exactly one observer evaluate, and when it last did."""

_BATCH = 2000

slo_source = sa.Table(
    "slo_source",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("seen_at", Instant),
    sa.Column("down_at", Instant),
    sa.Column("error", sa.Text),
)
"""How each source of counts is (`sources`): when it answered last, and since when it does not."""


def to_slo(row: Any) -> Slo:
    return msgspec.convert(row, Slo, from_attributes=True)


def to_state(row: Any) -> StateRow:
    return msgspec.convert(row, StateRow, from_attributes=True)


def slos_of_services(tx: Tx, *, service_ids: Collection[UUID], removed: bool = False) -> list[Slo]:
    """SLOs of these services; with ``removed`` the retired ones too."""
    found: list[Slo] = []
    ids = sorted(service_ids)
    for start in range(0, len(ids), _BATCH):
        query = sa.select(slo).where(slo.c.service_id == sa.any_(sa.cast(ids[start : start + _BATCH], ARRAY(sa.Uuid))))
        if not removed:
            query = query.where(slo.c.removed_at.is_(None))
        found.extend(to_slo(row) for row in tx.execute(query.order_by(slo.c.id)))
    return found


def slo_by_id(tx: Tx, *, slo_id: UUID) -> Slo | None:
    """One SLO, retired or not."""
    row = tx.execute(sa.select(slo).where(slo.c.id == slo_id)).one_or_none()
    return to_slo(row) if row else None


def live_slos(tx: Tx) -> list[Slo]:
    """Every SLO that is not retired, by id."""
    return [to_slo(row) for row in tx.execute(sa.select(slo).where(slo.c.removed_at.is_(None)).order_by(slo.c.id))]


def definitions_mark(tx: Tx) -> tuple[int, datetime | None]:
    """Changes whenever an SLO is added, changed or retired: (how many live, the last change)."""
    live = sa.func.count().filter(slo.c.removed_at.is_(None))
    row = tx.execute(
        sa.select(live.label("live"), sa.func.max(slo.c.changed_at).label("changed_at")).select_from(slo)
    ).one()
    return row.live, row.changed_at


def upsert_slos(tx: Tx, *, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write SLOs as they shall be; a retired one comes back under its id."""
    upsert_many(tx, slo, rows, keys=("operation_id", "name"), keep=("id", "created_at"))


def insert_revisions(tx: Tx, *, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write down what SLOs promise from now on; twice in one instant, the later one stands."""
    upsert_many(tx, slo_revision, rows, keys=("slo_id", "at"))


def retire_slos(tx: Tx, *, slo_ids: Sequence[UUID]) -> None:
    """Mark as removed and forget the state; definition, revisions and series stay."""
    for start in range(0, len(slo_ids), _BATCH):
        ids = sa.cast(list(slo_ids[start : start + _BATCH]), ARRAY(sa.Uuid))
        tx.execute(sa.update(slo).where(slo.c.id == sa.any_(ids)).values(removed_at=tx.now, changed_at=tx.now))
        tx.execute(sa.delete(slo_state).where(slo_state.c.slo_id == sa.any_(ids)))


def revisions(tx: Tx, *, slo_id: UUID) -> list[Revision]:
    """What the SLO promised, oldest first."""
    rows = tx.execute(sa.select(slo_revision).where(slo_revision.c.slo_id == slo_id).order_by(slo_revision.c.at))
    return [msgspec.convert(row, Revision, from_attributes=True) for row in rows]


def states_of(tx: Tx, *, slo_ids: Collection[UUID] | None = None) -> dict[UUID, StateRow]:
    """The written states, all or those of some SLOs."""
    query = sa.select(slo_state)
    if slo_ids is not None:
        query = query.where(slo_state.c.slo_id == sa.any_(sa.cast(sorted(slo_ids), ARRAY(sa.Uuid))))
    return {row.slo_id: to_state(row) for row in tx.execute(query)}


def write_states(tx: Tx, *, states: Sequence[StateRow]) -> None:
    """Insert or overwrite the states, sorted so that two writers cannot deadlock."""
    ordered = sorted(states, key=lambda state: state.slo_id)
    for start in range(0, len(ordered), 500):
        values = [
            {**msgspec.structs.asdict(state), "windows": msgspec.to_builtins(state.windows)}
            for state in ordered[start : start + 500]
        ]
        statement = insert(slo_state).values(values)
        tx.execute(
            statement.on_conflict_do_update(
                index_elements=["slo_id"],
                set_={c.name: statement.excluded[c.name] for c in slo_state.c if c.name != "slo_id"},
            )
        )


def write_series(tx: Tx, *, rows: Sequence[Mapping[str, Any]]) -> None:
    """Overwrite hours of the series."""
    for start in range(0, len(rows), 500):
        statement = insert(slo_series).values([dict(row) for row in rows[start : start + 500]])
        tx.execute(
            statement.on_conflict_do_update(
                index_elements=["slo_id", "hour_at"],
                set_={c.name: statement.excluded[c.name] for c in slo_series.c if c.name not in ("slo_id", "hour_at")},
            )
        )


SeriesHour = tuple[datetime, int, list[int], list[int]]


def read_series(
    tx: Tx, *, slo_id: UUID, start: datetime, end: datetime, everything: bool = False
) -> list[SeriesHour]:
    """(hour, bucket seconds, bad per bucket, total per bucket), oldest first; with ``everything`` the excluded too."""
    rows = tx.execute(
        sa.select(
            slo_series.c.hour_at,
            slo_series.c.bucket_seconds,
            slo_series.c.bad,
            slo_series.c.total,
            slo_series.c.excluded_bad,
            slo_series.c.excluded_total,
        )
        .where(slo_series.c.slo_id == slo_id, slo_series.c.hour_at >= start, slo_series.c.hour_at < end)
        .order_by(slo_series.c.hour_at)
    )
    return [
        (row.hour_at, row.bucket_seconds, row.bad, row.total)
        if everything or row.excluded_total is None
        else (
            row.hour_at,
            row.bucket_seconds,
            [counted - out for counted, out in zip(row.bad, row.excluded_bad, strict=True)],
            [counted - out for counted, out in zip(row.total, row.excluded_total, strict=True)],
        )
        for row in rows
    ]


def series_sums(tx: Tx, *, slo_ids: Collection[UUID], start: datetime, end: datetime) -> dict[UUID, tuple[int, int]]:
    """(bad, total) of what counts of each SLO over the hours of [start, end); those without events are not named."""
    rows = tx.execute(
        sa.text(
            """SELECT slo_id,
                sum((SELECT coalesce(sum(b), 0) FROM unnest(bad) AS b)
                    - (SELECT coalesce(sum(b), 0) FROM unnest(excluded_bad) AS b))::bigint AS bad,
                sum((SELECT coalesce(sum(t), 0) FROM unnest(total) AS t)
                    - (SELECT coalesce(sum(t), 0) FROM unnest(excluded_total) AS t))::bigint AS total
            FROM slo_series WHERE slo_id = ANY(:ids) AND hour_at >= :start AND hour_at < :end
            GROUP BY slo_id"""
        ),
        {"ids": list(slo_ids), "start": start, "end": end},
    )
    return {row.slo_id: (row.bad, row.total) for row in rows if row.total}


def series_left_out(
    tx: Tx, *, slo_ids: Collection[UUID], start: datetime, end: datetime
) -> dict[UUID, tuple[int, int]]:
    """(bad, total) of what is excluded of each SLO over the hours of [start, end); only those with exclusions."""
    rows = tx.execute(
        sa.text(
            """SELECT slo_id,
                sum((SELECT coalesce(sum(b), 0) FROM unnest(excluded_bad) AS b))::bigint AS bad,
                sum((SELECT coalesce(sum(t), 0) FROM unnest(excluded_total) AS t))::bigint AS total
            FROM slo_series
            WHERE slo_id = ANY(:ids) AND hour_at >= :start AND hour_at < :end AND excluded_total IS NOT NULL
            GROUP BY slo_id"""
        ),
        {"ids": list(slo_ids), "start": start, "end": end},
    )
    return {row.slo_id: (row.bad, row.total) for row in rows}


def delete_series_before(tx: Tx, *, before: datetime) -> int:
    """Forget hours that no window reaches any more."""
    return tx.execute(sa.delete(slo_series).where(slo_series.c.hour_at < before)).rowcount


def take_lease(tx: Tx, *, holder: UUID, until: datetime) -> bool:
    """Take or renew the evaluator's lease; False while another observer holds it."""
    statement = insert(slo_evaluator).values(one=True, holder=holder, lease_until=until)
    taken = tx.execute(
        statement.on_conflict_do_update(
            index_elements=["one"],
            set_={"holder": holder, "lease_until": until},
            where=sa.or_(slo_evaluator.c.holder == holder, slo_evaluator.c.lease_until <= tx.now),
        ).returning(slo_evaluator.c.holder)
    ).scalar()
    return taken is not None


def note_evaluation(tx: Tx, *, holder: UUID, slice_seconds: int) -> None:
    """Say that the SLOs were evaluated just now."""
    tx.execute(
        sa.update(slo_evaluator)
        .where(slo_evaluator.c.holder == holder)
        .values(evaluated_at=tx.now, slice_seconds=slice_seconds)
    )


def last_evaluation(tx: Tx) -> tuple[datetime, int] | None:
    """When the SLOs were last evaluated and the slice length then; None before the first time."""
    row = tx.execute(sa.select(slo_evaluator.c.evaluated_at, slo_evaluator.c.slice_seconds)).one_or_none()
    if row is None or row.evaluated_at is None:
        return None
    return row.evaluated_at, row.slice_seconds or 60
