"""Who is on call for a team: schedules of layers, overrides, swaps, time off, the record of the past, and warnings."""

from watchbill.features.oncall.absence import (
    Imported,
    TimeOff,
    add_time_off,
    import_time_off,
    remove_time_off,
    time_off_by_id,
    time_off_of,
)
from watchbill.features.oncall.actions import (
    add_override,
    cancel_override,
    draft_override,
    override_by_id,
    remove_rotations,
    set_rotation,
    set_rotations,
)
from watchbill.features.oncall.cadence import zone_exists
from watchbill.features.oncall.calendar import CalendarEntry, to_ical
from watchbill.features.oncall.duties import record_loop_work
from watchbill.features.oncall.feeds import (
    Feed,
    FeedKind,
    create_feed,
    entries,
    feed_by_id,
    feed_calendar,
    feeds,
    replace_feed,
    revoke_feed,
)
from watchbill.features.oncall.holidays import calendars_of as holiday_calendars_of
from watchbill.features.oncall.holidays import days as public_holidays
from watchbill.features.oncall.holidays import days_of_year
from watchbill.features.oncall.holidays import ensure as ensure_holidays
from watchbill.features.oncall.holidays import set_calendar as set_holiday_calendar
from watchbill.features.oncall.hours import Stretch, parse_hours, stretch_at
from watchbill.features.oncall.logic import calculator, next_after, spans
from watchbill.features.oncall.lookups import (
    Watch,
    all_gaps,
    gaps,
    gaps_of,
    my_shifts,
    next_on_call,
    on_call_at,
    overrides,
    people_on_call,
    planned,
    shifts,
    watches,
    who_is_on_call,
)
from watchbill.features.oncall.model import (
    FOREVER,
    PRIMARY,
    SHADOW,
    Layer,
    LayerSpec,
    OnCall,
    Override,
    Rest,
    RotationSpec,
    Shift,
    Span,
    TeamRotation,
    Window,
)
from watchbill.features.oncall.plans import Plan
from watchbill.features.oncall.plans import load as load_plans
from watchbill.features.oncall.recording import record_shifts
from watchbill.features.oncall.schedule import Schedule
from watchbill.features.oncall.section import parse_rotation
from watchbill.features.oncall.swaps import (
    Swap,
    accept_swap,
    decline_swap,
    expire_swaps,
    request_swap,
    swap_by_id,
    swaps,
    take_shift,
    undo_swap,
    withdraw_swap,
)
from watchbill.features.oncall.uncovered import CHECKED_DAYS, uncovered
from watchbill.features.oncall.warnings import Checked, check, warnings
from watchbill.features.oncall.words import because

__all__ = [
    "CHECKED_DAYS",
    "FOREVER",
    "PRIMARY",
    "SHADOW",
    "CalendarEntry",
    "Checked",
    "Feed",
    "FeedKind",
    "Imported",
    "Layer",
    "LayerSpec",
    "OnCall",
    "Override",
    "Plan",
    "Rest",
    "RotationSpec",
    "Schedule",
    "Shift",
    "Span",
    "Stretch",
    "Swap",
    "TeamRotation",
    "TimeOff",
    "Watch",
    "Window",
    "accept_swap",
    "add_override",
    "add_time_off",
    "all_gaps",
    "because",
    "calculator",
    "cancel_override",
    "check",
    "create_feed",
    "days_of_year",
    "decline_swap",
    "draft_override",
    "ensure_holidays",
    "entries",
    "expire_swaps",
    "feed_by_id",
    "feed_calendar",
    "feeds",
    "gaps",
    "gaps_of",
    "holiday_calendars_of",
    "import_time_off",
    "load_plans",
    "my_shifts",
    "next_after",
    "next_on_call",
    "on_call_at",
    "override_by_id",
    "overrides",
    "parse_hours",
    "parse_rotation",
    "people_on_call",
    "planned",
    "public_holidays",
    "record_loop_work",
    "record_shifts",
    "remove_rotations",
    "remove_time_off",
    "replace_feed",
    "request_swap",
    "revoke_feed",
    "set_holiday_calendar",
    "set_rotation",
    "set_rotations",
    "shifts",
    "spans",
    "stretch_at",
    "swap_by_id",
    "swaps",
    "take_shift",
    "time_off_by_id",
    "time_off_of",
    "to_ical",
    "uncovered",
    "undo_swap",
    "warnings",
    "watches",
    "who_is_on_call",
    "withdraw_swap",
    "zone_exists",
]
