"""The published schema and the generated reference say what the structs say."""

from __future__ import annotations

from pathlib import Path

from watchbill.manifest import schema, schema_text
from watchbill.manifest.reference import render

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "manifest.md"


def test_the_published_schema_is_current() -> None:
    assert schema_text() == schema.render(), "run: python -m watchbill.manifest.reference"


def test_the_reference_page_is_current() -> None:
    assert REFERENCE.read_text("utf-8") == render(), "run: python -m watchbill.manifest.reference"
