"""Why an SLO is in its state and when that will end, in words for whoever is woken by it."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from watchbill.features.slo.budget import seconds_to_reset
from watchbill.features.slo.certainty import MIN_BAD
from watchbill.features.slo.left_out import Excluded
from watchbill.features.slo.model import Slo, State, Tier, WindowReading
from watchbill.kernel.durations import format_duration, rough_duration


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the words are made from. ``windows`` are the readings; bad and total are of the budget's window.

    ``few``: (bad, total) that would page if they were not so few.
    """

    state: State
    tier: Tier | None
    by_traffic: bool
    frozen: bool
    fresh: bool
    single: bool
    seen_ever: bool
    windows: list[WindowReading]
    bad: int
    total: int
    expected: float = 0.0
    seen: int = 0
    check_seconds: int = 0
    sampled: bool = False
    few: tuple[int, int] | None = None


def label(service: str, operation: str) -> str:
    """``payments · charge card``."""
    return f"{service} · {operation}"


def title(slo: Slo, place: str, facts: Facts) -> str:
    """The alert's title: ``payments · charge card: availability burning 41× (page)``."""
    if facts.by_traffic:
        return f"{place}: traffic lost"
    rate = burn_of(facts.windows)
    burning = f"burning {rate:.3g}×" if rate is not None else "burning"
    return f"{place}: {slo.name} {burning} ({facts.tier})"


def burn_of(windows: list[WindowReading]) -> float | None:
    """The burn people talk about: over the shortest long window that has events."""
    rates = [window.long_burn for window in windows if window.long_burn is not None]
    return rates[0] if rates else None


def explain(slo: Slo, facts: Facts) -> str:
    """One paragraph: why, and when it ends."""
    if facts.state == "firing":
        return _firing(slo, facts)
    if facts.state == "recovering":
        longest = next(window for window in facts.windows if window.over_long)
        return (
            "The burn has stopped: the newest windows are under their limits, but the last"
            f" {_span(longest.long_seconds)} as a whole still burn {_rate(longest.long_burn)}"
            f" (limit {longest.factor:g}×)."
        )
    if facts.state == "ok":
        rate = burn_of(facts.windows)
        said = "no requests lately" if rate is None else f"the budget is used at {_rate(rate)} the sustainable rate"
        return f"Within the promise: {said}."
    return _unmeasured(facts)


def _unmeasured(facts: Facts) -> str:
    if facts.sampled:
        return (
            "Its spans are sampled and do not say with which probability, so they cannot be counted: send request"
            " metrics (http.server.request.duration), or spans with tracestate ot=th."
        )
    if not facts.seen_ever:
        return "Nothing measured yet: no source has reported since this objective was written."
    if facts.total == 0:
        return "No requests of this operation were seen in the whole window; check its match if there should be some."
    return "Less than half of the newest slices were measured, so nothing can be said; it was well before."


def new(slo: Slo, facts: Facts, *, at: datetime) -> str:
    """What a firing SLO says while it burns in."""
    until = slo.burns_in_until
    if until is None or at >= until or facts.tier != "page":
        return ""
    return f" It is new and wakes nobody until {until:%-d %b %Y}: see if its target fits (`watchbill slo propose`)."


def left_out(slo: Slo, excluded: Excluded | None, *, begun: bool) -> str:
    """What an SLO says of its exclusions; who and why is told beside, from what they signed."""
    if excluded is None or not (excluded.seconds or begun):
        return ""
    if begun and excluded.until_at is not None:
        bad, total = (slo.told(count) for count in excluded.here)
        return (
            f" Excluded until {excluded.until_at:%-d %b %H:%M} UTC: this time counts for no budget and no alert;"
            f" {bad} of {total} {_events(slo)} failed in it so far."
        )
    bad, total = slo.told(excluded.bad), slo.told(excluded.total)
    return f" {_span(excluded.seconds)} of its window are excluded ({bad} of {total} {_events(slo)} failed)."


def _firing(slo: Slo, facts: Facts) -> str:
    if facts.by_traffic:
        return (
            f"Traffic lost: {facts.seen} requests in {_span(facts.check_seconds)}, at least {facts.expected:.0f} were"
            " expected from its recent past, and other sources still report. It ends when half of that is back."
        )
    both = [window for window in facts.windows if window.over_short and window.over_long]
    hot = next((window for window in both if window.tier == facts.tier or facts.single), None)
    if hot is None or facts.frozen:
        return (
            "It fired, and nothing measured since says that it stopped"
            + (": no requests arrive" if facts.fresh else ": data is missing")
            + ". It keeps firing until new requests are seen to succeed."
        )
    share = float(slo.budget_share)
    limit = hot.factor * share
    events = _events(slo, "requests")
    failed = "failed" if slo.threshold_ms is None else f"failed or took over {_milliseconds(slo.threshold_ms)}"
    reset = seconds_to_reset(
        short_seconds=hot.short_seconds, threshold=limit, error_ratio=(hot.short_burn or 0.0) * share
    )
    ends = (
        f"If failures stopped now, it would end in about {rough_duration(timedelta(seconds=max(reset, 1)))}."
        if facts.fresh
        else "The newest data is missing: it keeps firing until new requests are seen to succeed."
    )
    only_one = f" {_too_few(facts.few)}, so it is a ticket and nobody is paged." if facts.single else ""
    return (
        f"{_percent((hot.long_burn or 0.0) * share)} of {events} {failed} in the last {_span(hot.long_seconds)} and"
        f" {_percent((hot.short_burn or 0.0) * share)} in the last {_span(hot.short_seconds)}; over {_percent(limit)}"
        f" is a {hot.tier}. That burns the budget {_rate(hot.long_burn)} as fast as it lasts.{only_one} {ends}"
    )


def _too_few(few: tuple[int, int] | None) -> str:
    if few is None or few[0] < MIN_BAD:
        return "Only one failure so far"
    return f"{few[0]} failures of {few[1]} events are too few to be sure that it is more than chance"


def _events(slo: Slo, events: str = "events") -> str:
    return f"slices of {_span(slo.unit_seconds)}" if slo.unit_seconds else events


def _span(seconds: int) -> str:
    return format_duration(timedelta(seconds=seconds))


def _milliseconds(milliseconds: int) -> str:
    return format_duration(timedelta(milliseconds=milliseconds))


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.3g} %"


def _rate(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.3g}×"
