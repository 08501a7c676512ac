"""Which incident an alert joins, and how bad it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
from hypothesis import given

from watchbill.features.incidents import logic
from watchbill.features.incidents.model import Incident

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
PAYMENTS, LEDGER, SEARCH = (UUID(int=number) for number in (1, 2, 3))
services = st.sampled_from([PAYMENTS, LEDGER, SEARCH])


def incident(number: int, *, minutes_ago: int = 10, resolved_minutes_ago: int | None = None, **more: Any) -> Incident:
    resolved_at = None if resolved_minutes_ago is None else NOW - timedelta(minutes=resolved_minutes_ago)
    values: dict[str, Any] = {
        "id": UUID(int=100 + number),
        "number": number,
        "title": "t",
        "phase": "suspected",
        "state": "open" if resolved_at is None else "resolved",
        "severity": "sev3",
        "environment": "production",
        "service_id": PAYMENTS,
        "team_id": None,
        "unowned": False,
        "opened_at": NOW - timedelta(minutes=minutes_ago),
        "declared_at": None,
        "resolved_at": resolved_at,
        "settle_at": None,
        "resolution": None,
        "resolved_by": None,
    }
    return Incident(**{**values, **more})


def choose(*candidates: Incident, at: dict[int, set[UUID]] | None = None, **more: Any) -> logic.Join | None:
    asked: dict[str, Any] = {
        "service_id": PAYMENTS,
        "environment": "production",
        "previous_incident_id": None,
        "neighbours": frozenset(),
        "now": NOW,
    }
    known = {UUID(int=100 + number): found for number, found in (at or {}).items()}
    return logic.choose_incident(candidates, services=known, **{**asked, **more})


def test_the_incident_it_was_in_before_comes_first() -> None:
    found = choose(incident(1), incident(2), at={1: {PAYMENTS}}, previous_incident_id=UUID(int=102))
    assert found is not None
    assert found.incident.number == 2


def test_an_open_incident_of_the_same_service_is_joined_however_old() -> None:
    found = choose(incident(1, minutes_ago=10_000), at={1: {PAYMENTS}})
    assert found is not None
    assert not found.reopens


def test_a_neighbours_incident_is_joined_only_while_it_is_young() -> None:
    near = frozenset({LEDGER})
    assert choose(incident(1, minutes_ago=29), at={1: {LEDGER}}, neighbours=near) is not None
    assert choose(incident(1, minutes_ago=31), at={1: {LEDGER}}, neighbours=near) is None


def test_its_own_incident_is_reopened_within_the_window_and_no_other() -> None:
    """incident.reopens"""
    own = UUID(int=101)
    found = choose(incident(1, resolved_minutes_ago=29), at={1: {PAYMENTS}}, previous_incident_id=own)
    assert found is not None
    assert found.reopens
    assert choose(incident(1, resolved_minutes_ago=31), at={1: {PAYMENTS}}, previous_incident_id=own) is None
    assert choose(incident(1, resolved_minutes_ago=1), at={1: {PAYMENTS}}) is None


def test_two_unknown_things_are_not_one() -> None:
    assert choose(incident(1, service_id=None), service_id=None) is None


@given(
    st.lists(
        st.tuples(
            st.integers(0, 90),
            st.none() | st.integers(0, 90),
            st.sampled_from(["production", "staging"]),
            st.frozensets(services),
        ),
        max_size=5,
    ),
    st.none() | services,
    st.frozensets(services),
    st.none() | st.integers(0, 5),
)
def test_whatever_is_joined_is_of_the_same_environment_and_open_or_its_own(
    drawn: list[tuple[int, int | None, str, frozenset[UUID]]],
    service: UUID | None,
    near: frozenset[UUID],
    previous: int | None,
) -> None:
    candidates = [
        incident(number, minutes_ago=age, resolved_minutes_ago=resolved, environment=environment)
        for number, (age, resolved, environment, _) in enumerate(drawn)
    ]
    own = None if previous is None else UUID(int=100 + previous)
    found = choose(
        *candidates,
        at={number: set(inside) for number, (_, _, _, inside) in enumerate(drawn)},
        service_id=service,
        neighbours=near,
        previous_incident_id=own,
    )
    same = [c for c in candidates if c.environment == "production"]
    if found is None:
        assert not any(c.state == "open" and c.id == own for c in same)
        return
    assert found.why
    assert found.incident in same
    assert found.reopens == (found.incident.state == "resolved")
    assert not found.reopens or found.incident.id == own


@given(st.integers(1, 4))
def test_a_declared_incident_is_never_milder_than_a_suspected_one(tier: int) -> None:
    """incident.severity"""
    declared, suspected = (logic.severity_of(tier=tier, declared=value) for value in (True, False))
    assert declared == f"sev{tier}"
    assert not logic.is_worse(suspected, declared)
