"""YAML keeps exact values and places, and refuses what would hurt."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from watchbill.runtime.yaml import field, parse, scalar

TEXTS = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufeff\u2028\u2029\x85"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(TEXTS.filter(bool), VALUES, min_size=1))
def test_what_is_dumped_is_read_back(data: dict[str, Any]) -> None:
    text = msgspec.json.encode(data).decode()  # JSON is YAML, with every string quoted
    documents, problems = parse(text, file="f.yaml")
    assert problems == []
    assert [document.data for document in documents] == [data]


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), VALUES, min_size=1))
def test_every_place_points_at_its_value(data: dict[str, Any]) -> None:
    text = "# first\n---\n" + pyyaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    documents, problems = parse(text, file="f.yaml")
    assert problems == []
    lines = text.splitlines()
    for key in data:
        line, column = documents[0].position((key,), key=True)
        assert lines[line - 1][column - 1 :].startswith((f"{key}:", f"'{key}':"))  # PyYAML quotes 'no'


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("on", "on"),
        ("no", "no"),
        ("12:30", "12:30"),
        ("2026-01-05", "2026-01-05"),
        ("007", "007"),
        ("1w", "1w"),
        ("1e3", Decimal("1e3")),
        ("99.950", Decimal("99.950")),
        ("-12", -12),
        ("~", None),
        ("True", True),
        (".inf", ".inf"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
    ],
)
def test_plain_scalars_follow_yaml_1_2(text: str, meaning: object) -> None:
    found = scalar(text)
    assert (found, str(found)) == (meaning, str(meaning))


def _bomb() -> str:
    lines = ["a: &a [" + ",".join("x" * 9) + "]"]
    lines += [
        f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("a: 1\nb: 2\na: 3\n", "yaml.duplicate_key", "f.yaml:3:1"),
        ("a: [1\n", "yaml.syntax", "f.yaml:2:1"),
        ("a: b: c\n", "yaml.syntax", "f.yaml:1:5"),
        ("a: !!python/object:os.system x\n", "yaml.tag", "f.yaml:1:4"),
        ("a: &a [*a]\n", "yaml.too_large", "f.yaml:1:4"),
        ("[" * 50_000, "yaml.characters", "f.yaml:1:1"),
        ("a: \x01\n", "yaml.characters", "f.yaml:1:4"),
        ("? [a]\n: 1\n", "yaml.key", "f.yaml:1:3"),
    ],
)
def test_what_cannot_be_read_is_one_problem_with_a_place(text: str, code: str, place: str) -> None:
    documents, problems = parse(text, file="f.yaml")
    assert documents == []
    assert [(problem.code, problem.place) for problem in problems] == [(code, place)]
    assert problems[0].hint


def test_an_alias_bomb_is_refused() -> None:
    documents, problems = parse(_bomb(), file="f.yaml")
    assert (documents, [problem.code for problem in problems]) == ([], ["yaml.too_large"])


def test_what_stands_before_a_broken_document_is_still_read() -> None:
    documents, problems = parse("a: 1\n---\nb: [\n", file="f.yaml")
    assert ([document.data for document in documents], len(problems)) == ([{"a": 1}], 1)


@given(st.text())
def test_no_text_makes_it_raise(text: str) -> None:
    parse(text, file="f.yaml")


def test_paths_read_as_people_write_them() -> None:
    assert field(("spec", "members", 1, "login")) == "spec.members[1].login"
