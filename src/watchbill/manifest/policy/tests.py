"""Run one test of policy: the page's way on a virtual clock, compared with what is expected."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from watchbill.features import incidents, oncall, paging
from watchbill.features.paging import Case, Happening, Line
from watchbill.kernel.durations import parse_duration, rough_duration
from watchbill.kernel.errors import Invalid, Problem
from watchbill.manifest.policy.cases import Answer, Expected, Placed
from watchbill.manifest.policy.world import Rehearsal
from watchbill.manifest.suggest import did_you_mean


class Told(msgspec.Struct, frozen=True, kw_only=True, order=True, omit_defaults=True):
    """One thing that happens or is expected, in words that compare: seconds after the alert, what, and whom."""

    after_seconds: int
    what: str
    people: list[str] = []
    channels: list[str] = []
    words: str = ""

    def __str__(self) -> str:
        after = rough_duration(timedelta(seconds=self.after_seconds)) if self.after_seconds else "0m"
        who = ", ".join([*self.people, *(f"channel {each}" for each in self.channels)])
        return " ".join(part for part in (f"+{after}", self.what, who, self.words) if part)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether it passed; else what is missing and what came instead, in the order of time."""

    name: str
    place: str
    passed: bool
    expected: list[Told]
    got: list[Told]

    @property
    def diff(self) -> list[str]:
        """``- expected``, ``+ got`` and what agrees."""
        marked = [("  " if each in self.got else "- ", each) for each in self.expected]
        marked += [("+ ", each) for each in self.got if each not in self.expected]
        return [f"{mark}{each}" for mark, each in sorted(marked, key=lambda pair: (pair[1].after_seconds, pair[0]))]


def run_test(placed: Placed, rehearsal: Rehearsal) -> Verdict:
    """Run it.

    Raises:
        Invalid: it names a service, person or zone that the manifests do not have; with the place.
    """
    test = placed.test
    _check(placed, rehearsal)
    service = rehearsal.services[test.alert.service].manifest.spec
    team = service.owner
    policy = rehearsal.policy(team)
    begins = datetime.fromisoformat(test.alert.at).replace(tzinfo=ZoneInfo(test.alert.time_zone)).astimezone(UTC)
    answers = test.acknowledge if isinstance(test.acknowledge, list) else [test.acknowledge] if test.acknowledge else []
    happenings = [_happening(answer, begins, rehearsal) for answer in answers]
    if test.resolve is not None:
        happenings.append(Happening(at=begins + parse_duration(test.resolve), what="resolve"))
    latest = max((parse_duration(each.after) for each in test.expect), default=timedelta(0))
    until = max(latest, parse_duration(test.until) if test.until else timedelta(0))
    case = Case(
        team_id=rehearsal.team_ids[team],
        policy=policy,
        opened_at=begins,
        harmed=rehearsal.harmed(test.alert.service),
        severity=incidents.severity_of(tier=service.tier, declared=test.alert.declared),
        holidays=rehearsal.holidays(policy.holidays, range(begins.year, begins.year + 2)),
        happenings=happenings,
    )
    unreachable = {rehearsal.people[login.lower()] for login in test.unreachable}
    lines = paging.simulate(case, world_at=rehearsal.world_at(unreachable), until=begins + until)
    zone = ZoneInfo(test.alert.time_zone)
    expected = [_expected(each) for each in test.expect]
    kinds = {each.what for each in expected}
    got = [
        told
        for line in lines
        if (told := _got(line, begins, zone, rehearsal)) is not None
        and (told.what not in ("skipped", "again") or told.what in kinds)
    ]
    got = [_like(told, expected) for told in got]
    return Verdict(
        name=test.name,
        place=placed.document.place(("policyTests", placed.position)),
        passed=sorted(expected) == sorted(got),
        expected=expected,
        got=got,
    )


def _happening(answer: Answer, begins: datetime, rehearsal: Rehearsal) -> Happening:
    at = begins + parse_duration(answer.after)
    by = rehearsal.people[answer.by.lower()] if answer.by else None
    until = at + parse_duration(answer.for_) if answer.for_ else None
    return Happening(at=at, what="acknowledge", by=by, until=until)


def _expected(each: Expected) -> Told:
    seconds = int(parse_duration(each.after).total_seconds())
    if each.held is not None:
        return Told(after_seconds=seconds, what="held until", words=each.held.replace(" ", "T"))
    for what in ("skipped", "again"):
        if (words := getattr(each, what)) is not None:
            return Told(after_seconds=seconds, what=what, words=words)
    if each.nobody:
        return Told(after_seconds=seconds, what="nobody")
    what = "notify the fallback" if each.fallback else "notify"
    people = sorted(login.lower() for login in each.notify or ())
    return Told(after_seconds=seconds, what=what, people=people, channels=sorted(each.channels))


def _got(line: Line, begins: datetime, zone: ZoneInfo, rehearsal: Rehearsal) -> Told | None:
    seconds = int((line.at - begins).total_seconds())
    if line.what in ("notify", "again"):
        what = "notify the fallback" if line.fallback else "notify"
        people = sorted(rehearsal.names[person] for person in line.people)
        return Told(after_seconds=seconds, what=what, people=people, channels=sorted(line.channels))
    if line.what == "held" and line.until is not None:
        return Told(after_seconds=seconds, what="held until", words=f"{line.until.astimezone(zone):%Y-%m-%dT%H:%M}")
    if line.what == "skipped":
        return Told(after_seconds=seconds, what="skipped", words=line.why)
    if line.what == "epoch":
        return Told(after_seconds=seconds, what="again", words=line.why)
    return Told(after_seconds=seconds, what="nobody") if line.what == "nobody" else None


def _like(told: Told, expected: list[Told]) -> Told:
    """A reason counts as expected when it holds the words that are; the fallback too where nothing is said of it."""
    for each in expected:
        same = (each.after_seconds, each.what) == (told.after_seconds, told.what)
        if same and told.what in ("skipped", "again") and each.words in told.words:
            return each
        plain = each.what == "notify" and told.what == "notify the fallback"
        if plain and msgspec.structs.replace(told, what="notify") == each:
            return each
    return told


def _check(placed: Placed, rehearsal: Rehearsal) -> None:
    test, problems = placed.test, list[Problem]()
    alert = test.alert
    if not oncall.zone_exists(alert.time_zone):
        hint = "write an IANA name such as Europe/Berlin"
        problems.append(placed.problem(f"'{alert.time_zone}' is not a time zone", ("alert", "timeZone"), hint))
    try:
        datetime.fromisoformat(alert.at)
    except ValueError:
        problems.append(placed.problem(f"'{alert.at}' is not a time", ("alert", "at"), "write 2026-03-07T03:00"))
    service = rehearsal.services.get(alert.service)
    if service is None:
        hint = did_you_mean(alert.service, rehearsal.services) or "give the manifest that describes it too"
        problems.append(placed.problem(f"there is no service '{alert.service}'", ("alert", "service"), hint))
    elif service.manifest.spec.owner not in rehearsal.teams:
        message = f"its owner '{service.manifest.spec.owner}' is not in these manifests"
        problems.append(placed.problem(message, ("alert", "service"), "give the manifest of that team too"))
    for path, login in _logins(test):
        if login.lower() not in rehearsal.people:
            hint = did_you_mean(login, rehearsal.people) or "name a member of a team in these manifests"
            problems.append(placed.problem(f"nobody is known as '{login}'", path, hint))
    for at, each in enumerate(test.expect):
        said: list[Any] = [each.notify, each.held, each.skipped, each.again, each.nobody]
        if sum(one is not None for one in said) + (each.notify is None and bool(each.channels)) != 1:
            message = "this says nothing, or more than one thing"
            hint = "write one of notify, channels, held, skipped, again or nobody"
            problems.append(placed.problem(message, ("expect", at), hint))
    if problems:
        raise Invalid(f"the test '{test.name}' cannot be run", code="policy_tests_invalid", problems=problems)


def _logins(test: Any) -> list[tuple[tuple[str | int, ...], str]]:
    found: list[tuple[tuple[str | int, ...], str]] = [
        (("unreachable", at), login) for at, login in enumerate(test.unreachable)
    ]
    if isinstance(test.acknowledge, list):
        found += [(("acknowledge", at, "by"), each.by) for at, each in enumerate(test.acknowledge) if each.by]
    elif test.acknowledge is not None and test.acknowledge.by:
        found.append((("acknowledge", "by"), test.acknowledge.by))
    for at, each in enumerate(test.expect):
        found += [(("expect", at, "notify", place), login) for place, login in enumerate(each.notify or ())]
    return found
