"""Issues of GitLab (docs.gitlab.com/api/issues), gitlab.com and self-managed."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import quote, urlencode

import msgspec

from watchbill.features.tickets import Draft, Place, Remote, TrackerError
from watchbill.trackers.base import Api, markdown


class _Issue(msgspec.Struct, frozen=True):
    iid: int
    web_url: str
    state: str

    @property
    def remote(self) -> Remote:
        return Remote(ref=str(self.iid), url=self.web_url, open=self.state == "opened")


class _Note(msgspec.Struct, frozen=True):
    body: str = ""


class _Project(msgspec.Struct, frozen=True):
    path_with_namespace: str
    issues_enabled: bool = True
    issues_access_level: str = "enabled"
    archived: bool = False


class GitLab:
    """Needs a token (personal, project or group) of scope *api* and role Reporter at least."""

    search_lag_seconds = 10.0

    def __init__(self, api: Api) -> None:
        self._api = api

    def find(self, place: Place, *, marker: str, since: datetime) -> Remote | None:
        """``search`` in descriptions is answered by GitLab's own database."""
        query = urlencode(
            {
                "search": marker,
                "in": "description",
                "scope": "all",
                "created_after": (since - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )
        found = self._api.ask("GET", f"{_project(place)}/issues?{query}", list[_Issue])
        return found[0].remote if found else None

    def create(self, place: Place, draft: Draft) -> Remote:
        body = {"title": draft.title, "description": markdown(draft), "labels": ",".join(place.labels)}
        return self._api.ask("POST", f"{_project(place)}/issues", _Issue, json=body).remote

    def look(self, place: Place, ref: str) -> Remote | None:
        answer = self._api.call("GET", f"{_project(place)}/issues/{ref}", missing=True)
        return None if answer is None else self._api.read(answer, _Issue).remote

    def has_comment(self, place: Place, ref: str, *, marker: str) -> bool:
        path = f"{_project(place)}/issues/{ref}/notes?sort=desc&order_by=created_at&per_page=100"
        return any(marker in note.body for note in self._api.ask("GET", path, list[_Note]))

    def comment(self, place: Place, ref: str, *, text: str, marker: str) -> None:
        body = {"body": f"{text}\n\n<!-- {marker} -->"}
        self._api.call("POST", f"{_project(place)}/issues/{ref}/notes", json=body)

    def set_open(self, place: Place, ref: str, *, open: bool) -> str | None:
        event = {"state_event": "reopen" if open else "close"}
        self._api.call("PUT", f"{_project(place)}/issues/{ref}", json=event)
        return None

    def check(self, place: Place) -> str:
        found = self._api.ask("GET", _project(place), _Project)
        if found.archived:
            raise TrackerError(f"{found.path_with_namespace} is archived: no issue can be made in it", permanent=True)
        if not found.issues_enabled or found.issues_access_level == "disabled":
            raise TrackerError(f"{found.path_with_namespace} has its issues switched off", permanent=True)
        return f"{found.path_with_namespace} can be read and has issues"


def _project(place: Place) -> str:
    return f"api/v4/projects/{quote(place.project, safe='')}"
