"""A fixed slice of `make soak`: random organisations and faults on the virtual clock, and no promise broken."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench._sim_life import Life, forget
from bench.soak import soak


def test_a_slice_of_the_soak_loses_no_page(
    database_url: str, capsys: pytest.CaptureFixture[str], record_property: Callable[[str, object], None]
) -> None:
    """paged.never_dropped, page.escalating, page.acknowledged, page.epoch, notification.queued"""
    broken = soak(database_url, seconds=6, seed=2026, days=3)
    said = capsys.readouterr().out
    assert broken == 0, said
    assert "0 pages lost" in said
    record_property("proof", said.strip())


def test_a_seed_replays_the_same_life(database_url: str) -> None:
    """time.clock"""
    try:
        first, second = (Life(database_url, 7, days=2).live() for _ in range(2))
    finally:
        forget(database_url)
    assert first.sent > 0
    assert (first.digest, first.faults, first.pages) == (second.digest, second.faults, second.pages)
