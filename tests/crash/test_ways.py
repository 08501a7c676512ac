"""Crash at every commit of every way of a page: nothing is lost. See `tests.crash.matrix`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.crash.matrix import Mortal, enumerate_crashes, organise
from tests.crash.ways import WAYS
from tests.journeys.stage import Stage
from watchbill.kernel.clock import VirtualClock


@pytest.fixture
def played(database_url: str, clock: VirtualClock) -> Iterator[tuple[Stage, Mortal]]:
    stage, db = organise(database_url, clock)
    yield stage, db
    db.dispose()


@pytest.mark.parametrize("ways", [tuple(WAYS)[:6], tuple(WAYS)[6:]], ids=["answered by one", "answered by others"])
def test_no_crash_on_any_way_loses_a_page(
    played: tuple[Stage, Mortal], ways: tuple[str, ...], record_property: Callable[[str, object], None]
) -> None:
    """page.epoch, page.held, page.ended, notification.queued, paged.never_dropped"""
    for way in ways:
        verdict = enumerate_crashes(way, WAYS[way], *played)
        record_property("proof", verdict.line())
        assert verdict.lost == []
        assert verdict.commits >= 6, way
