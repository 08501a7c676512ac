"""The worker's duties around reaching people: monthly test pages, Slack's user groups, alerts about ourselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from urllib.parse import urlencode

import httpx
import msgspec
import structlog

from watchbill.channels import Context as ChannelContext
from watchbill.features import alerts, catalog, identity, oncall
from watchbill.kernel.errors import WatchbillError
from watchbill.processes import heartbeat
from watchbill.runtime import due
from watchbill.runtime.config import Settings
from watchbill.runtime.db import Database, Tx
from watchbill.runtime.loops import Loop

log = structlog.get_logger("watchbill.reaching")

INTEGRATION = "watchbill"
"""The built-in integration of Watchbill's alerts about itself; nobody owns them, so the fallback team is paged."""
_LAG = "page-lag"
_OUTBOX = "outbox-age"


def test_page_loop(db: Database, settings: Settings) -> list[Loop]:
    """Begin the test pages that are due, and close those nobody answered."""
    if settings.reach_test_days == 0:
        return []
    every = timedelta(days=settings.reach_test_days)
    return [Loop("reach-tests", lambda: begin_and_close_tests(db, every), idle_seconds=600.0)]


def begin_and_close_tests(db: Database, every: timedelta) -> int:
    """One pass over everybody who may be paged: members of teams, shadows apart; returns 0."""
    with db.transaction() as tx:
        identity.close_tests(tx)
        found = catalog.members(tx, team_ids=[team.id for team in catalog.teams(tx)])
        paged = {member.person_id for members in found.values() for member in members if member.role != "shadow"}
        identity.begin_due_tests(tx, person_ids=sorted(paged), every=every)
    return 0


class _Said(msgspec.Struct, frozen=True):
    ok: bool = False
    error: str = ""
    users: list[str] = []


class UserGroups:
    """Slack user groups kept equal to who is on call (``usergroups.users.update``)."""

    def __init__(self, db: Database, context: ChannelContext) -> None:
        self._db = db
        self._context = context
        self._kept: dict[str, tuple[str, ...]] = {}

    def loop(self) -> Loop:
        """Every minute; Slack is asked only when somebody else is on call, or after a restart."""
        return Loop("slack-usergroups", self.keep, idle_seconds=60.0)

    def keep(self) -> int:
        """One pass over all groups; returns 0. A group is left as it is when nobody on call is known to Slack."""
        with self._db.transaction() as tx:
            wanted = list(self._wanted(tx))
        for group, users in wanted:
            if not users:
                log.warning(
                    "a Slack user group is left as it is: nobody on call has a Slack contact method", group=group
                )
            elif self._kept.get(group) != users and self._update(group, users):
                self._kept[group] = users
        return 0

    def _wanted(self, tx: Tx) -> Iterable[tuple[str, tuple[str, ...]]]:
        for group in catalog.all_team_channels(tx):
            if group.channel != catalog.USER_GROUP:
                continue
            shift = oncall.people_on_call(tx, team_id=group.team_id, at=tx.now)
            methods = identity.contact_methods(tx, person_ids=shift.people)
            users = {
                m.address for found in methods.values() for m in found if m.channel == "slack" and m.address[0] in "UW"
            }
            yield group.address, tuple(sorted(users))

    def _update(self, group: str, users: tuple[str, ...]) -> bool:
        try:
            answer = self._context.provider_http.request(
                "POST",
                f"{self._context.slack_url.rstrip('/')}/usergroups.users.update",
                content=urlencode({"usergroup": group, "users": ",".join(users)}).encode(),
                headers={
                    "authorization": f"Bearer {self._context.slack_bot_token}",
                    "content-type": "application/x-www-form-urlencoded",
                },
            )
            said = msgspec.json.decode(answer.body, type=_Said)
        except (httpx.HTTPError, WatchbillError, msgspec.DecodeError) as error:
            log.warning("Slack's user group was not updated", group=group, why=type(error).__name__)
            return False
        if not said.ok:
            log.warning("Slack refused the user group", group=group, why=said.error or answer.status)
        return said.ok


def self_watch_loop(db: Database) -> Loop:
    """Alerts about Watchbill itself, by the same way as everybody's."""
    firing: set[str] = set()
    return Loop("self-watch", lambda: watch_itself(db, firing), idle_seconds=30.0)


def watch_itself(db: Database, firing: set[str]) -> int:
    """Fire or resolve the alerts about page lag and outbox age; ``firing`` is what this process knows to fire."""
    with db.transaction() as tx:
        lag = heartbeat.lag_of(due.backlog(tx))
        late = {
            _LAG: (lag.page_seconds, heartbeat.MOST_PAGE_LAG_SECONDS, "Pages are late"),
            _OUTBOX: (lag.outbox_seconds, heartbeat.MOST_OUTBOX_AGE_SECONDS, "Messages to people wait"),
        }
        events = []
        for name, (seconds, most, title) in late.items():
            if seconds > most:
                said = f"the oldest has waited for {seconds:.0f} s; see `watchbill status` and the pager's log"
                events.append(alerts.Event(identity=name, action="trigger", title=title, description=said))
                firing.add(name)
            elif name in firing or _is_firing(tx, name):
                events.append(alerts.Event(identity=name, action="resolve", title=title))
                firing.discard(name)
        if events:
            source = alerts.builtin_integration(tx, name=INTEGRATION)
            alerts.accept_events(tx, integration_id=source.id, events=events)
    return 0


def _is_firing(tx: Tx, name: str) -> bool:
    """After a restart: an alert of ours that still fires."""
    return any(
        alert.identity == name and alert.integration_id == alerts.builtin_integration(tx, name=INTEGRATION).id
        for alert in alerts.open_alerts(tx)
    )


def push_key_of(db: Database) -> Callable[[], str]:
    """The key of web pushes, read once."""
    kept: list[str] = []

    def read() -> str:
        if not kept:
            from watchbill.channels import webpush

            with db.transaction() as tx:
                kept.append(identity.web_push_key(tx, make=webpush.new_key))
        return kept[0]

    return read
