"""The rules of rollback as pure decisions. Every "no" is a sentence that a person can read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from watchbill.features.rollback.model import Decision, Rules, RunState
from watchbill.features.rollback.plans import EXECUTORS, unfit
from watchbill.kernel.durations import parse_duration, rough_duration

BREAKER_SERVICES = 3
BREAKER_WINDOW = timedelta(minutes=10)
"""More services than that rolled back by automation within the window: a shared cause, and automation stops."""
LEASE = timedelta(seconds=30)
RENEW_EVERY = timedelta(seconds=8)
UNCLAIMED_FOR = timedelta(minutes=2)
"""No runner took it for so long: a rollback that comes late surprises whoever is at work by then."""
OUTPUT_KEPT = 64 * 1024
VERIFY_EVERY = timedelta(seconds=15)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when it is decided.

    ``human_acts`` are sentences, each an act of a person since the incident began; ``automatic_before`` says that
    automation already acted in this incident; ``rolled_back_lately`` are services that automation rolled back within
    the breaker's window; ``busy`` names a run that holds the service; ``undone`` says who has put the change back.
    """

    rules: Rules
    automation: bool
    automation_why: str = ""
    kind: str
    reversible: bool | None
    previous_version: str | None
    version: str | None = None
    confidence: float
    measured_worse: bool
    environment: str
    incident_open: bool
    automatic_before: bool
    human_acts: Sequence[str] = ()
    rolled_back_lately: Collection[str] = ()
    service: str
    busy: str | None = None
    undone: str | None = None
    runners: int = 0


def decide(facts: Facts) -> Decision:
    """Whether to act alone, offer a button, or neither.

    Nothing can be done: no executor, another run holds the service, it is undone already, the change says it cannot be
    reversed, or the incident is over. Otherwise a button is always offered; acting alone needs every rule to agree.
    """
    impossible = _impossible(facts)
    if impossible:
        return Decision(action="nothing", reasons=impossible)
    against = list(_against_alone(facts))
    if against:
        return Decision(action="button", reasons=against)
    return Decision(
        action="automatic",
        reasons=[
            f"the team lets it act alone from {facts.rules.confidence:.0%}, and confidence is {facts.confidence:.0%}"
        ],
    )


def _impossible(facts: Facts) -> list[str]:
    found: list[str] = []
    if facts.rules.executor is None:
        found.append(f"{facts.service} does not say in its manifest how it is rolled back (spec.rollback)")
    else:
        against = unfit(
            facts.rules.executor, facts.rules.plan, version=facts.version, previous_version=facts.previous_version
        )
        found += [against] if against else []
    if facts.busy is not None:
        found.append(f"{facts.busy} is at it already")
    if facts.undone is not None:
        found.append(facts.undone)
    if facts.reversible is False:
        found.append("the change says that it cannot be reversed")
    if not facts.incident_open:
        found.append("the incident is resolved")
    return found


def _against_alone(facts: Facts) -> list[str]:
    rules = facts.rules
    found: list[str] = []
    if not rules.automatic:
        found.append("the team has not said that it may act alone")
    if not facts.automation:
        found.append(f"automation is switched off{f': {facts.automation_why}' if facts.automation_why else ''}")
    if facts.reversible is None:
        found.append("nobody said whether the change can be reversed")
    if facts.kind not in rules.kinds:
        found.append(f"a {facts.kind} change is undone by a person here")
    if facts.environment != "production":
        found.append(f"environment {facts.environment}: automation acts in production only")
    if facts.previous_version is None:
        found.append("the version before it is not known")
    if not facts.measured_worse:
        found.append("it was not measured to be worse")
    if facts.confidence < rules.confidence:
        found.append(f"confidence {facts.confidence:.0%} is below the team's {rules.confidence:.0%}")
    if facts.automatic_before:
        found.append("automation acts at most once in an incident")
    found += facts.human_acts
    if breaker_is_open(facts.rolled_back_lately, facts.service):
        minutes = int(BREAKER_WINDOW.total_seconds() // 60)
        found.append(
            f"{len(set(facts.rolled_back_lately))} services were rolled back within {minutes} minutes: "
            "a shared cause is likelier"
        )
    if facts.runners == 0:
        found.append("no runner of the team is there to do it")
    return found


def breaker_is_open(rolled_back_lately: Collection[str], service: str) -> bool:
    """True when this one would be one service more than the breaker lets pass."""
    return len({*rolled_back_lately, service}) > BREAKER_SERVICES


def rules_of(spec: Mapping[str, Any] | None) -> Rules:
    """The rules written in a service's manifest (``spec.rollback``), which the manifest layer has validated."""
    raw = (spec or {}).get("rollback") or {}
    executor = next((name for name in EXECUTORS if name in raw), None)
    if executor is None:
        return Rules()
    default = Rules()
    return Rules(
        executor=executor,
        plan=dict(raw[executor] or {}),
        automatic=bool(raw.get("automatic", False)),
        confidence=float(raw.get("confidence", default.confidence)),
        runner=raw.get("runner"),
        timeout=_duration(raw.get("timeout"), default.timeout),
        verify_for=_duration(raw.get("verifyFor"), default.verify_for),
        verify_window=parse_duration(raw["verifyWindow"]) if raw.get("verifyWindow") else None,
        kinds=tuple(raw.get("kinds") or default.kinds),
    )


def _duration(text: str | None, default: timedelta) -> timedelta:
    return default if text is None else parse_duration(text)


def after_success(
    *, now: datetime, verify_until: datetime, alerts_open: int, alerts_known: int, closed_by_hand: bool = False
) -> RunState | None:
    """What became of an incident in which no SLO burned; None while it is still to be seen.

    ``alerts_known`` are the incident's alerts; without any, nothing can say. Nor can an incident that a person closed
    while alerts fired (``closed_by_hand``): nobody looks at it any more.
    """
    if alerts_known and not alerts_open:
        return "recovered"
    if closed_by_hand:
        return "unverified"
    if now < verify_until:
        return None
    return "not_recovered" if alerts_known else "unverified"


def tail(kept: str, added: str) -> str:
    """The last `OUTPUT_KEPT` characters of both."""
    return (kept + added)[-OUTPUT_KEPT:]


def words_of_rehearsal(*, now: datetime, at: datetime, took_seconds: float) -> str:
    """As in: exercised 40d ago, took 41s."""
    ago = rough_duration(now - at).split()[0]
    return f"exercised {ago} ago, took {rough_duration(timedelta(seconds=took_seconds))}"
