"""The path of a symptom: what traces show stands before what manifests declare, and the words say which."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.features.suspects import Candidate, rank
from watchbill.features.suspects.paths import MOST_STEPS, place, traced

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
NAMES = "abcdefgh"
EDGES = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=20)


@given(EDGES, st.sets(st.sampled_from(NAMES), min_size=1, max_size=3))
def test_steps_are_the_fewest_calls_away(edges: list[tuple[str, str]], symptoms: set[str]) -> None:
    path = traced(edges, symptoms=symptoms, traces=9, looked_at=NOW)
    down = fewest(edges, symptoms)
    up = fewest([(callee, caller) for caller, callee in edges], symptoms)
    assert path.steps == {**{name: -steps for name, steps in up.items()}, **down}


def fewest(edges: list[tuple[str, str]], start: set[str]) -> dict[str, int]:
    """One call more in each round."""
    found = dict.fromkeys(start, 0)
    for steps in range(MOST_STEPS):
        for caller, callee in edges:
            if found.get(caller) == steps:
                found.setdefault(callee, steps + 1)
    return found


def candidate(service: int, declared: int | None = None) -> Candidate:
    return Candidate(
        change_id=UUID(int=service),
        service_id=UUID(int=100 + service),
        service=f"s{service}",
        kind="deploy",
        version="v2",
        previous_version="v1",
        started_at=NOW - timedelta(minutes=5),
        finished_at=NOW - timedelta(minutes=5),
        reversible=True,
        distance=declared,
        declared=declared,
        path_source=None if declared is None else "declared",
    )


NAMED = {UUID(int=100 + number): f"t{number}" for number in range(9)}


@pytest.mark.parametrize(
    ("declared", "steps", "traces", "distance", "words"),
    [
        (1, {"t0": 0, "t1": 2}, 400, 2, "over 2 steps, as declared and as 400 traces show"),
        (
            None,
            {"t0": 0, "t1": 1},
            400,
            1,
            "what hurts depends on s1 directly, as 400 traces show; no manifest says so",
        ),
        (1, {"t0": 0}, 400, 1, "directly, as declared; none of 400 traces went there"),
        (1, {"t0": 0}, 20, 1, "what hurts depends on s1 directly, as declared"),
        (None, {"t0": 0}, 400, None, "s1 is not known to be on the path"),
        (None, {"t0": 0, "t1": -1}, 400, -1, "s1 calls what hurts, directly, as 400 traces show; no manifest says so"),
        (1, {}, 0, 1, "what hurts depends on s1 directly, as declared"),
    ],
)
def test_the_place_of_a_change_says_who_puts_it_there(
    *, declared: int | None, steps: dict[str, int], traces: int, distance: int | None, words: str
) -> None:
    path = msgspec.structs.replace(traced([], symptoms=["t0"], traces=traces, looked_at=NOW), steps=steps)
    placed = place([candidate(1, declared)], names=NAMED, path=path)
    assert placed[0].distance == distance
    assert place(placed, names=NAMED, path=path) == placed  # again is the same
    found = rank(placed, incident_id=UUID(int=1), onset_at=NOW, now=NOW, comparisons={})
    said = [each.text for each in found.suspects[0].evidence if each.kind == "path"]
    assert len(said) == 1
    assert said[0].endswith(words)


def test_a_declared_dependency_that_no_trace_shows_ranks_behind_one_that_they_show() -> None:
    path = traced([("t0", "t2")], symptoms=["t0"], traces=400, looked_at=NOW)
    placed = place([candidate(1, 1), candidate(2)], names=NAMED, path=path)
    found = rank(placed, incident_id=UUID(int=1), onset_at=NOW, now=NOW, comparisons={})
    assert [one.service for one in found.suspects] == ["s2", "s1"]
