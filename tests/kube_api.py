"""A server on loopback that speaks the part of the Kubernetes API that a watch over Deployments needs.

List with ``limit`` and ``continue``; watch as chunked lines of JSON from a ``resourceVersion``, with bookmarks and
``timeoutSeconds``; 410 both ways (HTTP, and an ERROR event with a Status); 401 and 403 with a Status; connections
that break. https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import copy
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "the-token-of-the-service-account"


class KubeApi:
    """The state of a cluster, and everything that was asked."""

    def __init__(self) -> None:
        self.lock = threading.Condition()
        self.version = 100
        self.objects: dict[str, dict[str, Any]] = {}
        self.replica_sets: list[dict[str, Any]] = []
        self.log: list[tuple[int, str, dict[str, Any]]] = []
        self.oldest = 0
        self.refuse: set[str] = set()
        """``list``, ``watch`` or ``replicasets``: answered with 403."""
        self.asked: list[str] = []
        self.open: set[socket.socket] = set()
        self.bookmark_every = 0.05
        self.gone_in_stream = False
        self.closing = False
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(url.query).items()}
                namespace = url.path.split("/namespaces/")[1].split("/")[0] if "/namespaces/" in url.path else ""
                what = url.path.rsplit("/", 1)[1]
                verb = "watch" if query.get("watch") in ("true", "True") else "list"
                api.asked.append(f"{verb} {namespace or '*'} {what} {query.get('resourceVersion', '')}".strip())
                if self.headers.get("authorization") != f"Bearer {TOKEN}":
                    self.status(401, "Unauthorized", "Unauthorized")
                elif (what if what == "replicasets" else verb) in api.refuse:
                    who = 'User "system:serviceaccount:ops:watchbill"'
                    self.status(403, "Forbidden", f'{what}.apps is forbidden: {who} cannot {verb} resource "{what}"')
                elif what == "replicasets":
                    self.answer(200, {"kind": "ReplicaSetList", "metadata": {}, "items": api.replica_sets})
                elif verb == "list":
                    self.listed(namespace, query)
                else:
                    self.watched(namespace, query)

            def answer(self, code: int, body: dict[str, Any]) -> None:
                sent = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def status(self, code: int, reason: str, message: str) -> None:
                body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
                self.answer(code, {**body, "message": message, "reason": reason, "code": code})

            def listed(self, namespace: str, query: dict[str, str]) -> None:
                with api.lock:
                    items = [o for o in api.objects.values() if namespace in ("", o["metadata"]["namespace"])]
                    version = api.version
                start, limit = int(query.get("continue", 0)), min(int(query.get("limit", 500)), 2)
                metadata: dict[str, Any] = {"resourceVersion": str(version)}
                if start + limit < len(items):
                    metadata["continue"] = str(start + limit)
                self.answer(
                    200, {"kind": "DeploymentList", "metadata": metadata, "items": items[start : start + limit]}
                )

            def watched(self, namespace: str, query: dict[str, str]) -> None:
                since = int(query["resourceVersion"])
                ends = time.monotonic() + float(query.get("timeoutSeconds", 3))
                if since < api.oldest and not api.gone_in_stream:
                    self.status(410, "Expired", f"too old resource version: {since} ({api.oldest})")
                    return
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                api.open.add(self.connection)
                try:
                    if since < api.oldest:
                        self.expired()
                    else:
                        self.stream(namespace, since, ends, bookmarks="allowWatchBookmarks" in query)
                    self.wfile.write(b"0\r\n\r\n")
                except OSError:
                    self.close_connection = True
                finally:
                    api.open.discard(self.connection)

            def stream(self, namespace: str, since: int, ends: float, *, bookmarks: bool) -> None:
                while time.monotonic() < ends and not api.closing:
                    with api.lock:
                        new = [each for each in api.log if each[0] > since]
                        if not new:
                            api.lock.wait(min(api.bookmark_every, max(0.0, ends - time.monotonic())))
                            new = [each for each in api.log if each[0] > since]
                        reached, too_old = api.version, since < api.oldest
                    if too_old:
                        self.expired()
                        return
                    for version, kind, shown in new:
                        since = version
                        if namespace in ("", shown["metadata"]["namespace"]):
                            self.chunk({"type": kind, "object": shown})
                    if bookmarks and not new:
                        since = max(since, reached)
                        held = {"kind": "Deployment", "apiVersion": "apps/v1"}
                        metadata = {"resourceVersion": str(since), "creationTimestamp": None}
                        self.chunk({"type": "BOOKMARK", "object": {**held, "metadata": metadata, "spec": {}}})

            def expired(self) -> None:
                status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
                self.chunk({"type": "ERROR", "object": status})

            def chunk(self, event: dict[str, Any]) -> None:
                line = json.dumps(event).encode() + b"\n"
                for part in (line[: len(line) // 2], line[len(line) // 2 :]):  # lines are cut anywhere
                    self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                    self.wfile.flush()

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that went away is what these tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self.closing = True
        self.drop()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def kubeconfig(self, folder: Path, *, token: str = TOKEN) -> str:
        path = folder / "kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "here",
                    "clusters": [{"name": "c", "cluster": {"server": self.url}}],
                    "users": [{"name": "u", "user": {"token": token}}],
                    "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
                }
            )
        )
        return str(path)

    def drop(self) -> None:
        """Break every watch in the midst of it."""
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                self.open.discard(connection)

    def compact(self) -> None:
        """Forget the past, as etcd does after five minutes."""
        with self.lock:
            self.version += 10
            self.oldest = self.version
            self.log.clear()

    def apply(self, name: str, image: str, *, namespace: str = "shop", replicas: int = 2, **how: Any) -> None:
        """``kubectl apply``: the template changes, and the controller has not looked yet."""
        labels, notes = how.get("labels") or {}, how.get("annotations") or {}
        with self._changed(name, namespace) as one:
            template = {
                "metadata": {"creationTimestamp": None, "labels": {"app": name, **how.get("pod_labels", {})}},
                "spec": {"containers": [{"name": name, "image": image, "env": how.get("env", [])}]},
            }
            if one["spec"].get("template") != template or one["spec"].get("replicas") != replicas:
                one["metadata"]["generation"] += 1
            if one["spec"].get("template") != template:
                revision = int(one["metadata"]["annotations"].get("deployment.kubernetes.io/revision", 0)) + 1
                one["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = str(revision)
                self._replica_set(one, template, revision)
                fields = {"f:spec": {"f:template": {"f:spec": {}}}}
                at = datetime.now(UTC).isoformat()
                status = {"manager": "kube-controller-manager", "subresource": "status", "time": "2040-01-01T00:00:00Z"}
                written = {"manager": "kubectl-client-side-apply", "time": at, "fieldsV1": fields}
                one["metadata"]["managedFields"] = [written, status]
            one["metadata"]["labels"] = {"app": name, **labels}
            one["metadata"]["annotations"] |= notes
            selector = {"matchLabels": {"app": name}}
            one["spec"] = {"replicas": replicas, "selector": selector, "template": template}

    def progress(self, name: str, *, namespace: str = "shop", updated: int, available: int, reason: str = "") -> None:
        """The controller's view of it."""
        with self._changed(name, namespace) as one:
            wanted = one["spec"]["replicas"]
            at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            message = f'ReplicaSet "{name}-5d8" has timed out progressing.' if "Deadline" in reason else ""
            one["status"] = {
                "observedGeneration": one["metadata"]["generation"],
                "replicas": max(updated, wanted),
                "updatedReplicas": updated,
                "availableReplicas": available,
                "conditions": [
                    {
                        "type": "Progressing",
                        "status": "False" if "Deadline" in reason else "True",
                        "reason": reason or "ReplicaSetUpdated",
                        "message": message,
                        "lastUpdateTime": at,
                    }
                ],
            }

    def complete(self, name: str, *, namespace: str = "shop") -> None:
        wanted = self.objects[f"{namespace}/{name}"]["spec"]["replicas"]
        self.progress(name, namespace=namespace, updated=wanted, available=wanted, reason="NewReplicaSetAvailable")

    def roll_out(self, name: str, image: str, **how: Any) -> None:
        """Apply, and every step of a rollout that goes well."""
        self.apply(name, image, **how)
        namespace = how.get("namespace", "shop")
        self.progress(name, namespace=namespace, updated=1, available=2)
        self.complete(name, namespace=namespace)

    def delete(self, name: str, *, namespace: str = "shop") -> None:
        with self.lock:
            self.version += 1
            gone = self.objects.pop(f"{namespace}/{name}")
            gone["metadata"]["resourceVersion"] = str(self.version)
            self.log.append((self.version, "DELETED", gone))
            self.lock.notify_all()

    @contextmanager
    def _changed(self, name: str, namespace: str) -> Iterator[dict[str, Any]]:
        with self.lock:
            self.version += 1
            key = f"{namespace}/{name}"
            kind = "MODIFIED" if key in self.objects else "ADDED"
            metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}-{self.version}", "generation": 0}
            one = copy.deepcopy(self.objects.get(key)) or {"metadata": {**metadata, "annotations": {}}, "spec": {}}
            yield one
            one["metadata"]["resourceVersion"] = str(self.version)
            self.objects[key] = one
            self.log.append((self.version, kind, one))
            self.lock.notify_all()

    def _replica_set(self, owner: dict[str, Any], template: dict[str, Any], revision: int) -> None:
        made = copy.deepcopy(template)
        made["metadata"]["labels"]["pod-template-hash"] = f"5d8{revision}"
        created = datetime.now(UTC).isoformat()
        self.replica_sets.append(
            {
                "metadata": {
                    "name": f"{owner['metadata']['name']}-5d8{revision}",
                    "namespace": owner["metadata"]["namespace"],
                    "uid": f"rs-{self.version}",
                    "creationTimestamp": created,
                    "annotations": {"deployment.kubernetes.io/revision": str(revision)},
                    "ownerReferences": [{"kind": "Deployment", "uid": owner["metadata"]["uid"]}],
                },
                "spec": {"template": made},
            }
        )
