"""Words of suspects: which change may have caused an incident, what speaks for it, and how versions compare."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from watchbill.features.suspects.kayenta import CanaryScore
from watchbill.features.suspects.sequential import Evidence as CountEvidence
from watchbill.features.suspects.sequential import MeanEvidence

Answer = Literal["worse", "no worse", "undecided", "not enough data"]
Method = Literal["canary", "before-after", "samples"]


PathSource = Literal["declared", "traces", "both", "unseen"]
"""What says where a service lies: its manifest, traces, both, or its manifest although traces never went there."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One minute of one version, for the chart and the judge. Durations in milliseconds; None without requests."""

    at: datetime
    version: str
    total: float
    bad: float
    slow: float
    p50_ms: float | None = None
    p95_ms: float | None = None


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison of counts, such as of failed or of slow requests. ``counts`` is false below the effect gate."""

    name: str
    evidence: CountEvidence
    significant: bool
    large_enough: bool
    words: str

    @property
    def worse(self) -> bool:
        return self.significant and self.large_enough


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How a version does beside another. ``confidence`` (0 to 1) is that it is worse."""

    answer: Answer
    words: str
    confidence: float
    method: Method
    canary: str
    control: str
    measures: list[Measure]
    judge: CanaryScore | None = None
    samples: MeanEvidence | None = None
    points: list[Point] = []
    slow_ms: float | None = None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The short form of a verdict that a ranking needs."""

    answer: Answer
    words: str
    confidence: float
    ratio: float = 1.0


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A change as a ranking sees it. ``distance`` is None when its service is not known to be on the symptom's path.

    0 is the service that shows the symptom, positive a service that it depends on over so many steps, negative one
    that depends on it. ``declared`` is that of the manifests alone; ``path_source`` says who places it where it is, by
    how many ``path_traces``.
    """

    change_id: UUID
    service_id: UUID | None
    service: str
    kind: str
    version: str | None
    previous_version: str | None
    started_at: datetime
    finished_at: datetime | None
    reversible: bool | None
    distance: int | None
    same_environment: bool = True
    is_rollback: bool = False
    undone_at: datetime | None = None
    declared: int | None = None
    path_source: PathSource | None = None
    path_traces: int = 0


class TracedPath(msgspec.Struct, frozen=True, kw_only=True):
    """What ``traces`` through the symptom show: how many calls away each service is, and who calls whom.

    By the names of telemetry; signs as in `Candidate`.
    """

    looked_at: datetime
    traces: int
    steps: dict[str, int]
    calls: dict[str, list[str]] = {}


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that speaks for (positive) or against a candidate; ``weight`` is in log-odds."""

    kind: Literal["time", "path", "measured", "kind", "explained", "undone"]
    weight: float
    text: str


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """A ranked candidate. ``confidence`` is its share of all explanations, "something else" among them."""

    rank: int
    change_id: UUID
    service_id: UUID | None
    service: str
    kind: str
    version: str | None
    previous_version: str | None
    started_at: datetime
    reversible: bool | None
    score: float
    confidence: float
    answer: Answer | None
    evidence: list[Evidence]


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """The suspects of one incident as they were ranked at ``ranked_at``; ``considered`` counts all candidates.

    ``latest`` is the change that "what changed last?" would blame, for comparison.
    """

    incident_id: UUID
    ranked_at: datetime
    onset_at: datetime
    considered: int
    latest: UUID | None
    suspects: list[Suspect]
    note: str = ""
    path: TracedPath | None = None
