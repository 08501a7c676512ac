"""The operator's file of connections (WATCHBILL_TICKETS_FILE): where trackers are, and where their tokens lie.

Manifests name a connection and never a URL or a token, so that no team can send a token anywhere else::

    github:
      provider: github
      token: env:GITHUB_TOKEN
    jira:
      provider: jira
      url: https://acme.atlassian.net
      user: watchbill@acme.example
      token: file:/run/secrets/jira
      teams: [payments]
      projects: [PAY, "OPS*"]
"""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from watchbill.features.tickets import Place, Tracker, TrackerError
from watchbill.kernel.errors import Problem, SetupError
from watchbill.runtime import yaml
from watchbill.runtime.http_out import HttpOut
from watchbill.trackers import github
from watchbill.trackers.base import Api
from watchbill.trackers.github import GitHub
from watchbill.trackers.gitlab import GitLab
from watchbill.trackers.jira import Jira

_URLS = {"github": "https://api.github.com", "gitlab": "https://gitlab.com"}
_TIMEOUT_SECONDS = 10.0

Reference = Annotated[str, Meta(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$")]


class Connection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry. ``teams`` and ``projects`` (with ``*``) say who may use it for what; empty is everybody, everything.

    ``user`` makes it basic authentication (Jira Cloud: the account's e-mail); else the token is a bearer's.
    """

    provider: Literal["github", "gitlab", "jira"]
    token: Reference
    url: Annotated[str, Meta(pattern=r"^https?://[^\s]+$")] = ""
    user: str = ""
    teams: list[str] = []
    projects: list[str] = []


def read_connections(path: Path) -> dict[str, Connection]:
    """What the file says.

    Raises:
        SetupError: it cannot be read, or with one problem for each entry that is wrong and its place.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(
            f"WATCHBILL_TICKETS_FILE: {path} cannot be read: {getattr(error, 'strerror', None) or error}",
            code="tickets_file",
            hint="check the path, and that Watchbill's user may read it",
        ) from error
    documents, problems = yaml.parse(text, file=str(path))
    found: dict[str, Connection] = {}
    for document in documents:
        if not isinstance(document.data, dict):
            problems.append(_problem("this is not a list of names", document.place(), "write name: and its fields"))
            continue
        for name, given in document.data.items():
            try:
                one = msgspec.convert(given, Connection, strict=False)
            except msgspec.ValidationError as error:
                problems.append(_problem(f"{name}: {error}", document.place((name,)), _EXAMPLE))
                continue
            if one.provider == "jira" and not one.url:
                problems.append(_problem(f"{name}: 'url' is missing", document.place((name,)), "Jira's own address"))
                continue
            found[str(name)] = one
    if problems:
        raise SetupError("the file of ticket connections is wrong", code="tickets_file", problems=problems)
    return found


_EXAMPLE = "write provider: github, gitlab or jira, and token: env:NAME or file:/path"


def _problem(message: str, place: str, hint: str) -> Problem:
    return Problem(code="tickets_file", message=message, place=place, hint=hint)


class Trackers:
    """Finds the tracker of a place. The file is read again when it changes, tokens each time they are used.

    The connections' URLs are the operator's, so private addresses are allowed; a cloud's metadata never is.
    """

    def __init__(
        self, path: Path | None, *, environment: Mapping[str, str] | None = None, http: HttpOut | None = None
    ) -> None:
        self._path = path
        self._environment = os.environ if environment is None else environment
        self._http = http or HttpOut(allow_private=True, timeout_seconds=_TIMEOUT_SECONDS)
        self._lock = threading.Lock()
        self._known: dict[str, Connection] = {}
        self._stamp: tuple[int, int] | None = None

    def connections(self) -> dict[str, Connection]:
        """By name.

        Raises:
            SetupError: see `read_connections`.
        """
        if self._path is None:
            return {}
        with self._lock:
            try:
                stat = self._path.stat()
                stamp = (stat.st_mtime_ns, stat.st_size)
            except OSError:
                stamp = None
            if stamp is None or stamp != self._stamp:
                self._known, self._stamp = read_connections(self._path), stamp
            return self._known

    def problems(self) -> list[Problem]:
        """What is wrong with the file and its tokens, as warnings."""
        try:
            found = self.connections()
        except SetupError as error:
            return [msgspec.structs.replace(one, severity="warning") for one in error.problems or [error.problem]]
        wrong = []
        for name, one in sorted(found.items()):
            try:
                self._token(name, one)
            except TrackerError as error:
                hint = "set it for the server and the worker"
                wrong.append(Problem(code="tickets.token", message=str(error), hint=hint, severity="warning"))
        return wrong

    def __call__(self, team: str, place: Place) -> Tracker:
        """The tracker of a place, for the team of this name.

        Raises:
            TrackerError: there is no such connection, it is of another provider, or not for this team or project.
        """
        try:
            found = self.connections().get(place.connection)
        except SetupError as error:
            said = "; ".join(one.message for one in error.problems or [error.problem])
            raise TrackerError(f"the operator's file of connections is wrong: {said}", permanent=True) from error
        if found is None:
            hint = "an operator adds it to WATCHBILL_TICKETS_FILE"
            raise TrackerError(f"there is no connection '{place.connection}'; {hint}", permanent=True)
        name = place.connection
        if found.provider != place.provider:
            raise TrackerError(f"the connection '{name}' is to {found.provider}, not {place.provider}", permanent=True)
        if found.teams and team not in found.teams:
            raise TrackerError(f"the connection '{name}' is not for team {team}", permanent=True)
        if not _allowed(place.project, found.projects):
            allowed = ", ".join(found.projects)
            raise TrackerError(f"the connection '{name}' is for {allowed}, not for {place.project}", permanent=True)
        return self._build(name, found)

    def _build(self, name: str, one: Connection) -> Tracker:
        url = (one.url or _URLS[one.provider]).rstrip("/")

        def api(label: str, extra: Mapping[str, str]) -> Api:
            def headers() -> dict[str, str]:
                return {**extra, **self._authorization(name, one)}

            return Api(http=self._http, url=url, name=label, headers=headers)

        if one.provider == "github":
            return GitHub(api("GitHub", github.HEADERS))
        if one.provider == "gitlab":
            return GitLab(api("GitLab", {}))
        return Jira(api("Jira", {"accept": "application/json"}), browse=url)

    def _authorization(self, name: str, one: Connection) -> dict[str, str]:
        token = self._token(name, one)
        if one.user:
            pair = base64.b64encode(f"{one.user}:{token}".encode()).decode()
            return {"authorization": f"Basic {pair}"}
        return {"authorization": f"Bearer {token}"}

    def _token(self, name: str, one: Connection) -> str:
        kind, _, where = one.token.partition(":")
        try:
            value = self._environment[where] if kind == "env" else Path(where).read_text(encoding="utf-8")
        except (KeyError, OSError, UnicodeDecodeError) as error:
            raise TrackerError(f"the token of '{name}' is not there ({one.token})", permanent=True) from error
        if not value.strip() or any(not sign.isprintable() for sign in value.strip()):
            raise TrackerError(f"the token of '{name}' is empty or no token ({one.token})", permanent=True)
        return value.strip()


def _allowed(project: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(project.lower(), pattern.lower()) for pattern in patterns)
