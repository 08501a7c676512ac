"""Tests name the rows of the semantics that they prove; a name that is no row proves nothing."""

from __future__ import annotations

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ROW_ID = re.compile(r"^\| `([a-z_]+(?:\.[a-z_]+)+)` \|", re.MULTILINE)
ONLY_IDS = re.compile(r"[a-z_]+(?:\.[a-z_]+)+(?:,\s+[a-z_]+(?:\.[a-z_]+)+)*")


def named_by_tests() -> dict[str, str]:
    """Row id → a test whose docstring is nothing but such ids."""
    found: dict[str, str] = {}
    for file in sorted((REPOSITORY / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                said = (ast.get_docstring(node) or "").strip()
                if ONLY_IDS.fullmatch(said):
                    found.update((id, f"{file.name}::{node.name}") for id in re.split(r",\s+", said))
    return found


def test_every_row_that_a_test_names_is_in_the_semantics() -> None:
    rows = ROW_ID.findall((REPOSITORY / "docs" / "concepts" / "semantics.md").read_text(encoding="utf-8"))
    named = named_by_tests()
    assert len(named) > 20
    assert {id: where for id, where in named.items() if id not in rows} == {}
