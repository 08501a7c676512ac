"""The gate's rules: what stops, what is unknown, what always goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.features import gates
from watchbill.features.gates import Facts, Freeze, IncidentFact, Override, Policy, SloFact

NOW = datetime(2026, 3, 6, 17, 0, tzinfo=UTC)  # a Friday
OK = SloFact(name="charge · availability", state="ok", remaining=0.8)


def facts(*slos: SloFact, **more) -> Facts:
    given = {
        "service": "payments", "tier": 2, "environment": "production", "version": "v2", "is_rollback": False,
        "is_fix": False, "policy": Policy(), "slos": slos or (OK,), "incidents": (), "overrides": (), "stale": None,
    }  # fmt: skip
    return Facts(**{**given, **more})


def override(**more) -> Override:
    id = UUID(int=1)
    given = {
        "id": id, "service_id": id, "environment": "production", "version": None, "reason": "sale", "signed_by": id,
        "created_at": NOW - timedelta(minutes=5), "expires_at": NOW + timedelta(hours=1), "withdrawn_at": None,
    }  # fmt: skip
    return Override(**{**given, **more})


def test_a_healthy_service_goes_and_a_spent_budget_does_not():
    assert gates.decide(facts(), now=NOW).answer == "go"
    spent = gates.decide(facts(SloFact(name="a", state="ok", remaining=-0.1)), now=NOW)
    assert (spent.answer, spent.proceed) == ("no-go", False)
    assert "-10%" in spent.summary
    assert spent.reasons[0].change


def test_what_a_dependency_spent_does_not_freeze_the_innocent():
    innocent = SloFact(name="a", state="ok", remaining=-0.1, own_remaining=0.7)
    decision = gates.decide(facts(innocent), now=NOW)
    assert decision.answer == "go"
    assert decision.reasons[0].code == "budget_exempt"
    burning = SloFact(name="a", state="firing", tier="page", remaining=0.5, exempt="incident 7 of db")
    assert gates.decide(facts(burning), now=NOW).answer == "go"


def test_unmeasured_is_unknown_and_the_policy_says_whether_the_door_is_open():
    unmeasured = SloFact(name="a", state="unmeasured", reason="no spans")
    opened = gates.decide(facts(unmeasured), now=NOW)
    closed = gates.decide(facts(unmeasured, policy=Policy(unknown="closed")), now=NOW)
    assert (opened.answer, opened.proceed, closed.answer, closed.proceed) == ("unknown", True, "unknown", False)


def test_an_override_covers_its_version_until_it_expires():
    """gate.override"""
    burning = SloFact(name="a", state="firing", tier="page", burn=20.0, remaining=0.5)
    assert gates.decide(facts(burning, overrides=(override(),)), now=NOW).answer == "go"
    assert gates.decide(facts(burning, overrides=(override(version="v1"),)), now=NOW).answer == "no-go"
    assert gates.decide(facts(burning, overrides=(override(),)), now=NOW + timedelta(hours=1)).answer == "no-go"
    assert gates.decide(facts(burning, overrides=(override(withdrawn_at=NOW),)), now=NOW).answer == "no-go"


def test_a_freeze_holds_by_the_wall_of_its_zone_and_says_when_it_ends():
    weekend = Freeze(name="weekend", days=("fri",), after="16:00", time_zone="Europe/Berlin")
    both = Freeze(name="weekend", days=("sat", "sun"))
    once = Freeze(name="sale", start=NOW, end=NOW + timedelta(days=2))
    assert gates.frozen_until(weekend, now=NOW) == datetime(2026, 3, 6, 23, 0, tzinfo=UTC)
    assert gates.frozen_until(weekend, now=NOW - timedelta(hours=2, seconds=1)) is None
    assert gates.frozen_until(both, now=NOW + timedelta(days=1)) == datetime(2026, 3, 9, 0, 0, tzinfo=UTC)
    assert gates.frozen_until(once, now=NOW) == NOW + timedelta(days=2)
    assert gates.frozen_until(once, now=NOW + timedelta(days=2)) is None
    decision = gates.decide(facts(policy=Policy(freeze=(once,))), now=NOW)
    assert (decision.answer, decision.reasons[0].until_at) == ("no-go", NOW + timedelta(days=2))


slos = st.builds(
    SloFact,
    name=st.just("a"),
    state=st.sampled_from(["ok", "firing", "recovering", "unmeasured", None]),
    tier=st.sampled_from(["page", "ticket", None]),
    remaining=st.none() | st.floats(-2, 1),
)
incidents = st.builds(
    IncidentFact,
    number=st.integers(1, 9),
    title=st.just("t"),
    severity=st.sampled_from(["sev1", "sev2", "sev3", "sev4"]),
    declared=st.booleans(),
    service=st.just("db"),
    dependency=st.booleans(),
)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(slos, max_size=3),
    st.lists(incidents, max_size=2),
    st.integers(1, 4),
    st.sampled_from(["open", "closed"]),
)
def test_rollbacks_and_fixes_always_go_and_every_answer_has_its_reason(listed, open_ones, tier, door):
    """gate.answers: rollbacks and fixes always go."""
    policy = msgspec.structs.replace(gates.default_policy(tier), unknown=door)
    asked = facts(*listed, tier=tier, policy=policy, incidents=tuple(open_ones))
    decision = gates.decide(asked, now=NOW)
    effects = {reason.effect for reason in decision.reasons}
    assert (decision.answer == "no-go") == ("stops" in effects)
    assert decision.answer != "unknown" or ("unknown" in effects and decision.proceed == (door == "open"))
    for always in ({"is_fix": True}, {"is_rollback": True}):
        assert gates.decide(msgspec.structs.replace(asked, **always), now=NOW).answer == "go"


def test_a_signature_opens_a_door_that_is_closed_because_nobody_knows():
    """gate.override"""
    unmeasured = SloFact(name="a", state="unmeasured", reason="no spans")
    closed = facts(unmeasured, policy=Policy(unknown="closed"), overrides=(override(),))
    signed = gates.decide(closed, now=NOW)
    assert (signed.answer, signed.proceed) == ("go", True)
    assert [reason.code for reason in signed.reasons] == ["override", "unmeasured"]
    left = facts(unmeasured, overrides=(override(),))
    assert gates.decide(left, now=NOW).answer == "unknown", "where nothing is shut no signature is used"


def test_traffic_that_stays_away_stops_a_deploy_and_is_called_so():
    silent = SloFact(name="a", state="firing", tier="page", remaining=0.9, traffic_lost=True)
    decision = gates.decide(facts(silent), now=NOW)
    assert (decision.answer, decision.reasons[0].says) == ("no-go", "a has lost its traffic")
    theirs = gates.decide(facts(msgspec.structs.replace(silent, exempt="incident 7 of db")), now=NOW)
    assert theirs.answer == "go"
