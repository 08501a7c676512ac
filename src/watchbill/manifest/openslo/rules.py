"""What OpenSLO asks of an SLO beyond the shape of its documents, each with its place and its mend."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from watchbill.manifest.openslo import documents as docs
from watchbill.manifest.openslo.place import Place
from watchbill.manifest.openslo.spec import Goal, Indicator, Span, Window
from watchbill.runtime.yaml import Path

RFC1123 = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
USUAL = Window(span=Span(30, "d"))


def span(text: str) -> Span:
    """``28d`` as a `Span`; a bare number is minutes."""
    return Span(int(text), "m") if text.isdigit() else Span(int(text[:-1]), text[-1])  # type: ignore[arg-type]  # by pattern


def slug(text: str) -> str:
    """A name by the rules of RFC 1123, as near to ``text`` as they allow."""
    if RFC1123.fullmatch(text):
        return text
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-") or "unnamed"


def check_name(place: Place, name: str, path: Path) -> None:
    """Names are RFC 1123 labels; the specification's own examples break this, so it is lint."""
    if not RFC1123.fullmatch(name):
        place.lint("openslo.name", f"the name '{name}' is no RFC 1123 label", path, f"write {slug(name)}")


def target(place: Place, ratio: Decimal | None, percent: Decimal | None, path: Path) -> Decimal | None:
    """The target as a ratio, exact; exactly one way of writing it, in [0, 1)."""
    if (ratio is None) == (percent is None):
        message = "neither target nor targetPercent" if ratio is None else "both target and targetPercent"
        place.note("openslo.target", message, path, "write one of them, such as target: 0.999")
        return None
    key = "target" if ratio is not None else "targetPercent"
    value = ratio if ratio is not None else percent / 100 if percent is not None else Decimal(0)
    if not value.is_finite() or not 0 <= value < 1:
        written = ratio if ratio is not None else percent
        hint = "1 (100 %) leaves no budget: write 0.999" if value == 1 else "a ratio in [0, 1), such as 0.999"
        if ratio is not None and 1 < value < 100:
            hint = f"a percent goes into targetPercent: {written}"
        place.note("openslo.target", f"{key} {written} is out of range", (*path, key), hint)
        return None
    if percent is not None and 0 < percent < 1:
        hint = f"if you meant the ratio, write target: {percent}"
        place.lint("openslo.target", f"targetPercent {percent} promises almost nothing", (*path, key), hint)
    return value


def slices(
    place: Place, method: str, slice_target: Decimal | None, length: str | None, path: Path
) -> tuple[Decimal | None, Span | None]:
    """Target and length of time slices, which their methods need and others do not have."""
    if method == "Occurrences":
        for key, value in (("timeSliceTarget", slice_target), ("timeSliceWindow", length)):
            if value is not None:
                hint = "remove it, or write budgetingMethod: Timeslices"
                place.lint("openslo.slices", f"{key} means nothing with Occurrences", (*path, key), hint)
        return None, None
    if length is None:
        place.note("openslo.slices", f"{method} needs timeSliceWindow", path, "add timeSliceWindow: 1m")
    elif length.isdigit():
        hint = f"write timeSliceWindow: {length}m"
        place.lint("openslo.slices", f"timeSliceWindow {length} has no unit: minutes", (*path, "timeSliceWindow"), hint)
    if method == "Timeslices" and slice_target is None:
        place.note("openslo.slices", "Timeslices needs timeSliceTarget", path, "add timeSliceTarget: 0.95")
    elif slice_target is not None and not 0 < slice_target <= 1:
        hint = "a ratio in (0, 1], such as 0.95"
        place.note("openslo.slices", f"{slice_target} is out of range", (*path, "timeSliceTarget"), hint)
    return slice_target, None if length is None else span(length)


def window(place: Place, windows: Sequence[docs.TimeWindow]) -> Window | None:
    """The one window; 30 days when none is given, which the text of v1 allows and its SDK does not."""
    if not windows:
        place.lint("openslo.window", "no timeWindow: read as 30 days, rolling", ("spec",), "add timeWindow")
        return USUAL
    written, path = windows[0], ("spec", "timeWindow", 0)
    length = span(written.duration)
    if written.calendar is None:
        if written.is_rolling is False:
            place.note("openslo.window", "isRolling: false without a calendar", path, "add calendar or isRolling: true")
            return None
        if written.is_rolling is None:
            place.lint("openslo.window", "neither isRolling nor calendar: read as rolling", path, "add isRolling: true")
        if length.seconds is None:
            mend = f"write {length.usual_seconds // 86_400}d"
            place.lint("openslo.window", f"a rolling {length} has no fixed length", (*path, "duration"), mend)
        return Window(span=length)
    return _calendar(place, written, length, written.calendar, path)


def _calendar(
    place: Place, written: docs.TimeWindow, length: Span, calendar: docs.Calendar, path: Path
) -> Window | None:
    start = _instant(calendar.start_time)
    if written.is_rolling:
        place.note("openslo.conflict", "isRolling: true with a calendar", (*path, "isRolling"), "keep one of them")
    elif length.unit in ("m", "h"):
        mend = "days, weeks, months, quarters or years; 1m is a minute, 1M a month"
        place.note("openslo.window", f"a calendar has no period of {length}", (*path, "duration"), mend)
    elif start is None:
        message = f"'{calendar.start_time}' is no date and time without a zone"
        place.note("openslo.window", message, (*path, "calendar", "startTime"), "write 2026-01-01 00:00:00")
    elif not _is_zone(calendar.time_zone):
        message = f"'{calendar.time_zone}' is no time zone"
        mend = "an IANA name such as Europe/Berlin"
        place.note("openslo.window", message, (*path, "calendar", "timeZone"), mend)
    else:
        return Window(span=length, start=f"{start:%Y-%m-%d %H:%M:%S}", zone=calendar.time_zone)
    return None


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _instant(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return found if found.tzinfo is None else None


def check_sli(place: Place, sli: docs.Sli | docs.Sli2, path: Path) -> None:
    """A threshold or a ratio; a ratio of good or bad and total, or a ready one with its type."""
    ratio = sli.ratio_metric
    if (ratio is None) == (sli.threshold_metric is None):
        message = "neither thresholdMetric nor ratioMetric" if ratio is None else "both thresholdMetric and ratioMetric"
        place.note("openslo.sli", message, path, "write one of them")
        return
    if ratio is None:
        return
    at: Path = (*path, "ratioMetric")
    given = {name for name in ("good", "bad", "total", "raw") if getattr(ratio, name) is not None}
    if "raw" in given:
        if given != {"raw"}:
            others = ", ".join(sorted(given - {"raw"}))
            place.note("openslo.sli", f"raw together with {others}", (*at, "raw"), "keep raw, or the counts")
        if ratio.raw_type is None:
            place.note("openslo.sli", "raw needs rawType", at, "add rawType: success or rawType: failure")
        return
    if ratio.raw_type is not None:
        place.note("openslo.sli", "rawType without raw", (*at, "rawType"), "remove it")
    if "total" not in given:
        place.note("openslo.sli", "ratioMetric needs total", at, "add total, or raw with rawType")
    if ("good" in given) == ("bad" in given):
        message = "both good and bad" if "good" in given else "neither good nor bad"
        place.note("openslo.sli", message, at, "write one of them beside total")


def check_indicators(place: Place, shared: Indicator | None, goals: Sequence[Goal | None]) -> list[Goal | None]:
    """Either one indicator for all objectives, or (a composite) one for each; and what a threshold needs.

    Returns the objectives without what means nothing.
    """
    kept = list(goals)
    if place.broken:
        return kept
    own = [goal is not None and goal.indicator is not None for goal in goals]
    if shared is not None and any(own):
        path: Path = ("spec", "objectives", own.index(True))
        hint = "a composite has an indicator in every objective and none of its own"
        place.note("openslo.conflict", "an indicator for the SLO and one for an objective", path, hint)
    if shared is None and not all(own):
        path = ("spec", "objectives", own.index(False)) if any(own) else ("spec",)
        place.note("openslo.missing", "no indicator", path, "add indicator or indicatorRef")
    for index, goal in enumerate(goals):
        indicator = shared or (goal.indicator if goal else None)
        if goal is None or indicator is None:
            continue
        path = ("spec", "objectives", index)
        if indicator.value is not None and (goal.op is None or goal.value is None):
            key = "op" if goal.op is None else "value"
            hint = "such as op: lte and value: 0.3"
            place.note("openslo.threshold", f"thresholdMetric needs {key} in its objective", path, hint)
        if indicator.value is None and (goal.op is not None or goal.value is not None):
            key = "op" if goal.op is not None else "value"
            place.lint("openslo.threshold", f"{key} means nothing for a ratio", (*path, key), "remove it")
            kept[index] = msgspec.structs.replace(goal, op=None, value=None)
    if shared is not None and shared.value is not None and len(goals) > 1:
        hint = "split it into one SLO for each"
        place.lint("openslo.threshold", "v1 allows one objective with a thresholdMetric", ("spec", "objectives"), hint)
    return kept
