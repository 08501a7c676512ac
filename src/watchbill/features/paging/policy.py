"""From what a team's manifest says to the policy that a page keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from watchbill.features import oncall
from watchbill.features.paging.model import OFFICE_HOURS, EscalationPolicy, Hours, Step
from watchbill.kernel.durations import parse_duration

OFFICE = "office-hours"
OUT_OF_OFFICE = "out-of-hours"


def policy_of(spec: Mapping[str, Any] | None, *, time_zone: str = "UTC", holidays: str = "") -> EscalationPolicy:
    """The policy written in a team's manifest (``spec.escalation``), with the defaults for what is left out.

    The manifest layer has validated it; ``wait`` and ``acknowledgeFor`` are durations such as ``5m``.
    ``time_zone`` and ``holidays`` are the team's.
    """
    default = EscalationPolicy()
    if not spec:
        return EscalationPolicy(time_zone=time_zone, holidays=holidays)
    windows = oncall.parse_hours(spec["officeHours"], "officeHours") if spec.get("officeHours") else OFFICE_HOURS
    steps = tuple(_step(raw, windows) for raw in spec.get("steps") or ())
    repeat = spec.get("repeatLast")
    hold: Mapping[str, Any] = spec.get("hold") or {}
    return EscalationPolicy(
        time_zone=spec.get("timeZone") or time_zone,
        holidays=holidays,
        office_hours=windows,
        hold_tiers=tuple(hold.get("tiers") or ()),
        pages_from=hold.get("pagesFrom") or default.pages_from,
        steps=steps or default.steps,
        repeat_last=default.repeat_last if repeat is None else int(repeat),
        acknowledge_for_seconds=_seconds(spec.get("acknowledgeFor"), default.acknowledge_for_seconds),
    )


def policy_of_team(spec: Mapping[str, Any]) -> EscalationPolicy:
    """The policy of a team by the whole ``spec`` of its manifest."""
    on_call: Mapping[str, Any] = spec.get("onCall") or {}
    return policy_of(
        spec.get("escalation"),
        time_zone=spec.get("timeZone") or "UTC",
        holidays=on_call.get("holidays") or "",
    )


def _step(raw: Mapping[str, Any], office: Sequence[oncall.Window]) -> Step:
    every = raw.get("callEvery")
    return Step(
        notify=tuple(raw.get("notify") or ("on-call",)),
        wait_seconds=_seconds(raw.get("wait"), 300),
        call_every_seconds=None if every is None else _seconds(every, 60),
        during=_during(raw.get("during"), tuple(office)),
        tiers=tuple(raw.get("tiers") or ()),
    )


def _during(raw: Any, office: tuple[oncall.Window, ...]) -> Hours | None:
    if raw is None:
        return None
    if raw in (OFFICE, OUT_OF_OFFICE):
        return Hours(windows=office, office=True, outside=raw == OUT_OF_OFFICE)
    return Hours(windows=oncall.parse_hours(raw, "during"))


def _seconds(text: str | None, default: int) -> int:
    return default if text is None else max(1, int(parse_duration(text).total_seconds()))
