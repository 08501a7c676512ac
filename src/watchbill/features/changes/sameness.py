"""Is what one source saw the deploy that another told? Pure.

Sources spell versions differently (``v1.4``, ``1.4``, a whole commit hash, its first seven signs, Flux's
``main@sha1:<hash>``), tell in any order, and some are late. Telling one deploy twice would count it twice in every
measure and make it its own alibi; telling two as one would hide one. Where versions agree the time may be wide, where
they do not it must be narrow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from watchbill.features.changes.model import Change, ChangeKind

OBSERVERS = frozenset({"telemetry", "kubernetes"})
"""Sources that saw a deploy without being told of it: whoever reports it afterwards takes their change over."""
SAME_VERSION_WITHIN = timedelta(hours=6)
UNVERSIONED_WITHIN = timedelta(minutes=10)
"""One of the two names no version: as near as this it is the same deploy."""
SPELLED_OTHERWISE_WITHIN = timedelta(minutes=2)
"""Both name a version and they differ: they began as near as this, so one is a hash and the other a number."""
PIPELINE_WITHIN = timedelta(minutes=30)
"""The same while a pipeline says that it is at work: it builds and tests before it deploys."""
_HASH = re.compile(r"[0-9a-f]{7,64}")


def same_version(one: str | None, other: str | None) -> bool:
    """Whether two spellings mean one version: a leading v apart, or one commit hash beginning with the other."""
    if one is None or other is None:
        return False
    left, right = _plain(one), _plain(other)
    if left == right:
        return True
    short, long = sorted((left, right), key=len)
    return bool(_HASH.fullmatch(short)) and bool(_HASH.fullmatch(long)) and long.startswith(short)


def _plain(version: str) -> str:
    spelled = version.strip().lower()
    spelled = spelled.rpartition("@")[2] if "@" in spelled else spelled
    spelled = spelled.removeprefix("sha1:").removeprefix("sha256:")
    return spelled[1:] if re.match(r"v\d", spelled) else spelled


def names_version(change: Change, version: str | None) -> bool:
    """Whether the change is of that version, by its own word or by one of its commits."""
    return same_version(change.version, version) or any(same_version(commit, version) for commit in change.commits)


def same_deploy(
    known: Change,
    *,
    version: str | None,
    kind: ChangeKind = "deploy",
    commits: Sequence[str] = (),
    at: datetime,
    later: Sequence[Change] = (),
) -> bool:
    """Whether a deploy said to begin or end at ``at`` is the one already known.

    ``later`` are other changes of the same place; one of another version between the two means that the version was
    put in place once more. A change of the configuration leaves the version as it was, so its version says little.
    """
    goes_on = known.state == "started"
    until = known.started_at + SAME_VERSION_WITHIN if goes_on else known.last_at
    distance = max(known.started_at - at, at - until, timedelta(0))
    if "config" in (kind, known.kind):
        return distance <= UNVERSIONED_WITHIN and (version is None or known.version in (None, version))
    if names_version(known, version) or any(same_version(known.version, commit) for commit in commits):
        return distance <= SAME_VERSION_WITHIN and not any(
            known.last_at < one.started_at <= at and one.version is not None and not names_version(one, version)
            for one in later
        )
    if known.version is None or version is None:
        return distance <= UNVERSIONED_WITHIN
    if goes_on and known.source not in OBSERVERS:
        return timedelta(0) <= at - known.started_at <= PIPELINE_WITHIN
    return abs(known.started_at - at) <= SPELLED_OTHERWISE_WITHIN
