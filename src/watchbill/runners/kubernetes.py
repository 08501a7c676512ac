"""``kubectl rollout undo`` through the Kubernetes API: the pod template of the ReplicaSet before the current one.

Needs the official client (``pip install 'watchbill[kubernetes]'``); it is imported only when a run needs it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from watchbill.features.changes import same_version
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
    owned = cluster.revisions(deployment.metadata.uid, selector, _REVISION)
    if (there := _there_already(context, owned)) is not None:
        return Result(outcome="succeeded", message=f"deployment {namespace}/{name} {there}")
    revision, template = cluster.template_of(_target(context, owned, _REVISION), _REVISION)
    said = f"deployment {namespace}/{name} to revision {revision}"
    if context.task.dry_run:
        context.say(f"would undo {said}")
        return Result(outcome="succeeded", message=f"would undo {said}")
    context.say(f"undoing {said}")
    # The test refuses the patch when somebody has changed the deployment since it was read.
    unchanged = {"op": "test", "path": "/metadata/generation", "value": deployment.metadata.generation}
    patch = [unchanged, {"op": "replace", "path": "/spec/template", "value": template}]
    patched = cluster.ask(lambda: cluster.apps.patch_namespaced_deployment(name, namespace, patch, _request_timeout=10))
    ours = _images(cluster.api.sanitize_for_serialization(patched.spec.template))
    last = ""
    while True:
        found = read()
        images = _images(cluster.api.sanitize_for_serialization(found.spec.template))
        if images != ours:
            raise Refused(f"somebody changed deployment {namespace}/{name} meanwhile: it runs {', '.join(images)}")
        status, wanted = found.status, found.spec.replicas or 0
        observed = (status.observed_generation or 0) >= (found.metadata.generation or 0)
        late = next((c for c in status.conditions or [] if c.reason == "ProgressDeadlineExceeded"), None)
        if observed and late is not None:
            raise Refused(f"{said} does not come up: {late.message or late.reason}")
        updated, available = status.updated_replicas or 0, status.available_replicas or 0
        words = f"{updated} of {wanted} updated, {available} available"
        if words != last:
            context.say(words)
            last = words
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
        owned = cluster.revisions(rollout["metadata"]["uid"], selector, _ROLLOUT_REVISION)
        if (there := _there_already(context, owned)) is not None:
            return Result(outcome="succeeded", message=f"{said} {there}")
        revision, template = cluster.template_of(_target(context, owned, _ROLLOUT_REVISION), _ROLLOUT_REVISION)
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
        if phase == "Degraded" and observed and not going_on:
            raise Refused(f"{todo}: it is degraded, {status.get('message') or 'and does not say why'}")


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

    def revisions(self, owner_uid: str, selector: Mapping[str, str], annotation: str) -> list[Any]:
        """The ReplicaSets of the owner by their revision, the current one last.

        Raises:
            Refused: there is none before it.
        """
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
        if len(owned) < 2:
            raise Refused("there is no revision before the current one")
        return sorted(owned, key=lambda one: int(one.metadata.annotations[annotation]))

    def template_of(self, replica_set: Any, annotation: str) -> tuple[int, dict[str, Any]]:
        """A ReplicaSet's revision, and its pod template without the labels that tell templates apart."""
        template: dict[str, Any] = self.api.sanitize_for_serialization(replica_set.spec.template)
        labels_of = template.get("metadata", {}).get("labels", {})
        for name in _HASHES:
            labels_of.pop(name, None)
        return int(replica_set.metadata.annotations[annotation]), template


def _target(context: Context, owned: Sequence[Any], annotation: str) -> Any:
    """The newest revision that runs the wanted version; where no image tells it, the one before the current one.

    Raises:
        Refused: that one is the bad version itself: somebody has undone it, and undoing that would bring it back.
    """
    task = context.task
    for one in reversed(owned[:-1]):
        if _runs(one, task.previous_version):
            return one
    before = owned[-2]
    if _runs(before, task.version):
        number = before.metadata.annotations[annotation]
        raise Refused(f"the revision before the current one ({number}) is {task.version} itself: it is undone already")
    return before


def _there_already(context: Context, owned: Sequence[Any]) -> str | None:
    """Words when the current revision runs the wanted version."""
    task = context.task
    if _runs(owned[-1], task.previous_version) and not _runs(owned[-1], task.version):
        return f"runs {task.previous_version} already; nothing was to be done"
    return None


def _runs(replica_set: Any, version: str | None) -> bool:
    """Whether a container's image is of this version, by its tag or digest."""
    for container in replica_set.spec.template.spec.containers or []:
        image = container.image or ""
        tag = image.rpartition("@")[2] if "@" in image else image.rpartition("/")[2].partition(":")[2]
        if same_version(tag or None, version):
            return True
    return False


def _images(template: Mapping[str, Any]) -> list[str]:
    return [str(each.get("image")) for each in (template.get("spec") or {}).get("containers") or []]
