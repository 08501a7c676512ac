"""One short task of the supervisor: bring the schema up to date and make the first tokens.

Reads ``{"url", "address", "home"}`` from standard input, writes ``{"admin_token"}``: null unless this is
the first start.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from watchbill.features import identity
from watchbill.kernel.errors import WatchbillError
from watchbill.runtime import home, migrate
from watchbill.runtime.db import Database


class Request(msgspec.Struct, frozen=True):
    """The database, the server's address and the home folder."""

    url: str
    address: str
    home: str


def prepare(request: Request) -> str | None:
    """Migrate, leave ``local.json`` in the home; returns the first start's admin token."""
    migrate.upgrade(request.url)
    folder = Path(request.home)
    db = Database(request.url, name="watchbill up", pool_size=1)
    try:
        with db.transaction() as tx:
            first = identity.bootstrap_admin(tx)
            local = identity.local_token(tx, present=home.present_token(folder))
    finally:
        db.dispose()
    home.leave_access(folder, home.LocalAccess(url=request.address, token=local))
    return first


def main() -> int:
    """Exit code 0, or that of the error, which is one line on standard error."""
    try:
        secret = prepare(msgspec.json.decode(sys.stdin.buffer.read(), type=Request))
    except WatchbillError as error:
        sys.stderr.write(f"error [{error.problem.code}]: {error}\n")
        return error.exit_code
    sys.stdout.buffer.write(msgspec.json.encode({"admin_token": secret}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
