"""People, invitations, sessions and tokens over a real database on a virtual clock."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from watchbill.features import identity
from watchbill.kernel.clock import VirtualClock
from watchbill.kernel.errors import Conflict, Forbidden, Invalid, Unauthenticated
from watchbill.runtime import ledger
from watchbill.runtime.db import Database

SYSTEM = ledger.system("test")
ALICE = "alice@example.org"


def names(db: Database, kind: str, subject: UUID) -> list[str]:
    with db.transaction() as tx:
        return [entry.name for entry in ledger.entries(tx, subject=(kind, subject))]


def test_people_named_in_a_manifest_are_made_once_with_their_email(virtual_db: Database) -> None:
    with virtual_db.transaction() as tx:
        first = identity.ensure_people(tx, logins=["Alice@Example.org", "bob"])
        again = identity.ensure_people(tx, logins=["bob", ALICE])
        methods = identity.contact_methods(tx, person_ids=first.values())
    assert first["Alice@Example.org"] == again[ALICE]
    assert [method.address for method in methods[again[ALICE]]] == [ALICE]
    assert methods[again["bob"]] == []
    assert names(virtual_db, "person", again["bob"]) == ["person.added"]


def test_two_thousand_people_are_ensured_quickly(db: Database) -> None:
    logins = [f"p{n}@example.org" for n in range(2000)]
    with db.transaction() as tx:
        assert len(identity.ensure_people(tx, logins=logins)) == 2000
        assert len(identity.ensure_people(tx, logins=logins)) == 2000


def test_an_unchanged_change_is_no_entry(virtual_db: Database) -> None:
    with virtual_db.transaction() as tx:
        alice = identity.ensure_person(tx, login=ALICE, name="Alice")
        identity.change_person(tx, person_id=alice.id, name="Alice", role="responder", actor=SYSTEM)
    assert names(virtual_db, "person", alice.id) == ["person.added", "person.changed"]


def test_an_invitation_works_once_and_a_newer_one_voids_it(virtual_db: Database, clock: VirtualClock) -> None:
    with virtual_db.transaction() as tx:
        old = identity.invitation_claims(identity.invite_person(tx, login=ALICE, role="admin", actor=SYSTEM))
    clock.advance(timedelta(minutes=1))
    with virtual_db.transaction() as tx:
        new = identity.invitation_claims(identity.invite_person(tx, login=ALICE, role="admin", actor=SYSTEM))
        with pytest.raises(Conflict):
            identity.accept_invitation(tx, claims=old, password="correct horse")
        with pytest.raises(Invalid):
            identity.accept_invitation(tx, claims=new, password="short")
        secret = identity.accept_invitation(tx, claims=new, password="correct horse")
        assert identity.caller_of_session(tx, secret=secret).role == "admin"
        with pytest.raises(Conflict):
            identity.accept_invitation(tx, claims=new, password="another horse")


def test_a_session_ends_after_its_time_and_on_sign_out(virtual_db: Database, clock: VirtualClock) -> None:
    with virtual_db.transaction() as tx:
        alice = identity.ensure_person(tx, login=ALICE)
        identity.set_password(tx, person_id=alice.id, password="correct horse", actor=SYSTEM)
        first = identity.sign_in(tx, login=ALICE, password="correct horse")
        second = identity.sign_in(tx, login=ALICE, password="correct horse")
        assert first != second
        identity.sign_out(tx, secret=first)
        with pytest.raises(Unauthenticated):
            identity.caller_of_session(tx, secret=first)
        assert identity.caller_of_session(tx, secret=second).person_id == alice.id
    clock.advance(identity.SESSION_FOR)
    with virtual_db.transaction() as tx:
        with pytest.raises(Unauthenticated):
            identity.caller_of_session(tx, secret=second)
        assert identity.forget_expired_sessions(tx) == 1


@pytest.mark.parametrize(("login", "password"), [(ALICE, "wrong horse"), ("nobody", "correct horse"), ("bob", "x")])
def test_a_wrong_sign_in_does_not_say_what_was_wrong(virtual_db: Database, login: str, password: str) -> None:
    with virtual_db.transaction() as tx:
        people = identity.ensure_people(tx, logins=[ALICE, "bob"])
        identity.set_password(tx, person_id=people[ALICE], password="correct horse", actor=SYSTEM)
        with pytest.raises(Unauthenticated, match="wrong login or password"):
            identity.sign_in(tx, login=login, password=password)


def test_a_deactivated_person_is_signed_out_and_stays_out(virtual_db: Database) -> None:
    with virtual_db.transaction() as tx:
        alice = identity.ensure_person(tx, login=ALICE)
        identity.set_password(tx, person_id=alice.id, password="correct horse", actor=SYSTEM)
        secret = identity.sign_in(tx, login=ALICE, password="correct horse")
        identity.change_person(tx, person_id=alice.id, active=False, actor=SYSTEM)
        with pytest.raises(Unauthenticated):
            identity.caller_of_session(tx, secret=secret)
        with pytest.raises(Unauthenticated):
            identity.sign_in(tx, login=ALICE, password="correct horse")


def test_an_own_password_change_needs_the_one_now(virtual_db: Database) -> None:
    with virtual_db.transaction() as tx:
        alice = identity.ensure_person(tx, login=ALICE)
        identity.change_password(tx, person_id=alice.id, current="", password="correct horse")
        with pytest.raises(Forbidden):
            identity.change_password(tx, person_id=alice.id, current="guess", password="another horse")


def test_revoking_a_token_ends_the_sessions_opened_with_it(virtual_db: Database) -> None:
    with virtual_db.transaction() as tx:
        token, secret = identity.create_token(tx, name="ci", role="viewer", actor=SYSTEM)
        session = identity.sign_in_with_token(tx, secret=secret)
        assert identity.caller_of_session(tx, secret=session).name == "ci"
        identity.revoke_token(tx, token_id=token.id, actor=SYSTEM)
        identity.revoke_token(tx, token_id=token.id, actor=SYSTEM)
        with pytest.raises(Unauthenticated):
            identity.caller_of_session(tx, secret=session)
    assert names(virtual_db, "token", token.id) == ["token.created", "token.revoked"]


def test_the_first_start_makes_one_admin_and_later_starts_none(virtual_db: Database) -> None:
    with virtual_db.transaction() as tx:
        local = identity.local_token(tx, present=None)
        first = identity.bootstrap_admin(tx)
        assert first is not None
        assert identity.authenticate_token(tx, secret=first).role == "admin"
        assert identity.bootstrap_admin(tx) is None
        assert identity.local_token(tx, present=local) == local
        replaced = identity.local_token(tx, present=None)
        with pytest.raises(Unauthenticated):
            identity.authenticate_token(tx, secret=local)
        assert identity.authenticate_token(tx, secret=replaced).name == "local"


def test_an_erased_login_is_free_for_somebody_else(virtual_db: Database) -> None:
    with virtual_db.transaction() as tx:
        alice = identity.ensure_person(tx, login=ALICE, name="Alice")
        identity.erase_person(tx, person_id=alice.id, actor=SYSTEM)
        assert identity.people(tx, ids=[alice.id])[alice.id].name == "(erased)"
        assert identity.ensure_person(tx, login=ALICE).id != alice.id
