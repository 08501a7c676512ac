"""The manifest's ``spec.onCall.layers``: what people write, checked without a server."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, Literal

import msgspec

from watchbill.features.oncall.cadence import WEEKDAYS, Cadence
from watchbill.features.oncall.layers import handoffs_of
from watchbill.features.oncall.model import EVERY, HANDOFF, PRIMARY, SHADOW, LayerSpec, Window
from watchbill.features.oncall.section_words import logins_of, mapping, problem, text_of
from watchbill.features.oncall.walls import from_reading, reading
from watchbill.kernel.errors import Invalid, Problem

FIELDS = (
    "name",
    "members",
    "every",
    "handoff",
    "shifts",
    "rrule",
    "countFrom",
    "startsAt",
    "endsAt",
    "timeZone",
    "hours",
    "holidays",
    "slot",
    "alongside",
    "shadow",
)
PATH = "spec.onCall.layers"
MOST_LAYERS = 50
_SLOT = re.compile(r"[a-z][a-z0-9-]{0,30}")
_DAY_MINUTES = 24 * 60
_WEEK_MINUTES = 7 * _DAY_MINUTES
_DAYS = {
    **{name: (at,) for at, name in enumerate(WEEKDAYS)},
    "weekdays": tuple(range(5)),
    "weekend": (5, 6),
    "all": tuple(range(7)),
}


def parse_layers(raw: object, time_zone: str, *, holidays: str) -> tuple[list[LayerSpec], list[Problem]]:
    """Read the list of layers, the first of which that has somebody counts; with everything that is wrong."""
    problems: list[Problem] = []
    if not isinstance(raw, Sequence) or isinstance(raw, str) or not raw:
        return [], [problem(PATH, "layers is not a list with something in it", "write one '- name: …' a layer")]
    if len(raw) > MOST_LAYERS:
        return [], [problem(PATH, f"a schedule has at most {MOST_LAYERS} layers", "split the team, or merge layers")]
    found: list[LayerSpec] = []
    for position, each in enumerate(raw):
        layer = _layer(each, f"{PATH}[{position}]", position, time_zone, problems)
        if layer is None:
            continue
        if any(other.name == layer.name for other in found):
            hint = "give each layer its own name"
            problems.append(problem(f"{PATH}[{position}].name", f"two layers are called '{layer.name}'", hint))
        if layer.holidays and not holidays:
            hint = "say whose: spec.onCall.holidays: DE"
            problems.append(problem(f"{PATH}[{position}].holidays", "no public holidays are named", hint))
        found.append(layer)
    if found and all(layer.shadow or layer.slot != PRIMARY for layer in found):
        hint = f"leave 'slot' and 'shadow' out of at least one layer; pages go to the slot '{PRIMARY}'"
        problems.append(problem(PATH, "nobody is ever on call: no layer is for the primary slot", hint))
    return found, problems


def _layer(raw: object, path: str, position: int, time_zone: str, problems: list[Problem]) -> LayerSpec | None:
    fields = mapping(raw, path, FIELDS, problems)
    if not fields:
        return None
    before = len(problems)
    rule = text_of(fields, "rrule", "", path, problems)
    every = text_of(fields, "every", EVERY, path, problems)
    starts_at = _moment(fields.get("startsAt"), f"{path}.startsAt", problems)
    shifts = _shifts(fields.get("shifts"), path, problems)
    if sum(bool(given) for given in (rule, shifts, "every" in fields and fields["every"] is not None)) > 1:
        hint = "keep one of them"
        problems.append(problem(path, "'every', 'shifts' and 'rrule' all say when turns change", hint))
    layer = LayerSpec(
        name=text_of(fields, "name", f"layer-{position + 1}", path, problems),
        time_zone=text_of(fields, "timeZone", time_zone, path, problems),
        every=every,
        handoff=text_of(fields, "handoff", _default_handoff(every, shifts, starts_at), path, problems),
        shifts=shifts,
        rrule=rule,
        count_from=_day(fields.get("countFrom"), f"{path}.countFrom", problems),
        starts_at=starts_at if isinstance(starts_at, datetime) else None,
        ends_at=_midnight(_moment(fields.get("endsAt"), f"{path}.endsAt", problems)),
        windows=windows_of(fields.get("hours"), f"{path}.hours", problems),
        holidays=_holidays(fields.get("holidays"), path, problems),
        slot=_slot(fields, path, problems),
        alongside=_flag(fields, "alongside", path, problems),
        shadow=_flag(fields, "shadow", path, problems),
        crews=_crews(fields.get("members"), f"{path}.members", problems),
    )
    if len(problems) > before:
        return None
    try:
        layer = _started(layer, starts_at)
    except Invalid as invalid:
        problems.extend(problem(f"{path}.{p.field}", p.message, p.hint or "") for p in invalid.problems)
        return None
    if layer.starts_at and layer.ends_at and layer.ends_at <= layer.starts_at:
        problems.append(problem(f"{path}.endsAt", "the layer ends before it starts", "choose a later endsAt"))
        return None
    return layer


def _started(layer: LayerSpec, starts_at: date | datetime | None) -> LayerSpec:
    """With the handoff at which a layer that starts on a day begins; checked by following it.

    Raises:
        Invalid: it cannot be followed.
    """
    if starts_at is None or isinstance(starts_at, datetime):
        handoffs_of(layer)
        return layer
    counted = msgspec.structs.replace(layer, count_from=layer.count_from or starts_at)
    found = handoffs_of(counted)
    midnight = datetime.combine(starts_at, time())
    if isinstance(found, Cadence):
        begins = _first_handoff(found, midnight)
        return msgspec.structs.replace(counted, starts_at=begins)
    return msgspec.structs.replace(layer, starts_at=midnight)


def _first_handoff(cadence: Cadence, day: datetime) -> datetime:
    _, begins, ends = cadence.turn(reading(day))
    return day if begins == reading(day) else from_reading(ends)


def _default_handoff(every: str, shifts: tuple[str, ...], starts_at: date | datetime | None) -> str:
    """Monday 09:00 for whole weeks, the first of the month, else 09:00; when ``starts_at`` is a time, then."""
    begun = starts_at if isinstance(starts_at, datetime) else None
    clock = f"{begun:%H:%M}" if begun else HANDOFF.split()[-1]
    if shifts or every.endswith(("h", "d")):
        return clock
    if every.endswith("mo"):
        return f"{begun.day if begun else 1} {clock}"
    return f"{WEEKDAYS[begun.weekday()].title()} {clock}" if begun else HANDOFF


def _moment(raw: object, path: str, problems: list[Problem]) -> date | datetime | None:
    """A day, or a day and a time on the layer's wall clock."""
    if raw is None:
        return None
    text = raw.isoformat() if isinstance(raw, date) else str(raw)
    try:
        found = date.fromisoformat(text) if len(text) == len("2026-01-05") else datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or (isinstance(found, datetime) and found.tzinfo is not None):
        hint = "write 2026-01-05, or 2026-01-05T09:00 by the clock of the layer's zone"
        problems.append(problem(path, f"'{raw}' is not a day or a time", hint))
        return None
    return found


def _midnight(moment: date | datetime | None) -> datetime | None:
    return moment if moment is None or isinstance(moment, datetime) else datetime.combine(moment, time())


def _day(raw: object, path: str, problems: list[Problem]) -> date | None:
    found = _moment(raw, path, problems)
    return found.date() if isinstance(found, datetime) else found


def _shifts(raw: object, path: str, problems: list[Problem]) -> tuple[str, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, Sequence) or isinstance(raw, str) or not raw or not all(isinstance(s, str) for s in raw):
        problems.append(problem(f"{path}.shifts", "shifts is not a list of lengths", "write [24h, 48h]"))
        return ()
    return tuple(raw)


def _crews(raw: object, path: str, problems: list[Problem]) -> tuple[tuple[str, ...], ...]:
    if not isinstance(raw, Sequence) or isinstance(raw, str) or not raw:
        hint = "name who takes turns: [alice, bob], or [[alice, bob], charlie] for two at once"
        problems.append(problem(path, "a layer needs members", hint))
        return ()
    return tuple(
        logins_of([each] if isinstance(each, str) else each, f"{path}[{position}]", problems)
        for position, each in enumerate(raw)
    )


def windows_of(raw: object, path: str, problems: list[Problem]) -> tuple[Window, ...]:
    """Read hours as people write them; nothing is none."""
    if raw is None:
        return ()
    hint = 'write - {days: [mon, tue], from: "09:00", to: "17:00"}, or - {from: "Fri 17:00", to: "Mon 09:00"}'
    if not isinstance(raw, Sequence) or isinstance(raw, str) or not raw:
        problems.append(problem(path, "hours is not a list with something in it", hint))
        return ()
    found: list[Window] = []
    for position, each in enumerate(raw):
        place = f"{path}[{position}]"
        fields = mapping(each, place, ("days", "from", "to"), problems)
        if not fields:
            continue
        start, end = (_clock(fields.get(key), f"{place}.{key}", default, problems) for key, default in _ENDS)
        if start is None or end is None:
            continue
        window = _window(fields.get("days"), start, end, place, problems)
        if window is not None:
            found.append(window)
    return tuple(found)


_ENDS = (("from", "00:00"), ("to", "24:00"))


def _window(
    days: object, start: tuple[int | None, int], end: tuple[int | None, int], path: str, problems: list[Problem]
) -> Window | None:
    if (start[0] is None) != (end[0] is None) or (start[0] is not None and days is not None):
        hint = "write days: [...] with times, or a weekday in both from and to"
        problems.append(problem(path, "it is not clear on which days these hours are", hint))
        return None
    if start[0] is not None and end[0] is not None:
        begin, until = start[0] * _DAY_MINUTES + start[1], end[0] * _DAY_MINUTES + end[1]
        return Window(days=(start[0],), start_minute=start[1], minutes=(until - begin) % _WEEK_MINUTES or _WEEK_MINUTES)
    picked = _weekdays(days, path, problems)
    minutes = (end[1] - start[1]) % _DAY_MINUTES or _DAY_MINUTES
    return Window(days=picked, start_minute=start[1], minutes=minutes) if picked else None


def _weekdays(raw: object, path: str, problems: list[Problem]) -> tuple[int, ...]:
    if raw is None:
        return _DAYS["all"]
    named = [raw] if isinstance(raw, str) else list(raw) if isinstance(raw, Sequence) else []
    words = [str(name).strip().lower() for name in named]
    unknown = [name for name in words if name not in _DAYS and name[:3] not in _DAYS]
    if not words or unknown:
        what = f"'{unknown[0]}' is not a weekday" if unknown else "no day is named"
        problems.append(problem(f"{path}.days", what, "write mon, tue … sun, weekdays, weekend or all"))
        return ()
    return tuple(sorted({day for name in words for day in _DAYS.get(name) or _DAYS[name[:3]]}))


def _clock(raw: object, path: str, default: str, problems: list[Problem]) -> tuple[int | None, int] | None:
    """A weekday or None, and the minute of the day (1440 is the end of it)."""
    text = default if raw is None else str(raw)
    day, _, clock = text.strip().rpartition(" ")
    matched = re.fullmatch(r"([01]\d|2[0-4]):([0-5]\d)", clock)
    minute = int(matched[1]) * 60 + int(matched[2]) if matched else _DAY_MINUTES + 1
    name = day.strip().lower()[:3]
    if minute > _DAY_MINUTES or (day and name not in WEEKDAYS):
        problems.append(problem(path, f"'{text}' is not a time of the day", 'write "09:00", "24:00" or "Fri 17:00"'))
        return None
    return (WEEKDAYS.index(name) if day else None), minute


def _holidays(raw: object, path: str, problems: list[Problem]) -> Literal["", "never", "only"]:
    if raw is None:
        return ""
    if raw == "never":
        return "never"
    if raw == "only":
        return "only"
    problems.append(problem(f"{path}.holidays", f"'{raw}' does not say what to do", "write never or only"))
    return ""


def _slot(fields: Mapping[str, Any], path: str, problems: list[Problem]) -> str:
    slot = text_of(fields, "slot", PRIMARY, path, problems)
    if slot == SHADOW:
        problems.append(problem(f"{path}.slot", "no slot can be called 'shadow'", "write shadow: true instead"))
    elif not _SLOT.fullmatch(slot):
        problems.append(problem(f"{path}.slot", f"'{slot}' cannot name a slot", "write a word such as secondary"))
    return slot


def _flag(fields: Mapping[str, Any], name: str, path: str, problems: list[Problem]) -> bool:
    value = fields.get(name, False)
    if isinstance(value, bool):
        return value
    problems.append(problem(f"{path}.{name}", f"{name} is neither true nor false", f"write {name}: true"))
    return False
