"""Who may do what, what a login is, and what signed links are worth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.features.identity import Caller, FailureLimit, may, normalise_login
from watchbill.features.identity.contacts import check_address
from watchbill.features.identity.logic import Action, refusal
from watchbill.kernel.errors import Forbidden, Invalid, TooMany
from watchbill.runtime.signing import Signer

PAYMENTS, LEDGER = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ROLES = st.sampled_from(["viewer", "responder", "admin"])
TEAMS = st.sampled_from([None, PAYMENTS, LEDGER])
ACTIONS = st.sampled_from(["read", "respond", "manage_team", "administer"])


@st.composite
def callers(draw: st.DrawFn) -> Caller:
    kind = draw(st.sampled_from(["person", "token"]))
    bound = draw(TEAMS) if kind == "token" else None
    teams = frozenset(
        {bound} if bound else draw(st.sets(st.sampled_from([PAYMENTS, LEDGER]))) if kind == "person" else ()
    )
    return Caller(
        kind=kind,
        id=UUID(int=9),
        name="x",
        role=draw(ROLES),
        person_id=UUID(int=9) if kind == "person" else None,
        team_ids=teams,
        token_team_id=bound,
    )


def person(role: str, *teams: UUID) -> Caller:
    return Caller(
        kind="person", id=UUID(int=7), name="x", role=role, person_id=UUID(int=7), team_ids=frozenset(teams)
    )  # type: ignore[arg-type]


@given(callers(), TEAMS, st.booleans())
def test_everybody_known_may_read(caller: Caller, team_id: UUID | None, involved: bool) -> None:
    assert may(caller, "read", team_id, involved=involved)


@given(callers(), TEAMS, st.booleans())
def test_only_unbound_admins_administer_the_organisation(
    caller: Caller, team_id: UUID | None, involved: bool
) -> None:
    if may(caller, "administer", team_id, involved=involved):
        assert caller.role == "admin"
        assert caller.token_team_id is None


@given(callers(), ACTIONS, TEAMS, st.booleans())
def test_a_bound_token_never_changes_another_team(
    caller: Caller, action: Action, team_id: UUID | None, involved: bool
) -> None:
    if caller.token_team_id is not None and caller.token_team_id != team_id and action != "read":
        assert not may(caller, action, team_id, involved=involved)


@given(callers(), ACTIONS, TEAMS)
def test_being_involved_never_takes_a_right_away(caller: Caller, action: Action, team_id: UUID | None) -> None:
    assert may(caller, action, team_id, involved=True) >= may(caller, action, team_id)


@given(callers(), ACTIONS, TEAMS, st.booleans())
def test_a_stronger_role_never_may_less(caller: Caller, action: Action, team_id: UUID | None, involved: bool) -> None:
    import msgspec

    answers = [
        may(msgspec.structs.replace(caller, role=role), action, team_id, involved=involved)
        for role in ("viewer", "responder", "admin")
    ]
    assert answers == sorted(answers)


def test_alice_bob_and_dana_may_acknowledge_for_payments_and_charlie_only_when_notified() -> None:
    alice, bob = person("responder", PAYMENTS), person("viewer", PAYMENTS)
    charlie, dana = person("responder", LEDGER), person("admin")
    assert all(may(caller, "respond", PAYMENTS) for caller in (alice, bob, dana))
    assert not may(charlie, "respond", PAYMENTS)
    assert may(charlie, "respond", PAYMENTS, involved=True)


def test_a_viewer_in_the_team_changes_nothing_of_the_rota() -> None:
    assert refusal(person("viewer", PAYMENTS), "manage_team", PAYMENTS) == "viewers only read"


@given(st.text(max_size=40))
def test_a_normalised_login_is_its_own_normal_form(text: str) -> None:
    try:
        login = normalise_login(text)
    except Invalid:
        return
    assert normalise_login(login) == login == login.strip().lower()


@pytest.mark.parametrize(
    ("channel", "address"),
    [
        ("email", "alice"),
        ("email", "a b@example.org"),
        ("webhook", "ftp://x/"),
        ("webhook", "https://"),
        ("ntfy", "http://x:99999/"),
        ("apprise", "x"),
        ("pigeon", "x"),
        ("webhook", "https://x/\ny"),
    ],
)
def test_an_impossible_address_is_refused(channel: str, address: str) -> None:
    with pytest.raises(Invalid):
        check_address(channel, address)


def test_a_link_carries_its_claims_until_it_expires() -> None:
    signer = Signer(["new" * 12, "old" * 12])
    text = signer.sign("acknowledge", {"page_id": "1"}, expires_at=NOW + timedelta(hours=1))
    assert signer.verify("acknowledge", text, now=NOW) == {"page_id": "1"}
    with pytest.raises(Forbidden, match="expired"):
        signer.verify("acknowledge", text, now=NOW + timedelta(hours=1))


def test_a_link_is_worth_nothing_for_another_purpose_or_when_touched() -> None:
    signer = Signer(["k" * 32])
    text = signer.sign("acknowledge", {"page_id": "1"}, expires_at=NOW + timedelta(hours=1))
    for purpose, forged in (("invitation", text), ("acknowledge", text[:-1] + ("A" if text[-1] != "A" else "B"))):
        with pytest.raises(Forbidden, match="damaged"):
            signer.verify(purpose, forged, now=NOW)


@given(st.text())
def test_any_text_that_we_did_not_sign_is_refused_and_nothing_worse(text: str) -> None:
    with pytest.raises(Forbidden):
        Signer(["k" * 32]).verify("acknowledge", text, now=NOW)


def test_keys_rotate_the_first_signs_and_all_verify() -> None:
    before, after, later = Signer(["a" * 32]), Signer(["b" * 32, "a" * 32]), Signer(["b" * 32])
    old = before.sign("x", {}, expires_at=NOW + timedelta(days=1))
    new = after.sign("x", {}, expires_at=NOW + timedelta(days=1))
    assert after.verify("x", old, now=NOW) == {} == later.verify("x", new, now=NOW)
    with pytest.raises(Forbidden):
        later.verify("x", old, now=NOW)


def test_failures_are_limited_for_each_key_and_forgotten_in_time() -> None:
    limit = FailureLimit(most=2, window_seconds=60, keys=10)
    for second in (0, 1):
        limit.check("alice", now=second)
        limit.failed("alice", now=second)
    with pytest.raises(TooMany):
        limit.check("alice", now=2)
    limit.check("bob", now=2)
    limit.check("alice", now=61)
