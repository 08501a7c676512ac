"""A page's whole way on a virtual clock: for previews, tests of policy and replays of history.

The decisions are those of the pager (`logic`, `walk`, `targets`); only time and people's answers are given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from watchbill.features.paging import logic, targets, walk
from watchbill.features.paging.logic import Harmed, Moment
from watchbill.features.paging.model import EscalationPolicy
from watchbill.features.paging.targets import World

MOST_LINES = 2000

What = Literal["notify", "again", "skipped", "nobody", "held", "released", "epoch", "acknowledged", "resolved"]


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one person, and when it is tried if nobody has answered by then."""

    person_id: UUID
    channel: str
    at: datetime


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What happens at one instant. ``until`` is set for held and acknowledged."""

    at: datetime
    what: What
    why: str
    people: tuple[UUID, ...] = ()
    channels: tuple[str, ...] = ()
    watchers: tuple[UUID, ...] = ()
    sends: tuple[Sent, ...] = ()
    fallback: bool = False
    until: datetime | None = None


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """What people do meanwhile. ``until`` is given for a snooze."""

    at: datetime
    what: Literal["acknowledge", "resolve"]
    by: UUID | None = None
    until: datetime | None = None


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A page that opens: for which team, under which policy, with what harmed, and what people do."""

    team_id: UUID | None
    policy: EscalationPolicy
    opened_at: datetime
    harmed: Sequence[Harmed]
    severity: str
    holidays: frozenset[date] = frozenset()
    happenings: Sequence[Happening] = ()


def simulate(
    case: Case, *, world_at: Callable[[datetime], World], until: datetime, stop_at_fallback: bool = False
) -> list[Line]:
    """Everything that happens with the page until ``until``, in order; ``world_at`` answers whom steps name then.

    Who answers at the very instant at which a step is due has answered before it.
    """
    run = _Run(case, world_at)
    run.open()
    happenings = sorted(case.happenings, key=lambda each: each.at)
    while len(run.lines) < MOST_LINES:
        timer = run.next_timer()
        if happenings and (timer is None or happenings[0].at <= timer):
            happening = happenings.pop(0)
            if happening.at > until or run.happen(happening):
                break
            continue
        if timer is None or timer > until:
            break
        run.fire(timer)
        if stop_at_fallback and run.lines[-1].fallback:
            break
    return run.lines


class _Run:
    def __init__(self, case: Case, world_at: Callable[[datetime], World]) -> None:
        self.case = case
        self.policy = case.policy
        self.world_at = world_at
        self.lines: list[Line] = []
        self.state: Literal["held", "escalating", "acknowledged"] = "escalating"
        self.step = 0
        self.due: datetime | None = None
        self.calls: dict[int, tuple[datetime, int]] = {}
        self.snoozed = False

    def open(self) -> None:
        self._begin(self.case.opened_at)

    def next_timer(self) -> datetime | None:
        timers = [at for at, _ in self.calls.values()] + ([self.due] if self.due else [])
        return min(timers, default=None)

    def happen(self, happening: Happening) -> bool:
        """True when it is over."""
        if happening.what == "resolve":
            self._say(happening.at, "resolved", "the incident is resolved")
            return True
        self.state, self.calls = "acknowledged", {}
        self.snoozed = happening.until is not None
        self.due = happening.until or happening.at + timedelta(seconds=self.policy.acknowledge_for_seconds)
        people = (happening.by,) if happening.by else ()
        self.lines.append(Line(at=happening.at, what="acknowledged", why="acknowledged", people=people, until=self.due))
        return False

    def fire(self, at: datetime) -> None:
        calling = [number for number, (when, _) in self.calls.items() if when == at]
        for number in calling:
            self._call(at, number)
        if self.due != at:
            return
        if self.state == "escalating":
            self._take(at)
        elif self.state == "held":
            self._begin(at, released=True)
        else:
            minutes = self.policy.acknowledge_for_seconds // 60
            self._say(
                at, "epoch", "snoozed until now" if self.snoozed else f"acknowledged {minutes} min ago, not resolved"
            )
            self._begin(at)

    def _begin(self, at: datetime, *, released: bool = False) -> None:
        case = self.case
        held = logic.hold(self.policy, harmed=case.harmed, severity=case.severity, at=at, holidays=case.holidays)
        self.step = 0
        if held is not None:
            self.state, self.due = "held", held.until
            self.lines.append(Line(at=at, what="held", why=held.reason, until=held.until))
            return
        if released:
            self._say(at, "released", "the next working day has begun")
        self.state = "escalating"
        self._take(at)

    def _take(self, at: datetime) -> None:
        world = self.world_at(at)
        moment = Moment(at=at, tier=logic.tier_of(self.case.harmed), holidays=self.case.holidays)
        taken = walk.take(
            self.policy,
            self.step,
            moment,
            lambda names: targets.resolve(world, team_id=self.case.team_id, names=names),
        )
        for skipped in taken.skipped:
            self._say(at, "skipped", skipped.why)
        step = taken.step
        if taken.reach:
            self._notify(at, "notify", taken.why, taken.reach, fallback=step.fallback)
        else:
            self.lines.append(Line(at=at, what="nobody", why=taken.why, fallback=True))
        if step.call_every is not None:
            self.calls[min(step.number, len(self.policy.steps) - 1)] = (at + step.call_every, step.number)
        self.step, self.due = taken.following, at + taken.wait

    def _call(self, at: datetime, of_policy: int) -> None:
        number = self.calls[of_policy][1]
        step = logic.next_step(self.policy, number)
        reach = targets.resolve(self.world_at(at), team_id=self.case.team_id, names=step.notify)
        if reach.people:
            self._notify(at, "again", walk.label_of(step), walk.Reach(people=reach.people), fallback=False)
        self.calls[of_policy] = (at + (step.call_every or timedelta(days=1)), number)

    def _notify(self, at: datetime, what: What, why: str, reach: walk.Reach, *, fallback: bool) -> None:
        sends = [
            Sent(person_id=person, channel=method.channel, at=at + after)
            for person, plan in reach.people.items()
            for method, after in plan
        ]
        self.lines.append(
            Line(
                at=at,
                what=what,
                why=why,
                people=tuple(reach.people),
                channels=tuple(each.name for each in reach.channels),
                watchers=tuple(reach.watchers),
                sends=tuple(sends),
                fallback=fallback,
            )
        )

    def _say(self, at: datetime, what: What, why: str) -> None:
        self.lines.append(Line(at=at, what=what, why=why))
