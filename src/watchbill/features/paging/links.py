"""The addresses in a page's message. The acknowledge link is signed and bound to person, page, action and expiry."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from watchbill.features.incidents import EvidenceAction
from watchbill.runtime.signing import Signer

_PURPOSE = "acknowledge"
_ACT = "act-on-evidence"
LINK_FOR = timedelta(hours=24)
"""How long an acknowledge link works."""


class SignedLinks:
    """Makes the links of a message (see `Links`)."""

    def __init__(self, *, base_url: str, signer: Signer) -> None:
        self._base_url = base_url
        self._signer = signer

    def acknowledge(self, *, person_id: UUID, page_id: UUID, now: datetime) -> str:
        """The link that acknowledges this page as this person."""
        claims = {"person": str(person_id), "page": str(page_id)}
        return f"{self._base_url}/a/{self._signer.sign(_PURPOSE, claims, expires_at=now + LINK_FOR)}"

    def incident(self, number: int) -> str:
        """The incident's page; needs a sign-in."""
        return f"{self._base_url}/incidents/{number}"

    def action(self, *, person_id: UUID, incident_id: UUID, action: EvidenceAction, now: datetime) -> str:
        """The link that does this as this person: opening it asks, its button acts."""
        claims = {
            "person": str(person_id),
            "incident": str(incident_id),
            "action": action.name,
            "subject": str(action.subject),
        }
        return f"{self._base_url}/do/{self._signer.sign(_ACT, claims, expires_at=now + LINK_FOR)}"


class Act(NamedTuple):
    """What a link to act on evidence was made for."""

    person_id: UUID
    incident_id: UUID
    action: str
    subject: UUID


def open_action(signer: Signer, signed: str, *, now: datetime) -> Act:
    """Who may do what by this link.

    Raises:
        Forbidden: damaged, forged, made for something else, or expired.
    """
    claims = signer.verify(_ACT, signed, now=now)
    return Act(UUID(claims["person"]), UUID(claims["incident"]), claims["action"], UUID(claims["subject"]))


def open_link(signer: Signer, signed: str, *, now: datetime) -> tuple[UUID, UUID]:
    """(person, page) that an acknowledge link was made for.

    Raises:
        Forbidden: damaged, forged, made for something else, or expired.
    """
    claims = signer.verify(_PURPOSE, signed, now=now)
    return UUID(claims["person"]), UUID(claims["page"])
