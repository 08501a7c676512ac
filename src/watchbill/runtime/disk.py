"""A full disk, told as one clear line wherever it shows itself."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from watchbill.kernel.errors import SetupError

_DISK_FULL = "53100"
"""PostgreSQL's SQLSTATE (manual, appendix A)."""


def full(folder: Path) -> SetupError:
    """The error that says so, with its mend."""
    return SetupError(
        f"no space left on the disk of {folder}", code="disk_full", hint="free some space and start again"
    )


@contextmanager
def told_when_full(folder: Path) -> Iterator[None]:
    """What fails inside because the disk is full fails as `full`; other errors pass as they are.

    Raises:
        SetupError: ``disk_full``.
    """
    try:
        yield
    except Exception as error:
        if not is_full(error):
            raise
        raise full(folder) from error


def is_full(error: BaseException | None) -> bool:
    """True when the error, or one it came from, is the operating system's, PostgreSQL's or ClickHouse's "no space"."""
    while error is not None:
        for said in (error, getattr(error, "orig", None)):
            if isinstance(said, OSError) and said.errno in (errno.ENOSPC, errno.EDQUOT):
                return True
            if getattr(said, "sqlstate", None) == _DISK_FULL or any(mark in str(said) for mark in _SAID):
                return True
        error = error.__cause__ or error.__context__
    return False


_SAID = ("NOT_ENOUGH_SPACE", "No space left on device", "Disk quota exceeded")
