"""What a Kubernetes Deployment shows of its rollouts. Pure: what was known and what is seen in, steps out.

A rollout begins when the pod template changes (``generation`` also rises when somebody scales, which is no deploy).
It is complete by the rule of ``kubectl rollout status``: the controller has seen this generation, and every wanted pod
is of the new template and available, with none of the old left. It has failed when the controller says
``ProgressDeadlineExceeded``; it may still complete later.
https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from watchbill.features.changes.model import ChangeKind

RolloutState = Literal["settled", "rolling", "failed"]
Told = Literal["started", "finished", "failed", "cancelled", "missed"]
"""``missed``: it began while nobody watched, was replaced, and how it ended is not known."""
MOST_TEMPLATES = 20


class SeenDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """A Deployment as the API shows it. ``names`` are what its service may be called, the likeliest first; ``named``
    says that the first was written for us. ``changed_at`` is when its template was last written, as far as it says.
    """

    uid: str
    namespace: str
    name: str
    generation: int
    observed_generation: int
    template: str
    """A digest of the pod template."""
    revision: int | None = None
    wanted: int = 1
    updated: int = 0
    total: int = 0
    available: int = 0
    progressing_reason: str = ""
    progressing_message: str = ""
    progressing_at: datetime | None = None
    names: tuple[str, ...]
    named: bool = False
    environment: str | None = None
    version: str | None = None
    tag: str | None = None
    """The version by the image alone: it counts where a label was left as it was."""
    images: tuple[str, ...] = ()
    changed_at: datetime | None = None
    cause: str | None = None
    commits: tuple[str, ...] = ()
    author: str | None = None

    @property
    def is_observed(self) -> bool:
        """The controller has seen this specification."""
        return self.observed_generation >= self.generation

    @property
    def is_complete(self) -> bool:
        """Every wanted pod is new and available, and no old one is left."""
        return self.is_observed and self.updated >= self.wanted and self.total <= self.updated <= self.available

    @property
    def has_completed(self) -> bool:
        """The controller had it complete, whatever became of its pods since. Not to be asked while a rollout goes on:
        after going back to a template whose ReplicaSet is still there, the reason stays that of the rollout before.
        """
        return self.is_observed and self.progressing_reason == "NewReplicaSetAvailable"

    @property
    def has_failed(self) -> bool:
        """The controller gave up waiting for it."""
        return self.is_observed and self.progressing_reason == "ProgressDeadlineExceeded"


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A pod template that was in place, and the version it was."""

    digest: str
    version: str | None
    images: tuple[str, ...] = ()
    called: str | None = None
    """What it was told as, where that is not ``version``."""


class KnownDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """What was last seen of a Deployment; ``templates`` in the order they were first seen."""

    cluster: str
    uid: str
    namespace: str
    name: str
    generation: int
    revision: int | None
    template: str
    templates: tuple[Template, ...]
    state: RolloutState
    service: str = ""
    environment: str = ""
    change_id: UUID | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


class MissedRollout(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout that began and was replaced while nobody watched, as its ReplicaSet shows."""

    revision: int
    template: Template
    began_at: datetime


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to tell of a rollout. ``kind`` and ``version`` stand only with a start."""

    told: Told
    at: datetime
    why: str
    kind: ChangeKind = "deploy"
    version: str | None = None
    previous: str | None = None
    revision: int | None = None
    """Of what was missed: no other sight has it."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The Deployment as it is known from now on, and what is to be told; nothing when nothing is new."""

    known: KnownDeployment
    steps: tuple[Step, ...] = ()


def judge(
    known: KnownDeployment | None, seen: SeenDeployment, *, cluster: str, first_look: bool, now: datetime
) -> Judged:
    """What a sight of a Deployment means.

    ``first_look``: the watch has just been switched on, so that what stands there is no deploy; a rollout that is
    going on is told all the same.
    """
    began_at = min(seen.changed_at or now, now)
    if known is None:
        begun = _begin(cluster, seen, ())
        if first_look and (seen.is_complete or seen.has_completed):
            return Judged(known=begun)
        start = Step(told="started", at=began_at, why="its first rollout that was seen", version=seen.version)
        return _progress(_rolling(begun, began_at), seen, [start], now)
    if not _is_new(known, seen):
        same = msgspec.structs.replace(
            known,
            generation=max(known.generation, seen.generation),
            revision=seen.revision if seen.revision is not None else known.revision,
            template=seen.template,
            templates=_with(known.templates, seen, instead_of=known.template),
        )
        return _progress(same, seen, [], now)
    steps: list[Step] = []
    began_at = max(began_at, known.started_at or began_at)
    was = version_of(known)
    if known.state == "rolling":
        what = f"replaced by {seen.version or 'another template'} before it was complete"
        steps.append(Step(told="cancelled", at=began_at, why=what))
    kind, why = _kind(known, seen)
    begun = _begin(cluster, seen, known.templates, called=_called(known, seen))
    version = version_of(begun)
    steps.append(Step(told="started", at=began_at, why=why, kind=kind, version=version, previous=was))
    return _progress(_rolling(begun, began_at), seen, steps, now)


def missed(known: KnownDeployment | None, seen: SeenDeployment) -> range:
    """Revisions that came and went unseen; empty when there are none or nobody can tell."""
    if known is None or known.revision is None or seen.revision is None or seen.generation <= known.generation:
        return range(0)
    return range(known.revision + 1, seen.revision)


def missed_steps(known: KnownDeployment, found: Sequence[MissedRollout], *, since: datetime) -> list[Step]:
    """What to tell of rollouts that nobody saw; how they ended is not known, and it says so."""
    steps: list[Step] = []
    was, digests = version_of(known), {known.template}
    for one in sorted(found, key=lambda each: each.revision):
        if one.began_at <= since or one.template.digest in digests:
            continue
        digests.add(one.template.digest)
        why = f"revision {one.revision} came and went while nobody watched; how it ended is not known"
        kind = _kind_of(known.templates, known.template, one.template)
        version = one.template.version
        steps.append(
            Step(
                told="missed",
                at=one.began_at,
                why=why,
                kind=kind,
                version=version,
                previous=was,
                revision=one.revision,
            )
        )
        was = version
    return steps


def version_of(known: KnownDeployment) -> str | None:
    """The version of the template in place."""
    return next((one.called or one.version for one in known.templates if one.digest == known.template), None)


def _called(known: KnownDeployment, seen: SeenDeployment) -> str | None:
    """The image's tag, where the image is another one and the version's label was not changed with it."""
    was = next((one for one in known.templates if one.digest == known.template), None)
    stale = was is not None and was.version == seen.version and was.images != seen.images
    return seen.tag if stale and seen.tag != seen.version else None


def _is_new(known: KnownDeployment, seen: SeenDeployment) -> bool:
    """Another template, or the same one again with another between (two revisions on).

    The generation must have risen: a new release of Kubernetes may add defaults to every template.
    """
    if seen.generation <= known.generation:
        return False
    if seen.template != known.template:
        return True
    return known.revision is not None and seen.revision is not None and seen.revision >= known.revision + 2


def _kind(known: KnownDeployment, seen: SeenDeployment) -> tuple[ChangeKind, str]:
    template = Template(digest=seen.template, version=seen.version, images=seen.images)
    kind = _kind_of(known.templates, known.template, template)
    return kind, {
        "rollback": "back to a pod template that was in place before",
        "config": "the pod template changed, its images and version did not",
    }.get(kind, "the pod template changed")


def _kind_of(templates: Sequence[Template], current: str, new: Template) -> ChangeKind:
    digests = [one.digest for one in templates]
    if new.digest in digests and current in digests and digests.index(new.digest) < digests.index(current):
        return "rollback"
    was = next((one for one in templates if one.digest == current), None)
    same = was is not None and was.images == new.images and was.version == new.version and bool(new.images)
    return "config" if same else "deploy"


def _begin(
    cluster: str, seen: SeenDeployment, templates: tuple[Template, ...], *, called: str | None = None
) -> KnownDeployment:
    return KnownDeployment(
        cluster=cluster,
        uid=seen.uid,
        namespace=seen.namespace,
        name=seen.name,
        generation=seen.generation,
        revision=seen.revision,
        template=seen.template,
        templates=_with(templates, seen, called=called),
        state="settled",
    )


def _rolling(known: KnownDeployment, began_at: datetime) -> KnownDeployment:
    return msgspec.structs.replace(known, state="rolling", started_at=began_at, ended_at=None, change_id=None)


def _with(
    templates: tuple[Template, ...],
    seen: SeenDeployment,
    *,
    instead_of: str | None = None,
    called: str | None = None,
) -> tuple[Template, ...]:
    """The templates with the one that is seen; ``instead_of`` is its digest before an upgrade added defaults."""
    if any(one.digest == seen.template for one in templates):
        return templates
    new = Template(digest=seen.template, version=seen.version, images=seen.images, called=called)
    kept = tuple(one for one in templates if one.digest != instead_of)
    return (*kept, new)[-MOST_TEMPLATES:]


def _progress(known: KnownDeployment, seen: SeenDeployment, steps: list[Step], now: datetime) -> Judged:
    """Whether the rollout that goes on has come to an end."""
    since = known.started_at or now
    if known.state != "settled" and seen.is_complete:
        at = seen.progressing_at if seen.progressing_reason == "NewReplicaSetAvailable" else None
        at = min(max(at or now, since), now)
        why = f"all {seen.wanted} pods are of the new template and available"
        steps.append(Step(told="finished", at=at, why=why))
        known = msgspec.structs.replace(known, state="settled", ended_at=at)
    elif known.state == "rolling" and seen.has_failed:
        at = min(max(seen.progressing_at or now, since), now)
        message = seen.progressing_message or "it made no progress within its deadline"
        why = f"ProgressDeadlineExceeded: {message} ({seen.available} of {seen.wanted} available)"
        steps.append(Step(told="failed", at=at, why=why))
        known = msgspec.structs.replace(known, state="failed", ended_at=at)
    return Judged(known=known, steps=tuple(steps))
