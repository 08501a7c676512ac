"""``kubectl rollout undo`` through the Kubernetes API: the pod template of the ReplicaSet before the current one.

Needs the official client (``pip install 'watchbill[kubernetes]'``); it is imported only when a run needs it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from watchbill.features.rollback.plans import ArgoRollouts, Kubernetes
from watchbill.runners.base import Context, Refused, Result

_REVISION = "deployment.kubernetes.io/revision"
_ROLLOUT_REVISION = "rollout.argoproj.io/revision"
_HASHES = ("pod-template-hash", "rollouts-pod-template-hash")


def run(context: Context) -> Result:
    """Patch the Deployment with the previous template, then wait as ``kubectl rollout status`` does."""
    plan = context.plan(Kubernetes)
    cluster = _Cluster(context, plan.context, plan.namespace)
    name, namespace = plan.deployment, plan.namespace

    def read() -> Any:
        return cluster.ask(lambda: cluster.apps.read_namespaced_deployment(name, namespace, _request_timeout=10))

    deployment = read()
    selector = deployment.spec.selector.match_labels or {}
    revision, template = cluster.previous(deployment.metadata.uid, selector, _REVISION)
    said = f"deployment {namespace}/{name} to revision {revision}"
    if context.task.dry_run:
        context.say(f"would undo {said}")
        return Result(outcome="succeeded", message=f"would undo {said}")
    context.say(f"undoing {said}")
    patch = [{"op": "replace", "path": "/spec/template", "value": template}]
    cluster.ask(lambda: cluster.apps.patch_namespaced_deployment(name, namespace, patch, _request_timeout=10))
    last = ""
    while True:
        found = read()
        status, wanted = found.status, found.spec.replicas or 0
        updated, available = status.updated_replicas or 0, status.available_replicas or 0
        words = f"{updated} of {wanted} updated, {available} available"
        if words != last:
            context.say(words)
            last = words
        observed = (status.observed_generation or 0) >= (found.metadata.generation or 0)
        if observed and updated >= wanted and available >= wanted and (status.replicas or 0) <= updated:
            return Result(outcome="succeeded", message=f"undid {said}")
        context.wait()


def run_rollout(context: Context) -> Result:
    """Argo Rollouts: abort a Rollout that goes on; one that is done gets the template of the previous revision."""
    plan = context.plan(ArgoRollouts)
    cluster = _Cluster(context, plan.context, plan.namespace)
    custom = cluster.client.CustomObjectsApi(cluster.api)
    where = ("argoproj.io", "v1alpha1", plan.namespace, "rollouts", plan.rollout)

    def read() -> dict[str, Any]:
        found: dict[str, Any] = cluster.ask(lambda: custom.get_namespaced_custom_object(*where, _request_timeout=10))
        return found

    rollout = read()
    status, spec = rollout.get("status") or {}, rollout.get("spec") or {}
    going_on = bool(status.get("stableRS")) and status.get("currentPodHash") != status.get("stableRS")
    said = f"rollout {plan.namespace}/{plan.rollout}"
    if going_on:
        todo = f"abort {said}: its canary is not the stable version yet"
        body: Any = {"status": {"abort": True}}
        patch = custom.patch_namespaced_custom_object_status
    else:
        selector = (spec.get("selector") or {}).get("matchLabels") or {}
        revision, template = cluster.previous(rollout["metadata"]["uid"], selector, _ROLLOUT_REVISION)
        todo = f"set {said} to revision {revision}"
        body = {"spec": {"template": template}}
        patch = custom.patch_namespaced_custom_object
    context.say(f"{'would ' if context.task.dry_run else ''}{todo}")
    if context.task.dry_run:
        return Result(outcome="succeeded", message=f"would {todo}")
    cluster.ask(lambda: patch(*where, body, _request_timeout=10))
    last = ""
    while True:
        context.wait()
        rollout = read()
        status = rollout.get("status") or {}
        phase = str(status.get("phase", ""))
        if phase != last:
            context.say(f"phase: {phase or 'unknown'}")
            last = phase
        # Until the controller has looked, the phase is that of before.
        observed = str(status.get("observedGeneration", "")) == str(rollout["metadata"].get("generation", ""))
        if (phase == "Healthy" and observed) or (going_on and phase == "Degraded" and status.get("abort")):
            return Result(outcome="succeeded", message=f"done: {todo}")


class _Cluster:
    """A connection: inside a cluster its service account, else the runner's kubeconfig."""

    def __init__(self, context: Context, name: str | None, namespace: str) -> None:
        try:
            import kubernetes
        except ImportError as error:
            raise Refused("this runner lacks the Kubernetes client; pip install 'watchbill[kubernetes]'") from error
        self._context = context
        self._namespace = namespace
        untyped: Any = kubernetes
        self.client, config = untyped.client, untyped.config
        try:
            if name is None and "KUBERNETES_SERVICE_HOST" in os.environ:
                config.load_incluster_config()
                self.api: Any = self.client.ApiClient()
            else:
                self.api = config.new_client_from_config(context=name)
        except config.ConfigException as error:
            raise Refused(f"no way into the cluster: {error}") from error
        self.apps: Any = self.client.AppsV1Api(self.api)

    def ask(self, call: Callable[[], Any]) -> Any:
        """The answer of the API.

        Raises:
            Refused: an error, or no answer.
        """
        import urllib3

        self._context.check()
        try:
            return call()
        except self.client.ApiException as error:
            raise Refused(f"Kubernetes answered {error.status} {error.reason}: {str(error.body)[:300]}") from error
        except urllib3.exceptions.HTTPError as error:
            raise Refused(f"Kubernetes does not answer: {error}") from error

    def previous(self, owner_uid: str, selector: Mapping[str, str], annotation: str) -> tuple[int, dict[str, Any]]:
        """The highest revision but one, and its pod template without the labels that tell templates apart."""
        labels = ",".join(f"{key}={value}" for key, value in selector.items())
        found = self.ask(
            lambda: self.apps.list_namespaced_replica_set(self._namespace, label_selector=labels, _request_timeout=10)
        )
        owned = [
            one
            for one in found.items
            if any(owner.uid == owner_uid for owner in one.metadata.owner_references or [])
            and annotation in (one.metadata.annotations or {})
        ]
        owned.sort(key=lambda one: int(one.metadata.annotations[annotation]))
        if len(owned) < 2:
            raise Refused("there is no revision before the current one")
        template: dict[str, Any] = self.api.sanitize_for_serialization(owned[-2].spec.template)
        labels_of = template.get("metadata", {}).get("labels", {})
        for name in _HASHES:
            labels_of.pop(name, None)
        return int(owned[-2].metadata.annotations[annotation]), template
