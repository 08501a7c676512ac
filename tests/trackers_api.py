"""GitHub, GitLab and Jira on loopback: the parts of their documented REST APIs that tickets need, with memory.

``answers`` are given instead, in order, to the next requests whose method and path fit: (method, part of the path,
status, headers, body). ``seen`` are all requests.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Reply = tuple[int, dict[str, str], Any]
_SECRET = "the-token"


class FakeTrackers:
    """One memory for all three; which one is spoken is told by the path."""

    def __init__(self) -> None:
        self.url = ""
        self.issues: list[dict[str, Any]] = []
        self.answers: list[tuple[str, str, int, dict[str, str], Any]] = []
        self.seen: list[tuple[str, str]] = []
        self.cloud = True

    def reply(self, method: str, target: str, headers: Any, body: Any) -> Reply:
        path = urlsplit(target)
        self.seen.append((method, target))
        for at, (how, part, status, more, said) in enumerate(self.answers):
            if how == method and part in target:
                del self.answers[at]
                return status, more, said
        if _SECRET not in headers.get("authorization", "") and "Basic" not in headers.get("authorization", ""):
            return 401, {}, {"message": "Bad credentials"}
        query = {key: values[0] for key, values in parse_qs(path.query).items()}
        if path.path.startswith("/repos/"):
            return self._github(method, path.path.split("/")[2:], query, body)
        if path.path.startswith("/api/v4/projects/"):
            return self._gitlab(method, path.path.split("/")[4:], query, body)
        return self._jira(method, path.path.removeprefix("/rest/api/2/").split("/"), query, body)

    def _new(self, **fields: Any) -> dict[str, Any]:
        issue = {"number": len(self.issues) + 1, "open": True, "comments": [], **fields}
        self.issues.append(issue)
        return issue

    def _issue(self, ref: str) -> dict[str, Any] | None:
        number = int(ref.rpartition("-")[2])
        return next((one for one in self.issues if one["number"] == number), None)

    def _github(self, method: str, parts: list[str], query: dict[str, str], body: Any) -> Reply:
        repository, rest = "/".join(parts[:2]), parts[2:]

        def shown(one: dict[str, Any]) -> dict[str, Any]:
            return {
                "number": one["number"],
                "html_url": f"{self.url}/{repository}/issues/{one['number']}",
                "state": "open" if one["open"] else "closed",
                "body": one["body"],
            }

        if not rest:
            return 200, {}, {"full_name": repository, "has_issues": True, "permissions": {"push": True}}
        if rest == ["issues"] and method == "GET":
            assert query["state"] == "all"
            assert "since" in query
            return 200, {}, [shown(one) for one in reversed(self.issues)]
        if rest == ["issues"]:
            return 201, {}, shown(self._new(title=body["title"], body=body["body"], labels=body["labels"]))
        issue = self._issue(rest[1])
        if issue is None:
            return 410, {}, {"message": "This issue was deleted"}
        if rest[2:] == ["comments"]:
            if method == "POST":
                issue["comments"].append(body["body"])
                return 201, {}, {"id": 1}
            return 200, {}, [{"body": one} for one in issue["comments"]]
        if method == "PATCH":
            issue["open"] = body["state"] == "open"
        return 200, {}, shown(issue)

    def _gitlab(self, method: str, parts: list[str], query: dict[str, str], body: Any) -> Reply:
        project, rest = unquote(parts[0]), parts[1:]

        def shown(one: dict[str, Any]) -> dict[str, Any]:
            return {
                "iid": one["number"],
                "web_url": f"{self.url}/{project}/-/issues/{one['number']}",
                "state": "opened" if one["open"] else "closed",
            }

        if not rest:
            return 200, {}, {"path_with_namespace": project, "issues_enabled": True}
        if rest == ["issues"] and method == "GET":
            return 200, {}, [shown(one) for one in self.issues if query["search"] in one["body"]]
        if rest == ["issues"]:
            labels = body["labels"].split(",")
            return 201, {}, shown(self._new(title=body["title"], body=body["description"], labels=labels))
        issue = self._issue(rest[1])
        if issue is None:
            return 404, {}, {"message": "404 Not found"}
        if rest[2:] == ["notes"]:
            if method == "POST":
                issue["comments"].append(body["body"])
                return 201, {}, {"id": 1}
            return 200, {}, [{"body": one} for one in issue["comments"]]
        if method == "PUT":
            issue["open"] = body["state_event"] == "reopen"
        return 200, {}, shown(issue)

    def _jira(self, method: str, parts: list[str], query: dict[str, str], body: Any) -> Reply:
        def shown(one: dict[str, Any]) -> dict[str, Any]:
            key = "indeterminate" if one["open"] else "done"
            return {"key": f"PAY-{one['number']}", "fields": {"status": {"name": key, "statusCategory": {"key": key}}}}

        if parts[0] == "project":
            return 200, {}, {"key": parts[1], "issueTypes": [{"name": "Task"}, {"name": "Bug"}]}
        if parts[0] == "search":
            if (parts[1:] == ["jql"]) is not self.cloud:
                return (404 if parts[1:] else 410), {}, {"errorMessages": ["no such resource"]}
            found = re.search(r'labels = "([^"]+)"', query["jql"])
            assert found is not None
            return 200, {}, {"issues": [shown(one) for one in self.issues if found[1] in one["labels"]]}
        if parts == ["issue"]:
            fields = body["fields"]
            made = self._new(title=fields["summary"], body=fields["description"], labels=fields["labels"])
            return 201, {}, {"id": "1", "key": f"PAY-{made['number']}"}
        issue = self._issue(parts[1])
        if issue is None:
            return 404, {}, {"errorMessages": ["Issue does not exist"]}
        if parts[2:] == ["comment"]:
            if method == "POST":
                issue["comments"].append(body["body"])
                return 201, {}, {"id": "1"}
            return 200, {}, {"comments": [{"body": one} for one in issue["comments"]]}
        if parts[2:] == ["transitions"]:
            if method == "GET":
                ways = [("11", "To do", "new"), ("31", "Done", "done")]
                return (
                    200,
                    {},
                    {
                        "transitions": [
                            {"id": id, "name": name, "to": {"name": name, "statusCategory": {"key": key}}}
                            for id, name, key in ways
                        ]
                    },
                )
            issue["open"] = body["transition"]["id"] == "11"
            return 204, {}, None
        return 200, {}, shown(issue)


@contextmanager
def fake_trackers() -> Iterator[FakeTrackers]:
    """All three at one loopback address."""
    fake = FakeTrackers()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            given = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, more, said = fake.reply(self.command, self.path, self.headers, json.loads(given) if given else None)
            body = b"" if said is None else json.dumps(said).encode()
            self.send_response(status)
            for name, value in {"content-type": "application/json", **more}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_PUT = _serve  # noqa: N815  the base class looks for these names

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def connections_of(url: str) -> str:
    """A file of connections to all three at that address; the token is in FAKE_TOKEN."""
    return "\n".join(
        f"{name}: {{provider: {name}, url: '{url}', token: 'env:FAKE_TOKEN'{extra}}}"
        for name, extra in (("github", ""), ("gitlab", ""), ("jira", ", user: bot@example.org"))
    )
