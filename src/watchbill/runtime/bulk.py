"""Write thousands of rows with few statements.

The rows travel as one JSON value (``jsonb_populate_recordset``), so the statement is short and the same each
time. A ``VALUES`` list costs SQLAlchemy and psycopg a bind parameter per cell: a hundred times as long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from watchbill.runtime.db import Tx

_BATCH = 5000

Rows = Sequence[Mapping[str, Any]]
"""Every row has the same keys, which are columns of the table; values are what JSON can say (and UUIDs, instants,
Decimals)."""


def insert_many(tx: Tx, table: sa.Table, rows: Rows) -> None:
    """Insert all rows."""
    if rows:
        _send(tx, _insert(table, rows), rows)


def upsert_many(tx: Tx, table: sa.Table, rows: Rows, *, keys: Sequence[str], keep: Sequence[str] = ()) -> None:
    """Insert all rows; where one with the same ``keys`` exists, set all but ``keys`` and ``keep``.

    No two rows may have the same keys.
    """
    if not rows:
        return
    changing = [name for name in rows[0] if name not in {*keys, *keep}]
    action = "UPDATE SET " + ", ".join(f'"{name}" = excluded."{name}"' for name in changing) if changing else "NOTHING"
    _send(tx, f"{_insert(table, rows)} ON CONFLICT ({_names(keys)}) DO {action}", rows)


def update_many(tx: Tx, table: sa.Table, rows: Rows) -> None:
    """Set the other columns of the rows with these ``id``s."""
    if not rows:
        return
    columns = ", ".join(f'"{name}" = given."{name}"' for name in rows[0] if name != "id")
    _send(tx, f'UPDATE "{table.name}" AS kept SET {columns} FROM {_given(table)} WHERE kept.id = given.id', rows)


def _insert(table: sa.Table, rows: Rows) -> str:
    return f'INSERT INTO "{table.name}" ({_names(rows[0])}) SELECT {_names(rows[0])} FROM {_given(table)}'


def _given(table: sa.Table) -> str:
    return f'jsonb_populate_recordset(NULL::"{table.name}", CAST(:rows AS jsonb)) AS given'


def _names(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _send(tx: Tx, statement: str, rows: Rows) -> None:
    for start in range(0, len(rows), _BATCH):
        tx.execute(sa.text(statement), {"rows": msgspec.json.encode(rows[start : start + _BATCH]).decode()})
