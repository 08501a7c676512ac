"""Proving that a contact method works: a code or a signed link that went through the channel itself, and test messages.

The code is made when its message is written and kept as a hash only; a message that is sent again carries a new one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from watchbill.features.identity.contacts import contact_methods, verify_contact_method
from watchbill.features.identity.model import ContactMethod
from watchbill.features.identity.store import contact_code, contact_method
from watchbill.kernel.errors import Forbidden, NotFound, TooMany
from watchbill.runtime import due, ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor
from watchbill.runtime.signing import Signer

MESSAGE = "contact.message"
"""Due row: a code, a test or a test page to one contact method; the subject is ``<method>:<what>``."""

CODE_FOR = timedelta(minutes=15)
MOST_TRIES = 5
AGAIN_AFTER = timedelta(seconds=30)
LINK_FOR = timedelta(hours=24)
_PURPOSE = "contact"


def own_method(tx: Tx, *, person_id: UUID, contact_method_id: UUID) -> ContactMethod:
    """One of this person's methods.

    Raises:
        NotFound: this person has no such method.
    """
    mine = contact_methods(tx, person_ids=[person_id])[person_id]
    for method in mine:
        if method.id == contact_method_id:
            return method
    raise NotFound("there is no such contact method", field="contact_method_id", hint="see `watchbill contact list`")


def ask_for_code(tx: Tx, *, person_id: UUID, contact_method_id: UUID, actor: Actor) -> ContactMethod:
    """Send a code (and a link) through the method.

    Raises:
        NotFound: this person has no such method. TooMany: the last message went out less than 30 s ago.
    """
    return _send(tx, person_id=person_id, contact_method_id=contact_method_id, what="code", actor=actor)


def send_test(tx: Tx, *, person_id: UUID, contact_method_id: UUID, actor: Actor) -> ContactMethod:
    """Send a test message over the method, with a link that says it arrived.

    Raises:
        NotFound: this person has no such method. TooMany: the last message went out less than 30 s ago.
    """
    return _send(tx, person_id=person_id, contact_method_id=contact_method_id, what="test", actor=actor)


def _send(tx: Tx, *, person_id: UUID, contact_method_id: UUID, what: str, actor: Actor) -> ContactMethod:
    method = own_method(tx, person_id=person_id, contact_method_id=contact_method_id)
    if method.tried_at is not None and tx.now - method.tried_at < AGAIN_AFTER:
        raise TooMany("a message to this method went out a moment ago", hint="wait half a minute and try again")
    tx.execute(
        sa.update(contact_method).where(contact_method.c.id == method.id).values(tried_at=tx.now, tried_error=None)
    )
    payload = {"asked": int(tx.now.timestamp())}
    due.schedule(tx, kind=MESSAGE, subject=f"{method.id}:{what}", due_at=tx.now, payload=payload)
    ledger.append(
        tx,
        name=f"contact_method.{what}_sent",
        actor=actor,
        subject=("person", person_id),
        data={"contact_method_id": str(method.id), "channel": method.channel},
    )
    return method


def new_code(tx: Tx, *, contact_method_id: UUID) -> str:
    """Six digits, valid for a quarter of an hour; an earlier code of the method no longer is."""
    code = f"{secrets.randbelow(1_000_000):06}"
    kept = {
        "hash": _hash(contact_method_id, code),
        "tries": 0,
        "sent_at": tx.now,
        "expires_at": tx.now + CODE_FOR,
    }
    statement = insert(contact_code).values(contact_method_id=contact_method_id, **kept)
    tx.execute(statement.on_conflict_do_update(index_elements=["contact_method_id"], set_=kept))
    return code


def confirm_code(tx: Tx, *, person_id: UUID, contact_method_id: UUID, code: str, actor: Actor) -> bool:
    """Verify the method by its code; False when the code is wrong (and then one try less is left).

    Wrong is a value and no error, so that the count of tries is committed.

    Raises:
        NotFound: this person has no such method. Forbidden: no code was sent, it expired, or tries are used up.
    """
    own_method(tx, person_id=person_id, contact_method_id=contact_method_id)
    kept = tx.execute(
        sa.select(contact_code).where(contact_code.c.contact_method_id == contact_method_id).with_for_update()
    ).one_or_none()
    if kept is None or kept.expires_at <= tx.now or kept.tries >= MOST_TRIES:
        raise Forbidden("there is no code to compare with, or it expired", code="no_code", hint="send a new one")
    if not hmac.compare_digest(bytes(kept.hash), _hash(contact_method_id, "".join(code.split()))):
        tx.execute(
            sa.update(contact_code)
            .where(contact_code.c.contact_method_id == contact_method_id)
            .values(tries=contact_code.c.tries + 1)
        )
        return False
    tx.execute(sa.delete(contact_code).where(contact_code.c.contact_method_id == contact_method_id))
    verify_contact_method(tx, contact_method_id=contact_method_id, actor=actor)
    return True


def _hash(contact_method_id: UUID, code: str) -> bytes:
    return hashlib.sha256(f"{contact_method_id}:{code}".encode()).digest()


def proof_link(signer: Signer, *, base_url: str, contact_method_id: UUID, test_id: UUID | None, now: datetime) -> str:
    """The link that says "it arrived": bound to the method (and to a test page), good for a day."""
    claims = {"method": str(contact_method_id), "test": str(test_id) if test_id else ""}
    return f"{base_url}/c/{signer.sign(_PURPOSE, claims, expires_at=now + LINK_FOR)}"


def open_proof_link(signer: Signer, signed: str, *, now: datetime) -> tuple[UUID, UUID | None]:
    """(contact method, test page or None) that a link was made for.

    Raises:
        Forbidden: damaged, forged, made for something else, or expired.
    """
    claims = signer.verify(_PURPOSE, signed, now=now)
    return UUID(claims["method"]), UUID(claims["test"]) if claims.get("test") else None
