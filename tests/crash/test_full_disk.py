"""A disk without room: one clear line and an exit code, wherever in the start it shows itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from watchbill.kernel.errors import SetupError
from watchbill.runtime import disk

HOME = Path("/srv/home")


@pytest.fixture(params=[12, 42], ids=["no room for a cluster", "room for a cluster, not for the schema"])
def small_disk(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of that many MB, which only the superuser can make."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    folder = Path(tempfile.mkdtemp(prefix="watchbill-"))
    folder.chmod(0o711)  # else the cluster moves to a disk whose folders PostgreSQL's user may enter
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={request.param}m,mode=0711", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip(f"this machine lets nobody mount: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def test_a_start_on_a_full_disk_says_so_in_one_line(small_disk: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "watchbill.cli.app", "up", "--home", str(small_disk / "home"), "--port", "0"],
        env={**os.environ, "WATCHBILL_OTLP_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert "no space left on the disk of" in done.stderr
    assert "free some space" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_known_through_whatever_wraps_it() -> None:
    wrapped = RuntimeError("the schema could not be written")
    wrapped.__cause__ = OSError(28, "No space left on device")
    with pytest.raises(SetupError, match="no space left on the disk of /srv/home"), disk.told_when_full(HOME):
        raise wrapped


def test_another_error_is_not_blamed_on_the_disk() -> None:
    with pytest.raises(OSError, match="denied"), disk.told_when_full(HOME):
        raise OSError(13, "Permission denied")
