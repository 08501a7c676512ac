"""The path of a symptom: how far each service is from what hurts, as declared and as traces show it. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from watchbill.features.suspects.model import Candidate, PathSource, TracedPath

MOST_STEPS = 4
ENOUGH_TRACES = 50
"""So many traces that never go to a declared dependency say something; fewer do not."""


def traced(
    edges: Iterable[tuple[str, str]], *, symptoms: Collection[str], traces: int, looked_at: datetime
) -> TracedPath:
    """How many calls away each service is: 0 for ``symptoms``, 1 for what they call, -1 for what calls them.

    A service that is both counts as called. ``edges`` are (caller, callee) as telemetry names them.
    """
    calls: dict[str, set[str]] = {}
    callers: dict[str, set[str]] = {}
    for caller, callee in edges:
        calls.setdefault(caller, set()).add(callee)
        callers.setdefault(callee, set()).add(caller)
    steps = _reach(symptoms, calls)
    for name, away in _reach(symptoms, callers).items():
        steps.setdefault(name, -away)
    return TracedPath(
        looked_at=looked_at,
        traces=traces,
        steps=dict(sorted(steps.items())),
        calls={caller: sorted(callees) for caller, callees in sorted(calls.items())},
    )


def _reach(start: Collection[str], next_to: Mapping[str, Collection[str]]) -> dict[str, int]:
    found = dict.fromkeys(sorted(start), 0)
    waiting = deque(found)
    while waiting:
        name = waiting.popleft()
        if found[name] < MOST_STEPS:
            for other in sorted(next_to.get(name, ())):
                if other not in found:
                    found[other] = found[name] + 1
                    waiting.append(other)
    return found


def place(candidates: Sequence[Candidate], *, names: Mapping[UUID, str], path: TracedPath | None) -> list[Candidate]:
    """The candidates with where traces place them; ``names`` are what telemetry calls their services.

    What was measured stands before what was declared. A declared place that enough traces never went to is kept, and
    said to be unseen: calls through a queue, or to what sends no spans, are not in them.
    """
    if path is None or not path.traces:
        return list(candidates)
    return [
        _placed(one, path.steps.get(names.get(one.service_id, "")) if one.service_id is not None else None, path)
        for one in candidates
    ]


def _placed(one: Candidate, steps: int | None, path: TracedPath) -> Candidate:
    source: PathSource | None
    if steps is not None:
        source = "traces" if one.declared is None else "both"
    elif one.declared is None:
        source = None
    else:
        source = "unseen" if path.traces >= ENOUGH_TRACES else "declared"
    distance = one.declared if steps is None else steps
    return msgspec.structs.replace(one, distance=distance, path_source=source, path_traces=path.traces)
