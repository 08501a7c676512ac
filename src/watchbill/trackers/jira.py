"""Issues of Jira by REST API 2 (developer.atlassian.com/cloud/jira/platform/rest/v2), Cloud and Data Center.

Version 2 takes text in Jira's own markup on both. The search is ``search/jql`` on Cloud and ``search`` on Data Center.
"""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlencode

import msgspec

from watchbill.features.tickets import Draft, Place, Remote, TrackerError
from watchbill.trackers.base import Api

_DONE = "done"


class _Category(msgspec.Struct, frozen=True):
    key: str


class _Status(msgspec.Struct, frozen=True):
    status_category: _Category = msgspec.field(name="statusCategory")
    name: str = ""


class _Fields(msgspec.Struct, frozen=True):
    status: _Status


class _Issue(msgspec.Struct, frozen=True):
    key: str
    fields: _Fields


class _Found(msgspec.Struct, frozen=True):
    issues: list[_Issue] = []


class _Created(msgspec.Struct, frozen=True):
    key: str


class _Comment(msgspec.Struct, frozen=True):
    body: str = ""


class _Comments(msgspec.Struct, frozen=True):
    comments: list[_Comment] = []


class _Transition(msgspec.Struct, frozen=True):
    id: str
    to: _Status
    name: str = ""


class _Transitions(msgspec.Struct, frozen=True):
    transitions: list[_Transition] = []


class _IssueType(msgspec.Struct, frozen=True):
    name: str


class _Project(msgspec.Struct, frozen=True):
    key: str
    issue_types: list[_IssueType] = msgspec.field(name="issueTypes", default_factory=list)


class Jira:
    """Needs an account that may browse the project, create, comment and move its issues.

    A ticket is closed by a transition to a status of the category *done*, and reopened by one to any other.
    """

    search_lag_seconds = 60.0
    """Jira's index follows within seconds, seldom more."""

    def __init__(self, api: Api, *, browse: str) -> None:
        self._api = api
        self._browse = browse.rstrip("/")

    def find(self, place: Place, *, marker: str, since: datetime) -> Remote | None:  # noqa: ARG002  the marker is unique
        query = urlencode(
            {"jql": f'project = "{place.project}" AND labels = "{marker}"', "fields": "status", "maxResults": 2}
        )
        answer = self._api.call("GET", f"rest/api/2/search/jql?{query}", missing=True)
        if answer is None:
            answer = self._api.call("GET", f"rest/api/2/search?{query}")
        found = self._api.read(answer, _Found).issues
        return self._remote(found[0]) if found else None

    def create(self, place: Place, draft: Draft) -> Remote:
        fields = {
            "project": {"key": place.project},
            "issuetype": {"name": place.issue_type},
            "summary": draft.title,
            "description": wiki(draft),
            "labels": [*place.labels, draft.marker],
        }
        made = self._api.ask("POST", "rest/api/2/issue", _Created, json={"fields": fields})
        return Remote(ref=made.key, url=f"{self._browse}/browse/{made.key}", open=True)

    def look(self, place: Place, ref: str) -> Remote | None:  # noqa: ARG002  a key is unique in Jira
        answer = self._api.call("GET", f"rest/api/2/issue/{ref}?fields=status", missing=True)
        return None if answer is None else self._remote(self._api.read(answer, _Issue))

    def has_comment(self, place: Place, ref: str, *, marker: str) -> bool:  # noqa: ARG002
        path = f"rest/api/2/issue/{ref}/comment?orderBy=-created&maxResults=100"
        return any(marker in comment.body for comment in self._api.ask("GET", path, _Comments).comments)

    def comment(self, place: Place, ref: str, *, text: str, marker: str) -> None:  # noqa: ARG002
        body = {"body": f"{quoted(text)}\n\n~{marker}~"}
        self._api.call("POST", f"rest/api/2/issue/{ref}/comment", json=body)

    def set_open(self, place: Place, ref: str, *, open: bool) -> str | None:  # noqa: ARG002
        path = f"rest/api/2/issue/{ref}/transitions"
        offered = self._api.ask("GET", path, _Transitions).transitions
        fits = [one for one in offered if (one.to.status_category.key == _DONE) is not open]
        if not fits:
            wanted = "open again" if open else "done"
            return f"its workflow offers no step to a status that is {wanted}"
        first = min(fits, key=lambda one: ("new", "indeterminate", _DONE).index(_known(one.to.status_category.key)))
        try:
            self._api.call("POST", path, json={"transition": {"id": first.id}})
        except TrackerError as error:
            if error.permanent and not error.unsure:
                return f"the step '{first.name}' was refused: {error}"
            raise
        return None

    def check(self, place: Place) -> str:
        found = self._api.ask("GET", f"rest/api/2/project/{place.project}", _Project)
        names = [one.name for one in found.issue_types]
        if names and place.issue_type not in names:
            said = f"{found.key} has no issue type '{place.issue_type}'; it has {', '.join(names)}"
            raise TrackerError(said, permanent=True)
        return f"{found.key} can be read"

    def _remote(self, issue: _Issue) -> Remote:
        is_open = issue.fields.status.status_category.key != _DONE
        return Remote(ref=issue.key, url=f"{self._browse}/browse/{issue.key}", open=is_open)


def _known(key: str) -> str:
    return key if key in ("new", _DONE) else "indeterminate"


def wiki(draft: Draft) -> str:
    """The ticket in Jira's markup; foreign text is shown as it is."""
    parts = [quoted(draft.intro)]
    if draft.description:
        inside = draft.description.replace("{noformat}", "{ noformat}")
        parts.append(f"{{noformat}}\n{inside}\n{{noformat}}")
    parts.append("\n".join(f"* {quoted(title)}: {url}" for title, url in draft.links))
    parts.append("Watchbill keeps this up to date. Close it by hand and it is left alone.")
    return "\n\n".join(parts)


def quoted(text: str) -> str:
    """Text without a meaning in Jira's markup."""
    found = text
    for sign in "\\{}[]*_~^|!":
        found = found.replace(sign, f"\\{sign}")
    return found
