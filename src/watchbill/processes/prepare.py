"""One short task of the supervisor: bring the schema up to date and make the first tokens."""

from __future__ import annotations

from pathlib import Path

from watchbill.features import identity, rollback
from watchbill.kernel.errors import NotFound, Unauthenticated
from watchbill.runners.agent import Credentials, read_credentials, write_credentials
from watchbill.runtime import home as home_folder
from watchbill.runtime import ledger, migrate
from watchbill.runtime.db import Database, Tx

RUNNER_FILE = "runner.json"
"""In the home: who the runner of this machine is (mode 0600)."""
_LOCAL = "local"


def prepare(*, url: str, address: str, home: Path, local_runner: bool = False) -> str | None:
    """Migrate, leave ``local.json`` in the home; returns the admin token when this is the first start.

    Args:
        url: the database.
        address: where the server answers on this machine.
        home: the home folder.
        local_runner: leave credentials for the runner of this machine in the home too.
    """
    migrate.upgrade(url)
    db = Database(url, name="watchbill up", pool_size=1)
    try:
        with db.transaction() as tx:
            first = identity.bootstrap_admin(tx)
            local = identity.local_token(tx, present=home_folder.present_token(home))
            if local_runner:
                _keep_local_runner(tx, address=address, path=home / RUNNER_FILE)
    finally:
        db.dispose()
    home_folder.leave_access(home, home_folder.LocalAccess(url=address, token=local))
    return first


def _keep_local_runner(tx: Tx, *, address: str, path: Path) -> None:
    """The runner named ``local`` serves every team; its secret is made anew when the file is gone."""
    try:
        known = read_credentials(path)
        rollback.authenticate_runner(tx, secret=known.secret)
        write_credentials(path, Credentials(url=address, name=known.name, secret=known.secret))
        return
    except (NotFound, Unauthenticated):
        actor = ledger.system("start")
    if any(each.name == _LOCAL for each in rollback.runners(tx)):
        rollback.revoke_runner(tx, name=_LOCAL, actor=actor)
    _, secret = rollback.register_runner(tx, name=_LOCAL, team_id=None, executors=list(rollback.EXECUTORS), actor=actor)
    write_credentials(path, Credentials(url=address, name=_LOCAL, secret=secret))
