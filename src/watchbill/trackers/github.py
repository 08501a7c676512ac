"""Issues of GitHub (docs.github.com/rest/issues, version 2022-11-28), also of an Enterprise Server."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urlencode

import msgspec

from watchbill.features.tickets import Draft, Place, Remote, TrackerError
from watchbill.trackers.base import Api, markdown

HEADERS = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}
_PAGES = 5


class _Issue(msgspec.Struct, frozen=True):
    number: int
    html_url: str
    state: str
    body: str | None = None

    @property
    def remote(self) -> Remote:
        return Remote(ref=str(self.number), url=self.html_url, open=self.state == "open")


class _Comment(msgspec.Struct, frozen=True):
    body: str | None = None


class _Repository(msgspec.Struct, frozen=True):
    full_name: str
    has_issues: bool = True
    archived: bool = False
    permissions: dict[str, bool] = {}


class GitHub:
    """Needs a token with *Issues: read and write* of the repository."""

    search_lag_seconds = 10.0

    def __init__(self, api: Api) -> None:
        self._api = api

    def find(self, place: Place, *, marker: str, since: datetime) -> Remote | None:
        """The list of issues is asked, not the search: that one's index lags behind."""
        wanted = {
            "state": "all",
            "sort": "created",
            "direction": "desc",
            "per_page": 100,
            "since": (since - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        for page in range(1, _PAGES + 1):
            query = urlencode({**wanted, "page": page})
            issues = self._api.ask("GET", f"repos/{place.project}/issues?{query}", list[_Issue])
            for issue in issues:
                if marker in (issue.body or ""):
                    return issue.remote
            if len(issues) < 100:
                break
        return None

    def create(self, place: Place, draft: Draft) -> Remote:
        body = {"title": draft.title, "body": markdown(draft), "labels": list(place.labels)}
        return self._api.ask("POST", f"repos/{place.project}/issues", _Issue, json=body).remote

    def look(self, place: Place, ref: str) -> Remote | None:
        answer = self._api.call("GET", f"repos/{place.project}/issues/{ref}", missing=True)
        return None if answer is None else self._api.read(answer, _Issue).remote

    def has_comment(self, place: Place, ref: str, *, marker: str) -> bool:
        for page in range(1, _PAGES + 1):
            path = f"repos/{place.project}/issues/{ref}/comments?per_page=100&page={page}"
            comments = self._api.ask("GET", path, list[_Comment])
            if any(marker in (comment.body or "") for comment in comments):
                return True
            if len(comments) < 100:
                break
        return False

    def comment(self, place: Place, ref: str, *, text: str, marker: str) -> None:
        body = {"body": f"{text}\n\n<!-- {marker} -->"}
        self._api.call("POST", f"repos/{place.project}/issues/{ref}/comments", json=body)

    def set_open(self, place: Place, ref: str, *, open: bool) -> str | None:
        body = (
            {"state": "open", "state_reason": "reopened"} if open else {"state": "closed", "state_reason": "completed"}
        )
        self._api.call("PATCH", f"repos/{place.project}/issues/{ref}", json=body)
        return None

    def check(self, place: Place) -> str:
        found = self._api.ask("GET", f"repos/{place.project}", _Repository)
        if found.archived:
            raise TrackerError(f"{found.full_name} is archived: no issue can be made in it", permanent=True)
        if not found.has_issues:
            raise TrackerError(f"{found.full_name} has its issues switched off", permanent=True)
        may_label = any(found.permissions.get(name) for name in ("push", "triage", "maintain", "admin"))
        labels = "" if may_label or not place.labels else "; labels are dropped, the token may not set them"
        return f"{found.full_name} can be read and has issues{labels}"
