"""The reference pages are what the code says, and nothing in them goes without a word."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
Pages = tuple[dict[str, str], list[str]]


@pytest.fixture(scope="module")
def generated() -> Pages:
    pages: Callable[[], Pages] = runpy.run_path(str(DOCS / "generate.py"))["pages"]
    return pages()


def test_every_command_option_route_and_setting_is_documented(generated: Pages) -> None:
    assert generated[1] == []


@pytest.mark.parametrize("name", ["cli.md", "api.md", "settings.md"])
def test_the_reference_is_current(generated: Pages, name: str) -> None:
    kept = (DOCS / "reference" / name).read_text(encoding="utf-8")
    assert kept == generated[0][name], "run `make docs`"
