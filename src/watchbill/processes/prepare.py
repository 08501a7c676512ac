"""One short task of the supervisor: bring the schema up to date and make the first tokens."""

from __future__ import annotations

from pathlib import Path

from watchbill.features import identity
from watchbill.runtime import home as home_folder
from watchbill.runtime import migrate
from watchbill.runtime.db import Database


def prepare(*, url: str, address: str, home: Path) -> str | None:
    """Migrate, leave ``local.json`` in the home; returns the admin token when this is the first start.

    Args:
        url: the database.
        address: where the server answers on this machine.
        home: the home folder.
    """
    migrate.upgrade(url)
    db = Database(url, name="watchbill up", pool_size=1)
    try:
        with db.transaction() as tx:
            first = identity.bootstrap_admin(tx)
            local = identity.local_token(tx, present=home_folder.present_token(home))
    finally:
        db.dispose()
    home_folder.leave_access(home, home_folder.LocalAccess(url=address, token=local))
    return first
