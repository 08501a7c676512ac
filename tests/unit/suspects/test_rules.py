"""Rules and ranking as properties: whatever is known, automation never acts against a single "no"."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.features.rollback.logic import Facts, decide, rules_of, tail, words_of_rehearsal
from watchbill.features.rollback.model import Rules
from watchbill.features.suspects import Candidate, Comparison, rank

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
YES = Facts(
    rules=Rules(executor="shell", automatic=True),
    automation=True,
    kind="deploy",
    reversible=True,
    previous_version="v1",
    confidence=0.95,
    measured_worse=True,
    environment="production",
    incident_open=True,
    automatic_before=False,
    service="payments",
    runners=1,
)
AGAINST = {
    "rules": Rules(executor="shell", automatic=False),
    "automation": False,
    "kind": "schema",
    "reversible": None,
    "previous_version": None,
    "confidence": 0.89,
    "measured_worse": False,
    "environment": "staging",
    "automatic_before": True,
    "human_acts": ["a person has acknowledged the page: it is theirs"],
    "rolled_back_lately": ["a", "b", "c"],
    "runners": 0,
}


def test_it_acts_alone_when_every_rule_agrees() -> None:
    assert decide(YES).action == "automatic"


@given(st.sets(st.sampled_from(sorted(AGAINST)), min_size=1))
@settings(max_examples=100)
def test_any_single_no_leaves_it_to_a_button_and_each_is_a_reason(against: set[str]) -> None:
    decision = decide(msgspec.structs.replace(YES, **{name: AGAINST[name] for name in against}))
    assert decision.action == "button"
    assert len(decision.reasons) >= len(against)


@given(st.booleans(), st.sets(st.sampled_from(sorted(AGAINST))))
@settings(max_examples=50)
def test_what_cannot_be_reversed_or_is_being_done_has_not_even_a_button(busy: bool, against: set[str]) -> None:
    facts = msgspec.structs.replace(YES, **{name: AGAINST[name] for name in against})
    facts = msgspec.structs.replace(facts, **({"busy": "rollback 1"} if busy else {"reversible": False}))
    assert decide(facts).action == "nothing"


@pytest.mark.parametrize(
    ("executor", "plan", "previous", "why"),
    [
        ("shell", {"command": ["put-back", "{previous_version}"]}, None, "the version before it is not known"),
        ("shell", {"command": ["sh", "-c", "put {previous_version}"]}, "v1; rm -rf /", "is no version that may be put"),
        ("shell", {"command": ["put-back", "{previous_version}"]}, "--force", "is no version that may be put"),
        ("github", {"repository": "a/b", "workflow": "w", "token": "env:T"}, None, "its github executor needs it"),
        ("shell", {"command": ["put-back", "{previous_version}"]}, "main@sha1:0a1b2c3", None),
        ("kubernetes", {}, None, None),
    ],
)
def test_a_version_that_is_unknown_or_no_version_never_gets_into_a_command(
    executor: str, plan: dict[str, object], previous: str | None, why: str | None
) -> None:
    rules = Rules(executor=executor, plan=plan, automatic=True)
    decision = decide(msgspec.structs.replace(YES, rules=rules, previous_version=previous, version="v2"))
    assert (decision.action == "nothing") == (why is not None)
    assert why is None or why in decision.reasons[0]


def test_rules_are_read_from_a_manifest_with_their_defaults() -> None:
    rules = rules_of({"rollback": {"shell": {"command": ["x"]}, "timeout": "90s"}})
    assert (rules.executor, rules.automatic, rules.timeout) == ("shell", False, timedelta(seconds=90))
    assert rules_of({}).executor is None


def test_output_is_bounded_and_a_rehearsal_has_words() -> None:
    assert len(tail("a" * 60_000, "b" * 60_000)) == 64 * 1024
    ago = words_of_rehearsal(now=NOW, at=NOW - timedelta(days=40), took_seconds=41)
    assert ago == "exercised 40d ago, took 41s"


def candidate(minutes_before: float, *, distance: int | None = 0, kind: str = "deploy") -> Candidate:
    return Candidate(
        change_id=uuid4(),
        service_id=uuid4(),
        service="payments",
        kind=kind,
        version="v2",
        previous_version="v1",
        started_at=NOW - timedelta(minutes=minutes_before),
        finished_at=NOW - timedelta(minutes=minutes_before),
        reversible=True,
        distance=distance,
    )


@given(st.lists(st.tuples(st.floats(-60, 1500), st.sampled_from([None, -1, 0, 1, 3])), max_size=30))
@settings(max_examples=50)
def test_confidences_are_a_share_and_nothing_after_the_onset_is_blamed(told: list[tuple[float, int | None]]) -> None:
    candidates = [candidate(minutes, distance=distance) for minutes, distance in told]
    found = rank(candidates, incident_id=uuid4(), onset_at=NOW, now=NOW, comparisons={})
    shares = [suspect.confidence for suspect in found.suspects]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1.001
    assert all(suspect.started_at <= NOW + timedelta(seconds=30) for suspect in found.suspects)


def test_what_was_measured_outweighs_what_came_last() -> None:
    guilty, latest = candidate(60, distance=2), candidate(1)
    found = rank(
        [guilty, latest],
        incident_id=uuid4(),
        onset_at=NOW,
        now=NOW,
        comparisons={guilty.change_id: Comparison(answer="worse", words="worse", confidence=0.99, ratio=10)},
    )
    assert found.suspects[0].change_id == guilty.change_id
    assert found.latest == latest.change_id
