"""A connection to one cluster by the official client, and what it answers in plain JSON.

The client is heavy and optional (``pip install 'watchbill[kubernetes]'``): it is imported when a watch begins.
List and watch follow https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec

from watchbill.kernel.errors import Forbidden, SetupError, Unavailable

IN_CLUSTER = "in-cluster"
AWAY = "cluster_away"
PAGE = 500
CONNECT_SECONDS = 5
SILENCE_SECONDS = 10
"""A watch must end by itself in time; a connection that is silent for this much longer is broken."""


class GoneError(Exception):
    """410: the server no longer has the changes since that version; everything has to be listed again."""


class Cluster:
    """One cluster, as a service account or a kubeconfig reaches it.

    Raises:
        SetupError: the client is not installed, or there is no way in as the settings say.
    """

    def __init__(self, where: str, *, context: str | None = None) -> None:
        try:
            import kubernetes
            import urllib3
        except ImportError as error:
            raise SetupError(
                "the Kubernetes client is not installed where the worker runs",
                code="kubernetes_client",
                hint="pip install 'watchbill[kubernetes]'",
            ) from error
        untyped: Any = kubernetes
        self._client, self._watch_of, self._urllib3 = untyped.client, untyped.watch.Watch, urllib3
        configuration = self._client.Configuration()
        configuration.retries = False  # the watch tries again by itself
        try:
            if where == IN_CLUSTER:
                untyped.config.load_incluster_config(client_configuration=configuration)
            else:
                untyped.config.load_kube_config(
                    config_file=os.path.expanduser(where), context=context, client_configuration=configuration
                )
        except (untyped.config.ConfigException, OSError) as error:
            raise SetupError(
                f"no way into the cluster: {error}",
                code="kubernetes_config",
                hint="WATCHBILL_KUBERNETES is 'in-cluster' (with a service account) or the path of a kubeconfig",
            ) from error
        self._api = self._client.ApiClient(configuration)
        self._apps = self._client.AppsV1Api(self._api)
        self._watching: Any = None

    def deployments(self, namespace: str) -> tuple[list[dict[str, Any]], str]:
        """Every Deployment of a namespace (``""``: of all), and the version of that list.

        Raises:
            Forbidden, Unavailable: the server refuses, or does not answer. GoneError: the list took too long.
        """
        function = self._one_or_all(namespace)
        found: list[dict[str, Any]] = []
        more: dict[str, Any] = {}
        while True:
            page = self._ask(partial(function, **more))
            found += page.get("items") or []
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return found, str(metadata.get("resourceVersion") or "")
            more = {"_continue": metadata["continue"]}

    def replica_sets(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """The ReplicaSets of a namespace with these labels.

        Raises:
            Forbidden, Unavailable: as above.
        """
        page = self._ask(partial(self._apps.list_namespaced_replica_set, namespace, label_selector=selector))
        return list(page.get("items") or [])

    def changes(self, namespace: str, *, since: str, seconds: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """What happens to Deployments after ``since``, for at most ``seconds``: (ADDED, MODIFIED, DELETED or BOOKMARK,
        the object).

        Raises:
            GoneError: list again. Forbidden, Unavailable: as above; what came before stands.
        """
        function = self._one_or_all(namespace)

        def ask(**given: Any) -> Any:
            """Without a return type in this text, the client leaves the objects as they came."""
            return function(**given)

        self._watching = self._watch_of()
        stream = self._watching.stream(
            ask,
            resource_version=since,
            allow_watch_bookmarks=True,
            timeout_seconds=seconds,
            _request_timeout=(CONNECT_SECONDS, seconds + SILENCE_SECONDS),
        )
        while True:
            event = self._guarded(lambda: next(stream, None))
            if event is None:
                return
            yield str(event.get("type")), event["raw_object"]

    def stop(self) -> None:
        """End the watch that goes on, from another thread."""
        if self._watching is not None:
            self._watching.stop()

    def close(self) -> None:
        """Let the connections go."""
        self._api.close()

    def _one_or_all(self, namespace: str) -> Callable[..., Any]:
        if not namespace:
            every: Callable[..., Any] = self._apps.list_deployment_for_all_namespaces
            return every
        return partial(self._apps.list_namespaced_deployment, namespace)

    def _ask(self, call: Callable[..., Any]) -> dict[str, Any]:
        def read() -> bytes:
            answer = call(limit=PAGE, _preload_content=False, _request_timeout=(CONNECT_SECONDS, SILENCE_SECONDS))
            try:
                return bytes(answer.data)
            finally:
                answer.release_conn()

        try:
            return msgspec.json.decode(self._guarded(read), type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise Unavailable(f"the cluster's answer is not JSON: {error}", code=AWAY) from error

    def _guarded(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except self._client.ApiException as error:
            if error.status == 410:
                raise GoneError(str(error.reason)) from error
            if error.status in (401, 403):
                raise Forbidden(
                    f"{error.status} {error.reason}: {_message(error.body)}".rstrip(": "),
                    code="cluster_refuses",
                    hint="give its account list and watch on deployments.apps; see docs/guides/watch-kubernetes.md",
                ) from error
            raise Unavailable(f"{error.status} {error.reason}", code=AWAY) from error
        except (self._urllib3.exceptions.HTTPError, OSError, ValueError, KeyError) as error:
            raise Unavailable(f"{type(error).__name__}: {error}"[:300], code=AWAY) from error


def _message(body: Any) -> str:
    """The message of a ``Status``, else the start of whatever came."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    try:
        return str(msgspec.json.decode(text, type=dict[str, Any]).get("message", ""))[:300]
    except msgspec.DecodeError:
        return text[:300]
