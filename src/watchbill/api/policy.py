"""What a policy does before it is needed: the preview of a page, and a replay of history under other manifests."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import FromQuery, JSONBody

from watchbill.api.given import GivenCaller, GivenDb
from watchbill.api.incident_views import Names
from watchbill.api.times import instant_of
from watchbill.features import catalog, paging
from watchbill.kernel.clock import format_instant
from watchbill.kernel.durations import parse_duration
from watchbill.kernel.errors import Forbidden, Invalid, NotFound
from watchbill.manifest import File
from watchbill.manifest.policy import Replay, replay
from watchbill.runtime.db import Tx

REPLAY_BYTES = 16 * 1024 * 1024


class SendView(msgspec.Struct, frozen=True, kw_only=True):
    """One message: to whom, how, and when if nobody has answered by then."""

    at: datetime
    person: str
    channel: str


class PreviewLine(msgspec.Struct, frozen=True, kw_only=True):
    """What happens at one instant; ``after_seconds`` counts from the alert."""

    at: datetime
    after_seconds: int
    what: str
    why: str
    people: list[str]
    channels: list[str]
    watchers: list[str]
    sends: list[SendView]
    fallback: bool
    until: datetime | None


class PreviewView(msgspec.Struct, frozen=True, kw_only=True):
    """What happens if it fires at ``at`` and nobody answers, until the fallback team is reached."""

    at: datetime
    team: str | None
    service: str | None
    severity: str
    lines: list[PreviewLine]


class NewReplay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Manifests as they would be, and since when: RFC 3339, or a duration back such as 30d."""

    files: Annotated[list[File], msgspec.Meta(min_length=1, max_length=5000)]
    since: str = "30d"


@get("/oncall/preview", sync_to_thread=True)
def preview_page(
    db: GivenDb,
    service: FromQuery[str | None] = None,
    team: FromQuery[str | None] = None,
    at: FromQuery[str | None] = None,
    declared: FromQuery[bool] = False,
) -> PreviewView:
    """Whom a page of a service or team would ask if it fired now, or ``at`` a later time."""
    with db.transaction() as tx:
        return preview_view(tx, service=service, team=team, at=instant_of(at, field="at"), declared=declared)


def preview_view(
    tx: Tx, *, service: str | None, team: str | None, at: datetime | None, declared: bool = False
) -> PreviewView:
    """The preview with names.

    Raises:
        Invalid: neither or both are named. NotFound: there is no such service or team.
    """
    if (service is None) == (team is None):
        raise Invalid("say one: a service or a team", field="service", hint="add ?service=payments")
    found = catalog.service_by_name(tx, name=service) if service else None
    of_team = catalog.team_by_name(tx, name=team) if team else None
    if found is None and of_team is None:
        kind, name = ("service", service) if service else ("team", team)
        raise NotFound(f"there is no {kind} '{name}'", field=kind, hint=f"see `watchbill {kind} list`")
    seen = paging.preview(tx, service=found, team_id=of_team.id if of_team else None, at=at, declared=declared)
    names = Names(tx)
    return PreviewView(
        at=seen.at,
        team=names.team(seen.team_id),
        service=found.name if found else None,
        severity=seen.severity,
        lines=[_line(line, seen.at, names) for line in seen.lines],
    )


def _line(line: paging.Line, begins: datetime, names: Names) -> PreviewLine:
    def named(ids: tuple[UUID, ...]) -> list[str]:
        return [names.person(id) or "" for id in ids]

    return PreviewLine(
        at=line.at,
        after_seconds=int((line.at - begins).total_seconds()),
        what=line.what,
        why=line.why,
        people=named(line.people),
        channels=list(line.channels),
        watchers=named(line.watchers),
        sends=[SendView(at=s.at, person=names.person(s.person_id) or "", channel=s.channel) for s in line.sends],
        fallback=line.fallback,
        until=line.until,
    )


@post("/policy/replay", sync_to_thread=True, status_code=200, request_max_body_size=REPLAY_BYTES)
def replay_policy(caller: GivenCaller, db: GivenDb, data: JSONBody[NewReplay]) -> Replay:
    """Who would have been paged over the recorded history under these manifests; nothing is changed."""
    if caller.role == "viewer":
        raise Forbidden("a viewer may not replay who was paged", hint="use a token with role responder")
    with db.transaction() as tx:
        return replay(tx, files=data.files, since=_since(tx, data.since))


def _since(tx: Tx, text: str) -> datetime:
    try:
        return tx.now - parse_duration(text)
    except (ValueError, OverflowError):
        at = instant_of(text, field="since")
    if at is None:
        raise Invalid("since when?", field="since", hint=f"write 30d, or {format_instant(tx.now)}")
    return at


handlers = [preview_page, replay_policy]
