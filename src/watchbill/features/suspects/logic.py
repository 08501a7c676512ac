"""Ranking changes against an incident: pure. Evidence adds up in log-odds, and "none of them" counts too.

The weights follow what was measured in the open (ChangeRCA's 51 incidents): before/after of the changed service is
the best single signal, so a measured jump outweighs everything else together; the deeper of two changes that are both
worse explains the other away (Gandalf, NSDI 2020; ChangeRCA, FSE 2024).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from watchbill.features.suspects.model import Candidate, Comparison, Evidence, Ranking, Suspect, TracedPath
from watchbill.kernel.durations import rough_duration

WINDOW = timedelta(hours=24)
"""Changes older than this are not considered."""
SHOWN = 10
_HALF_LIFE_HOURS = 2.0
_SOMETHING_ELSE = 0.5
"""Log-odds of a cause that is no change we know of."""
_AFTER_ONSET = timedelta(seconds=30)
"""Clocks differ: a change may say that it began this much after the onset and still be its cause."""
_WORSE = 4.0
_NO_WORSE = -4.0
_EXPLAINED = -3.5
_UNDONE = -8.0
_UNRELATED = -5.0
_UNSEEN = -0.7
"""A declared dependency that traces through the symptom never went to: likelier not on its path."""
_KINDS: Mapping[str, float] = {"deploy": 0.0, "flag": 0.0, "config": -0.1, "schema": -0.2, "infrastructure": -0.2}


class _Scored(NamedTuple):
    score: float
    candidate: Candidate
    comparison: Comparison | None
    explained: str | None


def rank(
    candidates: Sequence[Candidate],
    *,
    incident_id: UUID,
    onset_at: datetime,
    now: datetime,
    comparisons: Mapping[UUID, Comparison],
    undone: Collection[UUID] = (),
    below: Mapping[UUID, str] | None = None,
    note: str = "",
    path: TracedPath | None = None,
) -> Ranking:
    """Order the changes that began before ``onset_at`` by how likely each caused it; at most `SHOWN` are returned.

    ``comparisons`` holds what was measured, by change; ``undone`` those that were rolled back without any recovery;
    ``below`` names, by change, a dependency of its service that got worse at the same time.
    Ten thousand candidates are scored first, and words are made only for those that are shown.
    """
    possible = [c for c in candidates if onset_at - WINDOW <= c.started_at <= onset_at + _AFTER_ONSET]
    why = _explained_by(possible, comparisons, below or {})
    scored = [
        _score(c, comparisons.get(c.change_id), onset_at, explained=why.get(c.change_id), undone=undone)
        for c in possible
    ]
    scored.sort(key=lambda each: (-each.score, -each.candidate.started_at.timestamp(), each.candidate.change_id))
    best = max((each.score for each in scored), default=0.0)
    top = max(best, _SOMETHING_ELSE)
    whole = math.exp(_SOMETHING_ELSE - top) + sum(math.exp(each.score - top) for each in scored)
    latest = max(possible, key=lambda c: (c.started_at, c.change_id), default=None)
    return Ranking(
        incident_id=incident_id,
        ranked_at=now,
        onset_at=onset_at,
        considered=len(possible),
        latest=latest.change_id if latest else None,
        note=note,
        path=path,
        suspects=[
            Suspect(
                rank=position,
                change_id=c.change_id,
                service_id=c.service_id,
                service=c.service,
                kind=c.kind,
                version=c.version,
                previous_version=c.previous_version,
                started_at=c.started_at,
                reversible=c.reversible,
                score=round(each.score, 3),
                confidence=round(math.exp(each.score - top) / whole, 4),
                answer=each.comparison.answer if each.comparison else None,
                evidence=_evidence(c, each.comparison, onset_at, each.explained, undone),
            )
            for position, each in enumerate(scored[:SHOWN], start=1)
            for c in (each.candidate,)
        ],
    )


def _is_worse(comparison: Comparison | None) -> bool:
    return comparison is not None and comparison.answer == "worse"


def _explained_by(
    possible: Sequence[Candidate], comparisons: Mapping[UUID, Comparison], below: Mapping[UUID, str]
) -> dict[UUID, str]:
    """Why a change that looks worse may not be: something deeper on the path is worse too."""
    worse = [c for c in possible if c.distance is not None and _is_worse(comparisons.get(c.change_id))]
    deepest = max((c.distance for c in worse if c.distance is not None), default=0)
    found: dict[UUID, str] = {}
    for c in worse:
        if c.change_id in below:
            found[c.change_id] = f"{below[c.change_id]}, which it depends on, got worse at the same time"
        elif c.distance is not None and c.distance < deepest:
            found[c.change_id] = "a change deeper on the path is worse too, and explains it"
    return found


def _score(
    c: Candidate,
    comparison: Comparison | None,
    onset_at: datetime,
    *,
    explained: str | None,
    undone: Collection[UUID],
) -> _Scored:
    score = _time_weight(c, onset_at) + _path_weight(c) + _measured_weight(comparison) + _kind_weight(c)
    score += _EXPLAINED if explained else 0.0
    score += _UNDONE if c.change_id in undone else 0.0
    return _Scored(score, c, comparison, explained)


def _time_weight(c: Candidate, onset_at: datetime) -> float:
    """Halves every two hours between the end of the change (or its start, while it goes on) and the onset."""
    began = min(c.finished_at or c.started_at, onset_at)
    return -math.log(2) * max(0.0, (onset_at - began).total_seconds()) / 3600 / _HALF_LIFE_HOURS


def _path_weight(c: Candidate) -> float:
    if not c.same_environment or c.distance is None:
        return _UNRELATED
    unseen = _UNSEEN if c.path_source == "unseen" else 0.0
    if c.distance < 0:
        return -1.5 + 0.5 * (c.distance + 1) + unseen  # a caller can hurt by what it asks for, which is rarer
    return -0.3 * c.distance + unseen


def _measured_weight(comparison: Comparison | None) -> float:
    if comparison is None or comparison.answer in ("undecided", "not enough data"):
        return 0.0
    if comparison.answer == "no worse":
        return _NO_WORSE
    return _WORSE + min(1.5, math.log(max(1.0, comparison.ratio)) / 2)


def _kind_weight(c: Candidate) -> float:
    return _KINDS.get(c.kind, -0.3) + (-2.0 if c.is_rollback else 0.0)


def _evidence(
    c: Candidate, comparison: Comparison | None, onset_at: datetime, explained: str | None, undone: Collection[UUID]
) -> list[Evidence]:
    before = onset_at - c.started_at
    when = f"began {rough_duration(before)} before the trouble" if before.total_seconds() > 0 else "began as it started"
    found = [
        Evidence(kind="time", weight=round(_time_weight(c, onset_at), 2), text=when),
        Evidence(kind="path", weight=round(_path_weight(c), 2), text=_path_words(c)),
    ]
    if comparison is not None:
        weight = _measured_weight(comparison)
        found.append(Evidence(kind="measured", weight=round(weight, 2), text=comparison.words))
    if c.is_rollback or _kind_weight(c):
        text = "it is a rollback itself" if c.is_rollback else f"a {c.kind} change"
        found.append(Evidence(kind="kind", weight=round(_kind_weight(c), 2), text=text))
    if explained:
        found.append(Evidence(kind="explained", weight=_EXPLAINED, text=explained))
    if c.change_id in undone:
        found.append(Evidence(kind="undone", weight=_UNDONE, text="it was undone, and nothing got better"))
    return found


def _path_words(c: Candidate) -> str:
    if not c.same_environment:
        return "in another environment"
    if c.distance is None:
        return f"{c.service} is not known to be on the path"
    if c.distance == 0:
        return f"{c.service} is what hurts"
    steps = abs(c.distance)
    far = "directly" if steps == 1 else f"over {steps} steps"
    place = f"what hurts depends on {c.service} {far}" if c.distance > 0 else f"{c.service} calls what hurts, {far}"
    said = {
        None: "",
        "declared": ", as declared",
        "traces": f", as {c.path_traces} traces show; no manifest says so",
        "both": f", as declared and as {c.path_traces} traces show",
        "unseen": f", as declared; none of {c.path_traces} traces went there",
    }
    return place + said[c.path_source]


def title_of(suspect: Suspect) -> str:
    """``payments v84 (deploy)``: what a person calls it."""
    return f"{suspect.service} {suspect.version or ''}".strip() + f" ({suspect.kind})"


def line_of(ranking: Ranking) -> str | None:
    """The one line for a page's message; None when no change is worth naming."""
    if not ranking.suspects:
        return None
    top = ranking.suspects[0]
    if top.confidence < 0.2:
        return None
    why = "; ".join(e.text for e in sorted(top.evidence, key=lambda e: -e.weight) if e.kind in ("time", "measured"))
    return f"Probable cause: {title_of(top)}, {top.confidence:.0%}: {why}"
