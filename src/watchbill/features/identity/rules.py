"""How a person wants to be reached, as pure decisions: which methods, in which order, after which delay, when not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, time, timedelta
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from watchbill.features.identity.model import ContactMethod
from watchbill.kernel.errors import Invalid

Urgency = Literal["default", "important"]
"""``important`` pages pierce quiet hours; see `docs/guides/reach-people.md` for which pages are."""

METHOD_GAP_SECONDS = 60
"""Without a rule of their own a person's methods follow each other this far apart."""
MOST_STEPS = 30
LONGEST_DELAY_SECONDS = 6 * 3600

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class RuleStep(msgspec.Struct, frozen=True, kw_only=True):
    """Try this method ``after_seconds`` from the moment the page came to the person."""

    contact_method_id: UUID
    after_seconds: int = 0


class QuietHours(msgspec.Struct, frozen=True, kw_only=True, rename={"from_time": "from", "to_time": "to"}):
    """``from`` to ``to`` (HH:MM, the person's own zone). Past midnight it belongs to the day it starts; the same
    time twice is the whole day. ``days`` empty means every day.
    """

    from_time: str
    to_time: str
    days: tuple[str, ...] = ()


class PersonalRule(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of each urgency and when not to disturb.

    Empty ``default``: all methods in their order, a minute apart. Empty ``important``: as ``default``.
    """

    default: tuple[RuleStep, ...] = ()
    important: tuple[RuleStep, ...] = ()
    quiet: tuple[QuietHours, ...] = ()


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """Which methods to try and how long from now; ``why`` says why there are none."""

    sends: tuple[tuple[ContactMethod, timedelta], ...]
    why: str = ""


def plan_sends(
    *, methods: Sequence[ContactMethod], rule: PersonalRule | None, urgency: Urgency, time_zone: str, now: datetime
) -> Planned:
    """How to reach a person now.

    1. The steps of the urgency, else those of ``default``, else all methods a minute apart. A step whose method is
       gone is left out; when none is left, all methods a minute apart.
    2. Unless the page is important, steps that would fall into quiet hours are left out.
    3. What is left moves forward, so that the first goes out at once when only later ones are allowed.
    """
    if not methods:
        return Planned(sends=(), why="has no contact method")
    chosen = PersonalRule() if rule is None else rule
    known = {method.id: method for method in methods}
    steps = chosen.important if urgency == "important" and chosen.important else chosen.default
    timed = [(known[s.contact_method_id], s.after_seconds) for s in steps if s.contact_method_id in known]
    if not timed:
        timed = [(method, METHOD_GAP_SECONDS * place) for place, method in enumerate(methods)]
    timed.sort(key=lambda step: step[1])
    if urgency == "default":
        zone = ZoneInfo(time_zone)
        allowed = [
            (method, after)
            for method, after in timed
            if not is_quiet(chosen.quiet, (now + timedelta(seconds=after)).astimezone(zone))
        ]
        if not allowed and not is_quiet(chosen.quiet, now.astimezone(zone)):
            allowed = timed[:1]  # only its delay would reach into the quiet hours, and it goes out at once
        timed = allowed
    if not timed:
        return Planned(sends=(), why="is in quiet hours")
    first = timed[0][1]
    return Planned(sends=tuple((method, timedelta(seconds=after - first)) for method, after in timed))


def is_quiet(quiet: Iterable[QuietHours], local: datetime) -> bool:
    """Whether a local instant lies in any of these hours."""
    return any(_covers(hours, local) for hours in quiet)


def quiet_until(quiet: Sequence[QuietHours], now: datetime, time_zone: str) -> datetime:
    """The first quarter of an hour from ``now`` on that is not quiet; eight days on when every hour is."""
    at = now
    for _ in range(8 * 96):
        if not is_quiet(quiet, at.astimezone(ZoneInfo(time_zone))):
            return at
        at += timedelta(minutes=15)
    return at


def _covers(hours: QuietHours, local: datetime) -> bool:
    start, end, at = _clock(hours.from_time), _clock(hours.to_time), local.time()
    today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
    on_today, on_yesterday = not hours.days or today in hours.days, not hours.days or yesterday in hours.days
    if start < end:
        return on_today and start <= at < end
    return (on_today and at >= start) or (on_yesterday and at < end)


def _clock(text: str) -> time:
    hour, _, minute = text.partition(":")
    return time(int(hour), int(minute))


def check_rule(rule: PersonalRule, *, mine: Iterable[UUID]) -> PersonalRule:
    """The rule, with its steps in order of time.

    Raises:
        Invalid: somebody else's method, a delay out of bounds, a time or a day that does not exist.
    """
    known = set(mine)
    for name in ("default", "important"):
        steps: tuple[RuleStep, ...] = getattr(rule, name)
        if len(steps) > MOST_STEPS:
            raise Invalid(f"more than {MOST_STEPS} steps", field=name, hint="leave some out")
        for place, step in enumerate(steps):
            where = f"{name}[{place}]"
            if step.contact_method_id not in known:
                raise Invalid("this is none of the person's contact methods", field=f"{where}.contact_method_id")
            if not 0 <= step.after_seconds <= LONGEST_DELAY_SECONDS:
                raise Invalid(
                    "the delay is negative or longer than six hours", field=f"{where}.after_seconds", hint="e.g. 120"
                )
    for place, hours in enumerate(rule.quiet):
        for key, text in (("from", hours.from_time), ("to", hours.to_time)):
            _check_clock(text, field=f"quiet[{place}].{key}")
        wrong = [day for day in hours.days if day not in DAYS]
        if wrong:
            raise Invalid(f"'{wrong[0]}' is not a day", field=f"quiet[{place}].days", hint=", ".join(DAYS))
    return msgspec.structs.replace(
        rule,
        default=tuple(sorted(rule.default, key=lambda step: step.after_seconds)),
        important=tuple(sorted(rule.important, key=lambda step: step.after_seconds)),
    )


def _check_clock(text: str, *, field: str) -> None:
    try:
        good = len(text) == 5 and text[2] == ":" and _clock(text) is not None
    except ValueError:
        good = False
    if not good:
        raise Invalid(f"'{text}' is not a time of day", field=field, hint="write 22:00")
