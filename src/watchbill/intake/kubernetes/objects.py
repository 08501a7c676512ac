"""Deployments and ReplicaSets as the API server sends them (``apps/v1``, JSON). Pure.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/deployment-v1/
The names and the version of a service follow OpenTelemetry's rules for Kubernetes:
https://opentelemetry.io/docs/specs/semconv/non-normative/k8s-attributes/
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from watchbill.features.changes import MissedRollout, SeenDeployment, Template
from watchbill.intake.changes.base import environment_of, instant
from watchbill.kernel.errors import Invalid

OWN = "watchbill"
"""Prefix of annotations written for us: ``watchbill/service``, ``…/environment``, ``…/version``, ``…/author``,
``…/commit``, ``…/ignore``."""
OTEL = "resource.opentelemetry.io"
REVISION = "deployment.kubernetes.io/revision"
_LABEL = "app.kubernetes.io"
_HASH = "pod-template-hash"
_SAYS_NOTHING = frozenset({"", "latest", "stable", "main", "master", "dev", "edge"})
Texts = dict[str, str] | None


class _Managed(msgspec.Struct, rename="camel", frozen=True):
    time: str = ""
    subresource: str = ""
    fields_v1: dict[str, Any] | None = msgspec.field(default=None, name="fieldsV1")


class _Owner(msgspec.Struct, rename="camel", frozen=True):
    uid: str = ""


class _Metadata(msgspec.Struct, rename="camel", frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    labels: Texts = None
    annotations: Texts = None
    managed_fields: list[_Managed] | None = None
    owner_references: list[_Owner] | None = None


class _Condition(msgspec.Struct, rename="camel", frozen=True):
    type: str = ""
    reason: str = ""
    message: str = ""
    last_update_time: str | None = None


class _Status(msgspec.Struct, rename="camel", frozen=True):
    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    conditions: list[_Condition] | None = None


class _Selector(msgspec.Struct, rename="camel", frozen=True):
    match_labels: Texts = None


class _Spec(msgspec.Struct, rename="camel", frozen=True):
    template: dict[str, Any] = {}
    replicas: int | None = None
    selector: _Selector = _Selector()


class _Object(msgspec.Struct, frozen=True):
    metadata: _Metadata
    spec: _Spec = _Spec()
    status: _Status = _Status()


class _Container(msgspec.Struct, frozen=True):
    name: str = ""
    image: str = ""


def seen_deployment(raw: Mapping[str, Any], *, environments: Mapping[str, str], default: str) -> SeenDeployment | None:
    """What a Deployment shows; None for one annotated ``watchbill/ignore: "true"``.

    ``environments`` by namespace; ``default`` for the others. The Deployment's own word is above both.

    Raises:
        Invalid: not a Deployment as documented.
    """
    one = _read(raw)
    meta, status = one.metadata, one.status
    labels, notes = meta.labels or {}, meta.annotations or {}
    if notes.get(f"{OWN}/ignore", "").lower() == "true":
        return None
    pod_labels, pod_notes, containers = _pod(one.spec.template)
    named = _plain(notes.get(f"{OWN}/service"))
    told = [pod_notes.get(f"{OTEL}/service.name", ""), notes.get(f"{OTEL}/service.name", ""), meta.name]
    told += [labels.get(key, "") for key in (f"{_LABEL}/instance", f"{_LABEL}/name", "app")]
    names = tuple(dict.fromkeys(name for each in [named, *told] if (name := _plain(each))))
    environment = notes.get(f"{OWN}/environment") or notes.get(f"{OTEL}/deployment.environment.name")
    tag = _tag(_main(containers, pod_notes, names))
    labelled = [
        notes.get(f"{OWN}/version"),
        pod_notes.get(f"{OTEL}/service.version"),
        pod_labels.get(f"{_LABEL}/version"),
    ]
    labelled.append(labels.get(f"{_LABEL}/version"))
    version = next((plain for each in labelled if (plain := _plain(each, 200))), tag)
    progressing = next((each for each in status.conditions or [] if each.type == "Progressing"), _Condition())
    revision = notes.get(REVISION, "")
    commit = _plain(notes.get(f"{OWN}/commit"))
    return SeenDeployment(
        uid=meta.uid,
        namespace=meta.namespace,
        name=meta.name,
        generation=meta.generation,
        observed_generation=status.observed_generation,
        template=digest(one.spec.template),
        revision=int(revision) if revision.isascii() and revision.isdigit() else None,
        wanted=1 if one.spec.replicas is None else one.spec.replicas,
        updated=status.updated_replicas,
        total=status.replicas,
        available=status.available_replicas,
        progressing_reason=progressing.reason,
        progressing_message=_plain(progressing.message, 300),
        progressing_at=instant(progressing.last_update_time),
        names=names,
        named=bool(named),
        environment=environment_of(_plain(environment) or environments.get(meta.namespace) or default),
        version=version,
        tag=tag,
        images=tuple(each.image for each in containers),
        changed_at=_template_written(meta) or instant(meta.creation_timestamp),
        cause=_plain(notes.get("kubernetes.io/change-cause"), 300) or None,
        commits=(commit,) if commit else (),
        author=_plain(notes.get(f"{OWN}/author"), 200) or None,
    )


def selector_of(raw: Mapping[str, Any]) -> str:
    """Its ``matchLabels`` as a label selector."""
    return ",".join(f"{key}={value}" for key, value in sorted((_read(raw).spec.selector.match_labels or {}).items()))


def missed_rollout(raw: Mapping[str, Any], *, uid: str) -> MissedRollout | None:
    """The rollout that a ReplicaSet stands for; None for one of another Deployment, or without a revision."""
    one = _read(raw)
    revision = (one.metadata.annotations or {}).get(REVISION, "")
    began_at = instant(one.metadata.creation_timestamp)
    owned = any(owner.uid == uid for owner in one.metadata.owner_references or [])
    if not owned or began_at is None or not (revision.isascii() and revision.isdigit()):
        return None
    pod_labels, pod_notes, containers = _pod(one.spec.template)
    version = pod_labels.get(f"{_LABEL}/version") or _tag(_main(containers, pod_notes, ()))
    images = tuple(each.image for each in containers)
    template = Template(digest=digest(one.spec.template), version=version, images=images)
    return MissedRollout(revision=int(revision), template=template, began_at=began_at)


def digest(template: Mapping[str, Any]) -> str:
    """A digest of a pod template; the same for a Deployment and for the ReplicaSet made of it."""
    metadata = dict(template.get("metadata") or {})
    metadata.pop("creationTimestamp", None)
    labels = {key: value for key, value in (metadata.pop("labels", None) or {}).items() if key != _HASH}
    plain = {**template, "metadata": {**metadata, "labels": labels}}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _read(raw: Mapping[str, Any]) -> _Object:
    try:
        one = msgspec.convert(raw, _Object)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Invalid(f"not a Deployment as documented: {error}", code="bad_deployment") from error
    if not one.metadata.uid or not one.metadata.name:
        raise Invalid("a Deployment without a name or uid", code="bad_deployment")
    return one


def _pod(template: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str], list[_Container]]:
    """Labels, annotations and containers of a pod template."""
    try:
        metadata = msgspec.convert(template.get("metadata") or {}, _Metadata)
        found = msgspec.convert((template.get("spec") or {}).get("containers") or [], list[_Container])
    except (msgspec.ValidationError, AttributeError) as error:
        raise Invalid(f"not a pod template as documented: {error}", code="bad_deployment") from error
    containers = [_Container(name=_plain(each.name), image=_plain(each.image, 1000)) for each in found]
    return metadata.labels or {}, metadata.annotations or {}, containers


def _plain(text: str | None, most: int = 255) -> str:
    """Without control signs, which no list shows and PostgreSQL cannot hold, and not too long."""
    return "".join(sign for sign in text or "" if sign.isprintable()).strip()[:most].strip()


def _main(containers: list[_Container], notes: Mapping[str, str], names: tuple[str, ...]) -> str:
    """The image of the container that is the service: the default one, the one of its name, or the first."""
    wanted = [notes.get("kubectl.kubernetes.io/default-container", ""), *names]
    by_name = {each.name: each.image for each in containers}
    found = next((by_name[name] for name in wanted if name in by_name), None)
    return found if found is not None else containers[0].image if containers else ""


def _tag(image: str) -> str | None:
    """``registry:5000/shop/payments:v2`` is ``v2``; a digest alone, its first twelve signs; ``latest`` says nothing."""
    name, _, held = image.partition("@")
    match = re.fullmatch(r".*?:([\w][\w.-]{0,127})", name.rpartition("/")[2])
    if match and match[1].lower() not in _SAYS_NOTHING:
        return match[1]
    return held.removeprefix("sha256:")[:12] or None


def _template_written(meta: _Metadata) -> datetime | None:
    """When somebody last wrote the pod template, as ``managedFields`` say."""
    written = [
        instant(each.time)
        for each in meta.managed_fields or []
        if not each.subresource and "f:template" in ((each.fields_v1 or {}).get("f:spec") or {})
    ]
    return max((at for at in written if at is not None), default=None)
