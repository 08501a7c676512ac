"""Who is on call for a team: rotations, overrides, shifts, the record of the past, and coverage gaps."""

from watchbill.features.oncall.actions import (
    add_override,
    cancel_override,
    override_by_id,
    remove_rotations,
    set_rotation,
    set_rotations,
)
from watchbill.features.oncall.calendar import CalendarEntry, to_ical
from watchbill.features.oncall.lookups import (
    Watch,
    all_gaps,
    gaps,
    my_shifts,
    next_on_call,
    on_call_at,
    overrides,
    people_on_call,
    shifts,
    watches,
    who_is_on_call,
)
from watchbill.features.oncall.model import PRIMARY, OnCall, Override, RotationSpec, Shift, TeamRotation
from watchbill.features.oncall.plans import Plan
from watchbill.features.oncall.plans import load as load_plans
from watchbill.features.oncall.recording import record_loop_work, record_shifts
from watchbill.features.oncall.section import parse_rotation
from watchbill.features.oncall.uncovered import CHECKED_DAYS, uncovered
from watchbill.features.oncall.warnings import warnings

__all__ = [
    "CHECKED_DAYS",
    "PRIMARY",
    "CalendarEntry",
    "OnCall",
    "Override",
    "Plan",
    "RotationSpec",
    "Shift",
    "TeamRotation",
    "Watch",
    "add_override",
    "all_gaps",
    "cancel_override",
    "gaps",
    "load_plans",
    "my_shifts",
    "next_on_call",
    "on_call_at",
    "override_by_id",
    "overrides",
    "parse_rotation",
    "people_on_call",
    "record_loop_work",
    "record_shifts",
    "remove_rotations",
    "set_rotation",
    "set_rotations",
    "shifts",
    "to_ical",
    "uncovered",
    "warnings",
    "watches",
    "who_is_on_call",
]
