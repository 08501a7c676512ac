"""The promises, checked from what was written and what providers saw: none of paging's own decisions is asked.

Only the ledger, the rows and the simulation's own notes count here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from watchbill.kernel.clock import parse_instant
from watchbill.runtime.db import Tx

SLACK = timedelta(seconds=150)
"""A lease of a minute, a pause before the next try, and a commit whose answer was lost."""
ANSWERS = ("page.acknowledged", "page.snoozed", "page.handed_over", "page.handover_withdrawn")
EPOCH_REASONS = (
    "acknowledged ",
    "snoozed until now",
    "hand-over not accepted in time",
    "hand-over declined",
    "severity raised to ",
    "another service joined",
    "still firing",
)
LEGAL_NOTIFICATION = {
    ("queued", "sent"),
    ("queued", "delivered"),  # the provider's call-back overtook the pager's own commit
    ("queued", "failed"),
    ("queued", "cancelled"),
    ("cancelled", "sent"),  # in flight when it was acknowledged; that it went out is written
    ("failed", "sent"),  # a call-back said failed before the pager had written that it went out
    ("delivered", "sent"),  # likewise
    ("sent", "delivered"),
    ("sent", "failed"),
}
LEGAL_PAGE = {
    ("held", "escalating"),
    ("held", "acknowledged"),
    ("held", "ended"),
    ("escalating", "acknowledged"),
    ("escalating", "held"),
    ("escalating", "ended"),
    ("acknowledged", "escalating"),
    ("acknowledged", "held"),
    ("acknowledged", "ended"),
}
_WATCH = """
CREATE TABLE IF NOT EXISTS sim_trail (seq bigserial, what text, id uuid, before text, after text, epochs int);
CREATE OR REPLACE FUNCTION sim_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO sim_trail (what, id, before, after, epochs)
  VALUES (TG_TABLE_NAME, NEW.id, OLD.state, NEW.state, NEW.epoch - OLD.epoch);
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER sim_page AFTER UPDATE ON page FOR EACH ROW
  WHEN (OLD.state <> NEW.state OR OLD.epoch <> NEW.epoch) EXECUTE FUNCTION sim_note();
CREATE OR REPLACE TRIGGER sim_notification AFTER UPDATE ON notification FOR EACH ROW
  WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION sim_note();
"""
WATCH = [_WATCH]
UNWATCH = [
    "DROP TRIGGER IF EXISTS sim_page ON page",
    "DROP TRIGGER IF EXISTS sim_notification ON notification",
    "DROP FUNCTION IF EXISTS sim_note",
    "DROP TABLE IF EXISTS sim_trail",
]


class Stolen:
    """The times in which no pager could work: outages, jumps of the clock, hanging providers."""

    def __init__(self) -> None:
        self.spans: list[tuple[datetime, datetime]] = []

    def add(self, start: datetime, end: datetime) -> None:
        self.spans.append((start, end))

    def within(self, start: datetime, end: datetime) -> timedelta:
        """How much of this time was stolen at most; spans that overlap count twice."""
        found = timedelta()
        for since, until in self.spans:
            overlap = min(end, until) - max(start, since)
            if overlap > timedelta():
                found += overlap
        return found


def may_send(tx: Tx, *, page_id: UUID, epoch: int, person_id: UUID | None) -> str:
    """Why a notification that is being claimed must not go out, judged by the ledger alone; empty when it may."""
    latest = tx.execute(_LATEST, {"page": str(page_id)}).one_or_none()
    if latest is None:
        return f"page {page_id} was never opened"
    if latest.name == "page.ended":
        return f"page {page_id} has ended"
    said = latest.data.get("epoch")
    if latest.name in ANSWERS and said == epoch:
        return f"epoch {epoch} of page {page_id} is answered ({latest.name})"
    if latest.name == "page.handover_offered" and latest.data["person_id"] != str(person_id):
        return f"page {page_id} is answered, and being handed over to somebody else"
    if said != epoch:
        return f"page {page_id} is in epoch {said}, not {epoch}"
    return ""


_LATEST = sa.text(
    "SELECT name, data FROM ledger_entry WHERE subject_kind = 'page' AND subject_id = :page AND name IN ("
    "'page.opened', 'page.epoch_began', 'page.acknowledged', 'page.snoozed', 'page.handed_over',"
    " 'page.handover_offered', 'page.handover_withdrawn', 'page.ended') ORDER BY id DESC LIMIT 1"
)


class PageReader:
    """Reads one page's part of the ledger, entry by entry, and says what does not follow."""

    def __init__(self, page_id: str, policy: Mapping[str, Any], stolen: Stolen) -> None:
        self.page_id = page_id
        self.steps: Sequence[Mapping[str, Any]] = policy["steps"]
        self.end = len(self.steps) + policy["repeat_last"] if self.steps else 0
        self.waits = waits = [timedelta(seconds=step["wait_seconds"]) for step in self.steps]
        self.budget = sum(waits, timedelta()) + max(waits, default=timedelta()) * policy["repeat_last"]
        self.soonest: datetime | None = None
        self.fallback_wait = timedelta(seconds=policy["fallback_wait_seconds"])
        self.stolen = stolen
        self.wrong: list[str] = []
        self.state = ""
        self.epoch = 0
        self.next: set[int] = set()
        self.due: datetime | None = None
        self.since: datetime | None = None
        self.fell_back = False
        self.until: datetime | None = None
        self.answered: list[tuple[int, datetime]] = []

    def read(self, entry: Any) -> None:
        handler = getattr(self, "_" + entry.name.removeprefix("page."), None)
        if entry.name.startswith("page.") and handler is not None:
            handler(entry)

    def finish(self, now: datetime) -> None:
        if self.state == "escalating":
            self._stretch_over(now)
            if self.due is not None:
                self._in_time(now, self.due, "waits for its next step")

    def _say(self, what: str) -> None:
        self.wrong.append(f"page {self.page_id}, epoch {self.epoch}: {what}")

    def _in_time(self, at: datetime, due: datetime, what: str) -> None:
        late = at - due - self.stolen.within(due, at)
        if late > SLACK:
            self._say(f"{what} {late} too long, at {at}")

    def _begin(self, entry: Any) -> None:
        self.state, self.next, self.due, self.since, self.fell_back = "escalating", {0}, entry.at, entry.at, False
        self.soonest = None
        if not self.steps:
            self.next = {0, self.end}

    def _stretch_over(self, at: datetime) -> None:
        """However a stretch of escalation ends: if it was long enough, the fallback was asked in it."""
        since = self.since
        if since is None or self.fell_back:
            return
        if at - since - self.stolen.within(since, at) > self.budget + SLACK:
            self._say(f"nobody answered from {since} to {at}, and the fallback was not reached")

    def _opened(self, entry: Any) -> None:
        self.epoch = entry.data["epoch"]
        self._begin(entry)

    def _held(self, entry: Any) -> None:
        self.state, self.since = "held", None
        if not entry.why:
            self._say("held without a reason")

    def _released(self, entry: Any) -> None:
        if self.state != "held":
            self._say(f"released while {self.state}")
        self._begin(entry)

    def _epoch_began(self, entry: Any) -> None:
        if not entry.why.startswith(EPOCH_REASONS):
            self._say(f"a new epoch for no listed reason: {entry.why}")
        if entry.data["epoch"] != self.epoch + 1:
            self._say(f"epoch {entry.data['epoch']} follows {self.epoch}")
        timed = entry.why.startswith(("acknowledged ", "snoozed ", "hand-over not"))
        if timed and (self.state != "acknowledged" or self.until is None or entry.at < self.until):
            self._say(f"'{entry.why}' at {entry.at}, but the state is {self.state} until {self.until}")
        if self.state == "escalating":
            self._stretch_over(entry.at)
        self.epoch = entry.data["epoch"]
        self._begin(entry)

    def _step_skipped(self, entry: Any) -> None:
        step = entry.data["step"]
        self._expected(entry, step)
        if not entry.why:
            self._say(f"step {step} skipped without a reason")
        self._onward(step)

    def _step_taken(self, entry: Any) -> None:
        step = entry.data["step"]
        self._expected(entry, step)
        if not entry.data["people"] and not entry.data.get("channels"):
            self._say(f"step {step} reached nobody")
        if entry.data["epoch"] != self.epoch:
            self._say(f"step {step} belongs to epoch {entry.data['epoch']}")
        fallback = step >= self.end
        if bool(entry.data["fallback"]) != fallback:
            self._say(f"step {step} of {self.end} says fallback={entry.data['fallback']}")
        if self.due is not None:
            self._in_time(entry.at, self.due, f"step {step} came")
        self.fell_back = self.fell_back or fallback
        if self.soonest is not None and entry.at < self.soonest:
            self._say(f"step {step} came at {entry.at}, before the wait of the one before was over at {self.soonest}")
        # A repeat is of the last step that counts now; which that is, only the policy's hours know.
        waits = [self.fallback_wait] if fallback else self.waits[step : step + 1] or self.waits
        self.soonest, self.due = entry.at + min(waits), entry.at + max(waits)
        self.next = {step + 1}

    def _step_unreachable(self, entry: Any) -> None:
        self._onward(min(self.next) - 1)
        self.due, self.soonest = entry.at + timedelta(minutes=1), None

    def _nobody_reachable(self, entry: Any) -> None:
        self.next |= {self.end}
        self.due = entry.at + timedelta(minutes=1)
        self.fell_back = True

    def _onward(self, step: int) -> None:
        self.next = {step + 1} | ({self.end} if step >= len(self.steps) - 1 else set())
        self.next |= {step} if step >= self.end else set()

    def _expected(self, entry: Any, step: int) -> None:
        if self.state != "escalating":
            self._say(f"{entry.name} while {self.state}")
        if step not in self.next:
            self._say(f"step {step} follows where {sorted(self.next)} was next: a step was passed over silently")

    def _answer(self, entry: Any) -> None:
        if self.state == "ended":
            self._say(f"{entry.name} after the end")
        if self.state == "escalating":
            self._stretch_over(entry.at)
        self.state, self.since, self.due = "acknowledged", None, None
        if "until" in entry.data:
            self.until = parse_instant(entry.data["until"])
        self.answered.append((self.epoch, entry.at))

    _acknowledged = _snoozed = _handed_over = _handover_offered = _answer

    def _handover_withdrawn(self, entry: Any) -> None:
        self.until = entry.at

    def _ended(self, entry: Any) -> None:
        if self.state == "ended":
            self._say("ended twice")
        if self.state == "escalating":
            self._stretch_over(entry.at)
        self.state, self.since, self.due = "ended", None, None
        self.answered.append((self.epoch, entry.at))


def check_ledger(tx: Tx, stolen: Stolen) -> list[str]:
    """Every page's story: no step passed over silently, epochs for listed reasons, the fallback reached."""
    policies = {str(row.id): row.policy for row in tx.execute(sa.text("SELECT id, policy FROM page"))}
    entries = tx.execute(
        sa.text("SELECT id, at, name, subject_id, why, data FROM ledger_entry WHERE subject_kind = 'page' ORDER BY id")
    )
    readers: dict[str, PageReader] = {}
    for entry in entries:
        if entry.subject_id not in readers:
            readers[entry.subject_id] = PageReader(entry.subject_id, policies[entry.subject_id], stolen)
        readers[entry.subject_id].read(entry)
    for reader in readers.values():
        reader.finish(tx.now)
    silent = [f"page {id} has no story" for id in policies if id not in readers]
    return [*silent, *(wrong for reader in readers.values() for wrong in reader.wrong)]


def check_states(tx: Tx) -> list[str]:
    """Each change of state is one that may be."""
    found = []
    for row in tx.execute(sa.text("SELECT what, id, before, after, epochs FROM sim_trail ORDER BY seq")):
        legal = LEGAL_PAGE if row.what == "page" else LEGAL_NOTIFICATION
        if row.before != row.after and (row.before, row.after) not in legal:
            found.append(f"{row.what} {row.id} went from {row.before} to {row.after}")
        if row.epochs not in (0, 1):
            found.append(f"{row.what} {row.id} went {row.epochs} epochs on at once")
    return found


STALLED = {
    "alerts that page without an incident": (
        "SELECT a.id::text FROM alert a WHERE a.state <> 'resolved' AND a.urgency = 'page'"
        " AND a.environment = 'production' AND a.incident_id IS NULL"
    ),
    "open incidents with a firing alert, nobody paged and nobody's reason": (
        "SELECT i.number::text FROM incident i WHERE i.state = 'open' AND EXISTS"
        " (SELECT 1 FROM alert a WHERE a.incident_id = i.id AND a.state = 'firing')"
        " AND NOT EXISTS (SELECT 1 FROM page p WHERE p.incident_id = i.id AND (p.state <> 'ended'"
        " OR p.ended_because LIKE 'cancelled:%' OR p.ended_because LIKE 'reassigned%'))"
    ),
    "pages that nothing will move": (
        "SELECT p.id::text FROM page p WHERE p.state <> 'ended' AND NOT EXISTS (SELECT 1 FROM due_row d"
        " WHERE d.subject = p.id::text AND d.kind = CASE p.state WHEN 'acknowledged'"
        " THEN 'page.acknowledgement_expires' ELSE 'page.step' END)"
    ),
    "queued notifications that nothing will send": (
        "SELECT n.id::text FROM notification n WHERE n.state = 'queued' AND NOT EXISTS (SELECT 1 FROM due_row d"
        " WHERE d.kind = 'notification.send' AND d.subject IN (n.id::text, n.bundle_id::text))"
    ),
    "notifications that failed or were sent without saying so": (
        "SELECT n.id::text FROM notification n WHERE (n.state = 'failed' AND n.error IS NULL)"
        " OR (n.state = 'sent' AND n.sent_at IS NULL) OR (n.state <> 'queued' AND n.settled_at IS NULL)"
    ),
    "escalating pages of which nobody was sent anything": (
        "SELECT p.id::text FROM page p WHERE p.state = 'escalating' AND NOT EXISTS (SELECT 1 FROM notification n"
        " WHERE n.page_id = p.id AND n.epoch = p.epoch AND n.state IN ('sent', 'delivered'))"
    ),
    "steps without notifications": (
        "SELECT l.subject_id FROM ledger_entry l WHERE l.name = 'page.step_taken' AND NOT EXISTS"
        " (SELECT 1 FROM notification n WHERE n.page_id::text = l.subject_id"
        " AND n.epoch = (l.data->>'epoch')::int AND n.step = (l.data->>'step')::int)"
    ),
}
"""Asked when everything works again and some time has passed; what it lists broke a promise."""


def check_stalled(tx: Tx) -> list[str]:
    """What should have moved by now."""
    found = []
    for what, query in STALLED.items():
        ids = tx.execute(sa.text(query)).scalars().all()
        if ids:
            found.append(f"{what}: {', '.join(ids[:3])}" + (f" and {len(ids) - 3} more" if len(ids) > 3 else ""))
    return found


def check_tried(tx: Tx, stolen: Stolen) -> list[str]:
    """What was still queued when somebody answered had not been due for long; a throttled channel may be slower."""
    found = []
    over = sa.text(
        "SELECT n.id, n.due_at, n.settled_at FROM notification n WHERE n.state = 'cancelled'"
        " AND NOT EXISTS (SELECT 1 FROM channel_throttle t WHERE t.channel = n.channel)"
    )
    for row in tx.execute(over):
        late = row.settled_at - row.due_at - stolen.within(row.due_at, row.settled_at)
        if late > SLACK:
            found.append(f"notification {row.id} was due for {late} and was not tried")
    return found


def check_sent(tx: Tx, taken: Iterable[UUID], shadows: Iterable[tuple[UUID, UUID]]) -> list[str]:
    """What is called sent was taken by a provider; cancelled only what was answered or over; no shadow answered."""
    really = set(taken)
    found = []
    for row in tx.execute(sa.text("SELECT id, state, sent_at FROM notification")):
        if row.sent_at is not None and row.id not in really:
            found.append(f"notification {row.id} is called sent, and no provider took it")
    ends: dict[str, list[datetime]] = defaultdict(list)
    over = sa.text(
        "SELECT subject_id, at FROM ledger_entry WHERE subject_kind = 'page' AND name IN ('page.acknowledged',"
        " 'page.snoozed', 'page.handed_over', 'page.handover_offered', 'page.handover_withdrawn', 'page.ended',"
        " 'page.epoch_began')"
    )
    for row in tx.execute(over):
        ends[row.subject_id].append(row.at)
    cancelled = sa.text("SELECT id, page_id::text AS page, settled_at FROM notification WHERE state = 'cancelled'")
    for row in tx.execute(cancelled):
        if not any(at <= row.settled_at for at in ends[row.page]):
            found.append(f"notification {row.id} was cancelled, and nobody had answered")
    rows = tx.execute(sa.text("SELECT team_id, acknowledged_by FROM page WHERE acknowledged_by IS NOT NULL"))
    answered = {(row.team_id, row.acknowledged_by) for row in rows}
    found += [f"a shadow of team {team} acknowledged its page: {person}" for team, person in answered & set(shadows)]
    return found
