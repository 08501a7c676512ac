"""What evidence means. Pure: no I/O, no clock; the reason is a value.

Source of the questions: docs/reference/reliability-contract.md, "Evidence".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from watchbill.features.evidence.model import (
    Answer,
    Check,
    DependencyEvidence,
    Key,
    Line,
    Protection,
    ServiceEvidence,
    State,
)
from watchbill.features.telemetry import SeenEvidence
from watchbill.kernel.durations import rough_duration

WEEK = timedelta(days=7)
QUARTER = timedelta(days=90)
REQUIRED = ("timeout", "breaker", "drill")
"""What readiness asks of every dependency, in the order it is said."""

OWN = frozenset({"limiter", "switch"})
"""Protections of the service itself: their dependency attribute is the limiter's or the switch's own name."""
PRIMITIVES = (
    "timeout", "deadline", "retry", "breaker", "bulkhead", "limiter", "throttle", "hedge", "fallback", "switch",
    "drill",
)  # fmt: skip
"""The contract's words; others are shown, and are no answer to any question."""

GRAIN = timedelta(minutes=10)
"""Times are kept to this grain: a service that reports every minute is not written every minute."""
SUPERSEDED = timedelta(hours=1)
"""A setting that was told so much earlier than a newer one of the same protection is no longer in force."""
DRILL_APART = timedelta(hours=6)
"""Blows closer than this belong to one drill."""
LONGEST = 100
LONGEST_SETTING = 200
MOST_LINES = 500
"""Of one service in one environment: names that are made up call by call must not fill the table."""


class Fold(NamedTuple):
    """What a pass changes: ``write`` shall be stored; ``new``, ``drilled`` and ``refused`` explain it."""

    write: list[Line]
    new: list[Line]
    drilled: list[Line]
    refused: list[Line]


def fold(known: Mapping[Key, Line], seen: Iterable[SeenEvidence]) -> Fold:
    """Fold what was seen into the known lines. Times only move forward; seeing the same again changes nothing."""
    found = Fold([], [], [], [])
    held: dict[tuple[str, str], int] = {}
    for line in known.values():
        held[line.service_name, line.environment] = held.get((line.service_name, line.environment), 0) + 1
    for one in _cut(seen):
        before = known.get(one.key)
        if before is None:
            of = (one.service_name, one.environment)
            if held.get(of, 0) >= MOST_LINES:
                found.refused.append(one)
                continue
            held[of] = held.get(of, 0) + 1
            found.write.append(one)
            found.new.append(one)
            if one.primitive == "drill" and one.used_at is not None:
                found.drilled.append(one)
            continue
        used_at = max(filter(None, (before.used_at, one.used_at)), default=None)
        reported_at = max(before.reported_at, one.reported_at)
        moved = used_at is not None and (before.used_at is None or used_at - before.used_at >= GRAIN)
        if moved or reported_at - before.reported_at >= GRAIN or one.senseless != before.senseless:
            found.write.append(
                msgspec.structs.replace(before, used_at=used_at, reported_at=reported_at, senseless=one.senseless)
            )
        if one.primitive == "drill" and used_at is not None and _apart(before.used_at, used_at):
            found.drilled.append(one)
    return found


def _apart(before: datetime | None, after: datetime) -> bool:
    return before is None or after - before >= DRILL_APART


def _cut(seen: Iterable[SeenEvidence]) -> list[Line]:
    """Lines of bounded names; those that become the same by it are one."""
    lines: dict[Key, Line] = {}
    for one in seen:
        line = Line(
            service_name=one.service_name,
            environment=_short(one.environment),
            dependency=_short(one.dependency),
            primitive=_short(one.primitive),
            setting=_short(one.setting, LONGEST_SETTING),
            used_at=one.used_at,
            reported_at=one.reported_at,
            first_at=one.reported_at,
            senseless=one.senseless,
        )
        other = lines.get(line.key)
        if other is not None:
            line = msgspec.structs.replace(
                line,
                used_at=max(filter(None, (line.used_at, other.used_at)), default=None),
                reported_at=max(line.reported_at, other.reported_at),
                senseless=line.senseless or other.senseless,
            )
        lines[line.key] = line
    return list(lines.values())


def _short(text: str, longest: int = LONGEST) -> str:
    cleaned = text.replace("\x00", "").strip()
    return cleaned if len(cleaned) <= longest else cleaned[: longest - 1] + "…"


class Declared(NamedTuple):
    """A dependency of the manifest: its name, its title, and all names that mean it."""

    name: str
    title: str
    names: frozenset[str]


def judge(
    lines: Collection[Line], *, service: str, environment: str, declared: Sequence[Declared], now: datetime
) -> ServiceEvidence:
    """Say what a service has shown, dependency by dependency; declared ones without evidence are gaps."""
    reported_at = max((line.reported_at for line in lines), default=None)
    silent = reported_at is None or now - reported_at > WEEK
    problems = sorted({words for line in lines if (words := _problem(line, now))})
    by_name = {name: one for one in declared for name in one.names}
    grouped: dict[str, list[Line]] = {one.name: [] for one in declared}
    own: list[Line] = []
    for line in lines:
        if line.primitive in OWN:
            own.append(line)
        elif line.dependency and line.primitive:
            found = by_name.get(line.dependency)
            grouped.setdefault(found.name if found else line.dependency, []).append(line)
    titles = {one.name: one.title for one in declared}
    dependencies = [
        _dependency(name, of, title=titles.get(name, name), declared=name in titles, silent=silent, now=now)
        for name, of in grouped.items()
        if name in titles or any(now - line.reported_at <= QUARTER for line in of)
    ]
    dependencies.sort(key=lambda one: (not one.declared, one.dependency))
    # Who tells nothing may call what it does not declare.
    answer = worst([*(one.answer for one in dependencies), *(("unknown",) if silent else ())])
    return ServiceEvidence(
        service=service,
        environment=environment,
        answer=answer,
        says=_say(dependencies, reported_at=reported_at, silent=silent, now=now),
        reported_at=reported_at,
        dependencies=dependencies,
        own=_protections(own, now),
        problems=problems,
    )


def worst(answers: Iterable[Answer]) -> Answer:
    """Fail before unknown before pass; nothing asked is a pass."""
    given = set(answers)
    return "fail" if "fail" in given else "unknown" if "unknown" in given else "pass"


def _problem(line: Line, now: datetime) -> str:
    if now - line.reported_at > WEEK:
        return ""
    where = f"{line.dependency or 'a line without a dependency'}, {line.primitive or 'without a primitive'}"
    if not line.dependency or not line.primitive:
        return f"{where}: set reliability.dependency and reliability.primitive"
    if line.senseless:
        return f"{where}: the value is no Unix time in seconds"
    if line.primitive not in PRIMITIVES:
        return f"{where}: the contract knows no such primitive; it answers no question"
    return ""


def _say(
    dependencies: Sequence[DependencyEvidence], *, reported_at: datetime | None, silent: bool, now: datetime
) -> str:
    if reported_at is None:
        return "it has told nothing of its protections yet"
    if silent:
        return f"it has told nothing for {_days(now - reported_at)}: what is shown may no longer be so"
    open_ones = sum(one.answer == "fail" for one in dependencies)
    if open_ones:
        return f"{open_ones} of {len(dependencies)} dependencies have gaps"
    unsure = sum(one.answer == "unknown" for one in dependencies)
    if unsure:
        return f"{unsure} of {len(dependencies)} dependencies are not proved lately"
    return "every dependency has a timeout and a breaker, and was drilled on" if dependencies else "it calls nothing"


def _dependency(
    name: str, lines: Sequence[Line], *, title: str, declared: bool, silent: bool, now: datetime
) -> DependencyEvidence:
    protections = _protections(lines, now)
    checks = [
        _check(primitive, next((p for p in protections if p.primitive == primitive), None), silent=silent)
        for primitive in REQUIRED
    ]
    missing = [
        f"no {check.primitive} seen" for check in checks if not any(p.primitive == check.primitive for p in protections)
    ]
    return DependencyEvidence(
        dependency=name,
        title=title,
        declared=declared,
        answer=worst(check.answer for check in checks),
        checks=checks,
        protections=protections,
        says=", ".join([*(one.says for one in protections), *missing]),
    )


def _protections(lines: Iterable[Line], now: datetime) -> list[Protection]:
    grouped: dict[str, list[Line]] = {}
    for line in lines:
        grouped.setdefault(line.primitive, []).append(line)
    order = {name: place for place, name in enumerate(PRIMITIVES)}
    return [
        _protection(primitive, grouped[primitive], now)
        for primitive in sorted(grouped, key=lambda name: (order.get(name, len(order)), name))
    ]


def _protection(primitive: str, lines: Sequence[Line], now: datetime) -> Protection:
    reported_at = max(line.reported_at for line in lines)
    used_at = max((line.used_at for line in lines if line.used_at), default=None)
    in_force = [line for line in lines if primitive == "drill" or reported_at - line.reported_at <= SUPERSEDED]
    settings = sorted({line.setting for line in in_force if line.setting})
    state = _state(primitive, used_at, reported_at, now)
    return Protection(
        primitive=primitive,
        settings=settings,
        state=state,
        used_at=used_at,
        reported_at=reported_at,
        says=_words(primitive, settings, state, used_at, reported_at, now),
    )


def _state(primitive: str, used_at: datetime | None, reported_at: datetime, now: datetime) -> State:
    if primitive == "drill":
        return "unused" if used_at is None else "at_work" if now - used_at <= QUARTER else "stale"
    if now - reported_at > WEEK:
        return "stale"
    if used_at is None:
        return "unused"
    return "at_work" if now - used_at <= WEEK else "idle"


def _words(  # noqa: PLR0917  the parts of one sentence, said in one place
    primitive: str,
    settings: Sequence[str],
    state: State,
    used_at: datetime | None,
    reported_at: datetime,
    now: datetime,
) -> str:
    if primitive == "drill":
        return "never drilled" if used_at is None else f"drilled {_days(now - used_at)} ago"
    words = f"{primitive} {' and '.join(settings)}".strip() if primitive in ("timeout", "deadline") else primitive
    if state == "stale":
        return f"{words} (not seen for {_days(now - reported_at)})"
    if state == "unused":
        return f"{words} (never used)"
    if state == "idle" and used_at is not None:
        return f"{words} (no call for {_days(now - used_at)})"
    return words


def _check(primitive: str, found: Protection | None, *, silent: bool) -> Check:
    answer: Answer
    if found is None or (primitive == "drill" and found.used_at is None):
        answer = "unknown" if silent else "fail"
        why = "the service tells nothing" if silent else f"no {primitive} seen"
    elif found.state == "at_work":
        answer, why = "pass", found.says
    elif found.state == "stale":
        # A protection that is gone while its service goes on telling was removed; with a silent service, who knows.
        answer, why = ("unknown" if silent and primitive != "drill" else "fail"), found.says
    else:
        answer, why = "unknown", found.says
    return Check(primitive=primitive, answer=answer, why=why)


def _days(length: timedelta) -> str:
    if length >= timedelta(days=2):
        return f"{length.days} days"
    return rough_duration(timedelta(minutes=max(1, int(length.total_seconds() // 60))))
