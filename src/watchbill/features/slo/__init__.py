"""SLOs: objectives on operations, error budgets, and the alerts that come from burning them.

The modules `replay` and `judging` belong to this face too: import them where they are used, they bring numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watchbill.features.slo.actions import sync_all, sync_objectives
from watchbill.features.slo.bounds import same_bounds
from watchbill.features.slo.calendar import usual_length
from watchbill.features.slo.excluding import (
    Preview,
    Wanted,
    declare_exclusion,
    end_exclusion,
    exclusion_by_id,
    exclusions,
    preview_exclusion,
    revoke_exclusion,
    sign_exclusion,
)
from watchbill.features.slo.exclusion import Exclusion
from watchbill.features.slo.exclusion import status as exclusion_status
from watchbill.features.slo.model import (
    STATES,
    AlertWindow,
    Budget,
    BurnWindow,
    Calendar,
    DroppedWindow,
    Measure,
    MetricSource,
    Objective,
    ObjectiveSpec,
    Plan,
    Point,
    ProbeSource,
    PrometheusSource,
    PushedSource,
    Revision,
    Slo,
    Source,
    State,
    StateRow,
    SyncResult,
    Tier,
    WindowReading,
)
from watchbill.features.slo.objectives import check_objective, default_objectives
from watchbill.features.slo.policing import review_crossing, sync_policies
from watchbill.features.slo.policy import BudgetPolicy, Rule
from watchbill.features.slo.policy_reads import Crossing, Stance, crossings, policy_for, rules_in_force, stances
from watchbill.features.slo.reads import (
    SloDetail,
    SloView,
    at_risk,
    buckets,
    observer_note,
    prometheus_rules,
    series,
    slice_seconds,
    slo_detail,
    slos,
    states,
)
from watchbill.features.slo.report import Kept, kept
from watchbill.features.slo.report import totals as report_totals
from watchbill.features.slo.sources import CLICKHOUSE, OTLP, SourceHealth, source_down
from watchbill.features.slo.sources import down_since as source_down_since
from watchbill.features.slo.sources import health as source_health
from watchbill.features.slo.sources import note as note_source
from watchbill.features.slo.sources import problems as source_problems
from watchbill.features.slo.sources import used as sources_used
from watchbill.features.slo.store import definitions_mark

if TYPE_CHECKING:
    from watchbill.features.slo.backfill import Backfill, SpanSource
    from watchbill.features.slo.counting import CountSource
    from watchbill.features.slo.evaluator import Evaluator
    from watchbill.runtime.config import Settings
    from watchbill.runtime.db import Database


def build_evaluator(*, db: Database, source: CountSource, settings: Settings) -> Evaluator:
    """The observer's evaluator; numpy is imported only here. Call its ``evaluate_once`` every few seconds."""
    from watchbill.features.slo.evaluator import Evaluator

    return Evaluator(db=db, source=source, slice_seconds=settings.sli_slice_seconds, base_url=settings.base_url)


def build_backfill(*, db: Database, source: SpanSource, settings: Settings) -> Backfill:
    """What counts the spans that were there before an objective was; call its ``step`` until it returns 0."""
    from watchbill.features.slo.backfill import Backfill

    return Backfill(db=db, source=source, slice_seconds=settings.sli_slice_seconds)


__all__ = [
    "CLICKHOUSE",
    "OTLP",
    "STATES",
    "AlertWindow",
    "Budget",
    "BudgetPolicy",
    "BurnWindow",
    "Calendar",
    "Crossing",
    "DroppedWindow",
    "Exclusion",
    "Kept",
    "Measure",
    "MetricSource",
    "Objective",
    "ObjectiveSpec",
    "Plan",
    "Point",
    "Preview",
    "ProbeSource",
    "PrometheusSource",
    "PushedSource",
    "Revision",
    "Rule",
    "Slo",
    "SloDetail",
    "SloView",
    "Source",
    "SourceHealth",
    "Stance",
    "State",
    "StateRow",
    "SyncResult",
    "Tier",
    "Wanted",
    "WindowReading",
    "at_risk",
    "buckets",
    "build_backfill",
    "build_evaluator",
    "check_objective",
    "crossings",
    "declare_exclusion",
    "default_objectives",
    "definitions_mark",
    "end_exclusion",
    "exclusion_by_id",
    "exclusion_status",
    "exclusions",
    "kept",
    "note_source",
    "observer_note",
    "policy_for",
    "preview_exclusion",
    "prometheus_rules",
    "report_totals",
    "review_crossing",
    "revoke_exclusion",
    "rules_in_force",
    "same_bounds",
    "series",
    "sign_exclusion",
    "slice_seconds",
    "slo_detail",
    "slos",
    "source_down",
    "source_down_since",
    "source_health",
    "source_problems",
    "sources_used",
    "stances",
    "states",
    "sync_all",
    "sync_objectives",
    "sync_policies",
    "usual_length",
]
