"""A fixed slice of `make soak`: random faults on the virtual clock, and no promise broken."""

from __future__ import annotations

import pytest

from bench.soak import soak


@pytest.mark.parametrize("seed", [1, 2026])
def test_a_slice_of_the_soak_loses_no_page(database_url: str, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    broken = soak(database_url, seconds=5, seed=seed)
    said = capsys.readouterr().out
    assert broken == 0, said
    assert "0 pages lost" in said
