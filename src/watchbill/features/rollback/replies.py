"""``undo 12`` as a reply to a page: the probable cause of incident 12 is rolled back, as whoever was paged there.

What is undone must be what the person was told. When the ranking has another change first by now, the reply is answered
with a question, and the version (or kind) that stands in it makes it sure: ``undo 12 v2``.
"""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from watchbill.features import paging
from watchbill.features.changes import same_version
from watchbill.features.incidents import Incident
from watchbill.features.paging import Answered
from watchbill.features.rollback import actions
from watchbill.features.rollback import facts as gathering
from watchbill.features.rollback.model import Run
from watchbill.features.suspects import Suspect, title_of
from watchbill.kernel.errors import Conflict, Forbidden, NotFound
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx

_UNDO = re.compile(r"\s*(?:undo|rollback|roll\s+back)\b(?:[\s#:]*(\d{1,12})\b)?(?:\s+(\S{1,100}?))?[\s.!]*", re.I)


class Undo(msgspec.Struct, frozen=True, kw_only=True):
    """A reply understood: for which incident (None: the latest), and of which version or kind (None: the first)."""

    number: int | None = None
    which: str | None = None


def read_undo(text: str) -> Undo | None:
    """``undo 12``, ``undo``, ``roll back 12 v2``; None for anything else."""
    found = _UNDO.fullmatch(text)
    if found is None:
        return None
    return Undo(number=int(found.group(1)) if found.group(1) else None, which=found.group(2))


def answer_text(tx: Tx, *, channel: str, address: str, text: str, via: str) -> Answered:
    """A reply from an address: undo the probable cause, or whatever else paging understands (``ack 12``)."""
    undo = read_undo(text)
    if undo is None:
        answered = paging.answer_text(tx, channel=channel, address=address, text=text, via=via)
        hint = " 'undo 12' rolls its probable cause back."
        understood = answered.done or not answered.text.startswith("Reply ")
        return answered if understood else Answered(done=False, text=answered.text + hint)
    notification = paging.notified_at(tx, channel=channel, address=address, number=undo.number)
    if notification is None or notification.person_id is None:
        which = f"incident {undo.number}" if undo.number is not None else "a page"
        return Answered(done=False, text=f"Nothing was sent here about {which} in the last day.")
    found = [
        each
        for each in paging.incidents_in(tx, notification=notification)
        if undo.number is None or each.number == undo.number
    ]
    if len(found) != 1:
        numbers = ", ".join(str(each.number) for each in found)
        hint = f"reply 'undo {found[0].number}'" if found else "it is gone"
        return Answered(done=False, text=f"The last message was about incidents {numbers}: {hint}.")
    incident = found[0]
    suspect, question = _meant(tx, incident, undo.which, told_at=notification.sending_at)
    if suspect is None:
        return Answered(done=False, text=f"Incident {incident.number}: {question}")
    caller = paging.person_caller(tx, person_id=notification.person_id)
    paging.prove(tx, notification=notification)
    try:
        with tx.savepoint():
            run = actions.press(tx, change_id=suspect.change_id, incident=incident, caller=caller, via=via)
    except (Forbidden, Conflict, NotFound) as error:
        return Answered(done=False, text=f"Incident {incident.number}: {error.problem.message}.")
    return Answered(done=True, text=_said(run, suspect))


def _said(run: Run, suspect: Suspect) -> str:
    where = f"{suspect.service} {suspect.version or ''}".strip()
    return f"Rollback {run.number} of {where} to {run.previous_version or 'what was before'} is {run.state}."


def _meant(tx: Tx, incident: Incident, which: str | None, *, told_at: datetime | None) -> tuple[Suspect | None, str]:
    """The suspect that the reply means, or what to ask back."""
    ranking = gathering.ranking_of(tx, incident=incident)
    if ranking is None or not ranking.suspects:
        return None, "no change is suspected."
    if which is not None:
        for suspect in ranking.suspects:
            if same_version(suspect.version, which) or (suspect.version is None and suspect.kind == which.lower()):
                return suspect, ""
        return None, f"no suspect is of version {which}; the first is {title_of(ranking.suspects[0])}."
    top = ranking.suspects[0]
    told = None
    for entry in ledger.entries(tx, incident_id=incident.id, name="incident.suspected"):
        if told_at is not None and entry.at <= told_at:
            told = entry.data.get("change_id")
    if told != str(top.change_id):
        sure = top.version or top.kind
        return None, (
            f"the probable cause is {title_of(top)} now ({top.confidence:.0%}). "
            f"Reply 'undo {incident.number} {sure}' to roll it back."
        )
    return top, ""
