"""Templates, and the words and times in them: each in the reader's own zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from watchbill.features.identity import Person
from watchbill.kernel.clock import format_instant
from watchbill.kernel.durations import rough_duration
from watchbill.web.assets import ASSETS

HUES = 8


def local(context: Context, instant: datetime) -> datetime:
    """The instant on the reader's wall clock."""
    zone: ZoneInfo = context["zone"]
    return instant.astimezone(zone)


@pass_context
def clock(context: Context, instant: datetime | None, seconds: bool = False) -> str:
    """The shortest unmistakable wall-clock form: 10:05 today, Tue 10:05 this week, else with the date."""
    if instant is None:
        return "–"
    now: datetime = context["now"]
    there, here = local(context, instant), local(context, now)
    time = f"{there:%H:%M:%S}" if seconds else f"{there:%H:%M}"
    days = abs((there.date() - here.date()).days)
    if days == 0:
        return time
    if days < 6:
        return f"{there:%a} {time}"
    year = f" {there:%Y}" if there.year != here.year else ""
    return f"{there:%a} {there.day} {there:%b}{year} {time}"


@pass_context
def full(context: Context, instant: datetime) -> str:
    """Everything: Mon 2 Mar 2026, 10:05:09 CET."""
    there = local(context, instant)
    return f"{there:%a} {there.day} {there:%b %Y, %H:%M:%S %Z}"


def _moving(kind: str, words: Callable[[timedelta], str]) -> Callable[..., Markup]:
    @pass_context
    def render(context: Context, instant: datetime | None) -> Markup:
        if instant is None:
            return Markup("–")
        return Markup('<time datetime="{}" data-time="{}" title="{}">{}</time>').format(
            format_instant(instant), kind, full(context, instant), words(instant - context["now"])
        )

    return render


def _ago(difference: timedelta) -> str:
    seconds = difference.total_seconds()
    if abs(seconds) < 5:
        return "just now"
    return f"in {rough_duration(difference)}" if seconds > 0 else f"{rough_duration(difference)} ago"


def _countdown(difference: timedelta) -> str:
    return f"in {rough_duration(difference)}" if difference > timedelta(0) else "now"


def _left(difference: timedelta) -> str:
    return rough_duration(max(difference, timedelta(0)))


@pass_context
def at(context: Context, instant: datetime | None, seconds: bool = False) -> Markup:
    """A fixed wall-clock time, with everything in its tooltip."""
    if instant is None:
        return Markup("–")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        format_instant(instant), full(context, instant), clock(context, instant, seconds)
    )


def initials(name: str) -> str:
    """Two letters for an avatar."""
    words = [word for word in name.replace(".", " ").replace("-", " ").replace("_", " ").split() if word[0].isalnum()]
    if not words:
        return "?"
    return (words[0][0] + (words[-1][0] if len(words) > 1 else words[0][1:2])).upper()


def hue(id: UUID) -> str:
    """A class of colour that belongs to this person everywhere."""
    return f"hue{id.int % (HUES - 1)}"


def name_of(person: Person | None) -> str:
    """What to call somebody; a person erased or unknown still has a word."""
    return "somebody who has left" if person is None else person.name or person.login


def percent(value: float | Decimal | None, digits: int = 1) -> str:
    """A share as a percent: 0.4213 is 42.1%; unknown is a dash."""
    if value is None:
        return "–"
    text = f"{float(value) * 100:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}%"


def plain_number(value: Decimal | float) -> str:
    """Without trailing zeros: 99.90 is 99.9."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def span(seconds: float | timedelta) -> str:
    """A length of time in at most two units."""
    return rough_duration(seconds if isinstance(seconds, timedelta) else timedelta(seconds=seconds))


def nanos(length_ns: int) -> str:
    """A span's duration: 850 µs, 12.3 ms, 4.2 s."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if length_ns >= size:
            value = length_ns / size
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    return f"{length_ns} ns"


def plural(count: int, word: str, words: str | None = None) -> str:
    """1 alert, 2 alerts."""
    return f"{count} {word if count == 1 else words or word + 's'}"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("watchbill.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        clock=clock,
        full=full,
        at=at,
        ago=_moving("ago", _ago),
        countdown=_moving("countdown", _countdown),
        left=_moving("left", _left),
        initials=initials,
        hue=hue,
        name=name_of,
        percent=percent,
        number=plain_number,
        nanos=nanos,
        span=span,
        plural=plural,
    )
    environment.globals.update(asset=ASSETS.url, escape=escape)
    return environment


ENVIRONMENT = _environment()


def render(template: str, context: dict[str, Any]) -> str:
    """The text of a template; a name it needs and lacks is an error, never an empty place."""
    return ENVIRONMENT.get_template(template).render(context)


def day_name(day: date) -> str:
    """2 Mar."""
    return f"{day.day} {day:%b}"
