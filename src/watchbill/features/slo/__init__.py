"""SLOs: objectives on operations, error budgets, and the alerts that come from burning them."""

from watchbill.features.slo.actions import sync_all, sync_objectives
from watchbill.features.slo.model import (
    Budget,
    BurnWindow,
    Objective,
    ObjectiveSpec,
    Plan,
    Point,
    Revision,
    Slo,
    State,
    StateRow,
    SyncResult,
    Tier,
    WindowReading,
)
from watchbill.features.slo.objectives import check_objective, default_objectives

__all__ = [
    "Budget",
    "BurnWindow",
    "Objective",
    "ObjectiveSpec",
    "Plan",
    "Point",
    "Revision",
    "Slo",
    "State",
    "StateRow",
    "SyncResult",
    "Tier",
    "WindowReading",
    "check_objective",
    "default_objectives",
    "sync_all",
    "sync_objectives",
]
