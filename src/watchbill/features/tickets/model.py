"""Words of tickets: the place a team wants them in, what one says, and what a tracker answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

import msgspec

Provider = Literal["github", "gitlab", "jira", "channel"]
TicketState = Literal["wanted", "open", "closed", "closed_outside", "gone", "dropped", "failed"]
"""``wanted``: not made yet. ``closed`` by us; ``closed_outside`` by people. ``gone``: deleted or moved out of sight.
``dropped``: its alert ended before it was made. ``failed``: given up."""
WhenResolved = Literal["close", "comment"]


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where tickets go: ``project`` is owner/name (GitHub), a path or number (GitLab), a key (Jira), a channel's name.

    ``connection`` names the operator's entry that holds URL and token; empty for a chat channel.
    """

    provider: Provider
    project: str
    connection: str = ""
    labels: tuple[str, ...] = ()
    issue_type: str = "Task"

    @property
    def shown(self) -> str:
        """As people say it."""
        name = {"github": "GitHub", "gitlab": "GitLab", "jira": "Jira", "channel": "the channel"}[self.provider]
        return f"{name} {self.project}"


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What a team's manifest says about its tickets; ``fallback`` names the channel told when none can be made."""

    place: Place
    when_resolved: WhenResolved = "close"
    environments: tuple[str, ...] = ("production",)
    fallback: str | None = None


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a ticket says of its alert; a difference from the alert is something to tell."""

    firing: bool
    urgency: str
    severity: str


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """The ticket of one alert. A later episode of the same identity may take it over (``alert_id`` moves).

    ``marker`` is in the ticket itself, so that one whose making was not written down is found again. ``tried_at``: a
    try went out whose end is not known. ``failing_at``: since when it does not succeed; ``told_at``: the team was told.
    """

    id: UUID
    alert_id: UUID
    integration_id: UUID
    identity: str
    team_id: UUID
    title: str
    place: Place
    state: TicketState
    marker: str
    ref: str | None
    url: str | None
    said: Said | None
    comments: int
    tried_at: datetime | None
    attempts: int
    failing_at: datetime | None
    told_at: datetime | None
    error: str | None
    created_at: datetime
    opened_at: datetime | None
    closed_at: datetime | None
    looked_at: datetime | None


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket to be made. ``sections`` are (heading, text); text comes from outside and is shown as it is."""

    title: str
    intro: str
    description: str
    links: tuple[tuple[str, str], ...]
    marker: str


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket as its tracker knows it: ``ref`` is its number or key there, ``url`` for people."""

    ref: str
    url: str
    open: bool


class TrackerError(Exception):
    """A tracker did not do what was asked.

    ``permanent``: the same again cannot help before somebody mends a setting. ``unsure``: it may have been done.
    ``retry_after_seconds``: the provider's own limit; nothing is asked of it before.
    """

    def __init__(
        self, message: str, *, permanent: bool = False, unsure: bool = False, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.unsure = unsure
        self.retry_after_seconds = retry_after_seconds


class Tracker(Protocol):
    """A place that keeps tickets. Every method raises `TrackerError`; none waits longer than its time limit."""

    search_lag_seconds: float
    """How long a ticket that was just made may be missing from `find`."""

    def find(self, place: Place, *, marker: str, since: datetime) -> Remote | None:
        """The ticket that carries the marker, made after ``since``."""
        ...

    def create(self, place: Place, draft: Draft) -> Remote: ...

    def look(self, place: Place, ref: str) -> Remote | None:
        """As it is now; None when it is not there (any more)."""
        ...

    def has_comment(self, place: Place, ref: str, *, marker: str) -> bool: ...

    def comment(self, place: Place, ref: str, *, text: str, marker: str) -> None: ...

    def set_open(self, place: Place, ref: str, *, open: bool) -> str | None:
        """Close or reopen it; why that cannot be done there, or None."""
        ...

    def check(self, place: Place) -> str:
        """What was found when asking for the place with our token; raises when no ticket can be made there."""
        ...


FindTracker = Callable[[str, Place], Tracker]
"""The tracker of a place, for the team of this name.

Raises:
    TrackerError: there is no such connection, its token cannot be read, or the team may not use it.
"""
