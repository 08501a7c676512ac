"""The gate's decision. Pure: facts and ``now`` in; the answer, every reason and what would change it out.

Budget spent: only reliability fixes and rollbacks (Google SRE workbook, example error budget policy); a fast
burn freezes; what a dependency spent does not count against the one who suffered it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from watchbill.features.gates.model import DAYS, Decision, Facts, Freeze, Override, Policy, Reason, SloFact, StopAt

_RANK = {"sev1": 1, "sev2": 2, "sev3": 3, "sev4": 4, "never": 0}

_BY_TIER: dict[int, Policy] = {
    1: Policy(budget_below=0.0, burn="page", incidents="sev2"),
    2: Policy(budget_below=0.0, burn="page", incidents="sev2"),
    3: Policy(budget_below=0.0, burn="page", incidents="sev1"),
    4: Policy(budget_below=None, burn="never", incidents="never"),
}


def default_policy(tier: int) -> Policy:
    """What holds where the manifest says nothing: tier 4 is told, and never stopped."""
    return _BY_TIER[min(max(tier, 1), 4)]


def decide(facts: Facts, *, now: datetime) -> Decision:
    """May this go out now?

    1. Rollbacks and fixes always go.
    2. Anything that stops it makes it no-go, and anything not known unknown, where the policy says whether the door
       is then open. A signed override that covers it opens what is shut, and is not asked where nothing is; a freeze
       of the error budget policy it does not open.
    3. What stops it comes before what is not known.
    4. Else go.
    """
    if facts.is_rollback or facts.is_fix:
        what = "rollbacks" if facts.is_rollback else "fixes"
        reason = Reason(code=what[:-1], effect="allows", says=f"{what} always go")
        return Decision(answer="go", proceed=True, summary=f"go: {what} always go", reasons=(reason,))
    reasons = [*_freezes(facts.policy, now), *_slos(facts), *_incidents(facts)]
    stops = [reason for reason in reasons if reason.effect == "stops"]
    unknowns = [reason for reason in reasons if reason.effect == "unknown"]
    against = stops or (unknowns if facts.policy.unknown == "closed" else [])
    if against and not any(reason.code == "budget_freeze" for reason in stops):
        override = covering(facts.overrides, version=facts.version, now=now)
        if override is not None:
            signed = Reason(
                code="override",
                effect="allows",
                says=f"overridden: {override.reason}",
                until_at=override.expires_at,
            )
            summary = f"go: a signed override covers {_count(len(against), 'reason')} against it"
            return Decision(answer="go", proceed=True, summary=summary, reasons=(signed, *reasons))
    if stops:
        return Decision(answer="no-go", proceed=False, summary=f"no-go: {stops[0].says}", reasons=tuple(reasons))
    if unknowns:
        is_open = facts.policy.unknown == "open"
        door = f"the policy of this tier is {'open' if is_open else 'closed'} when nobody knows"
        return Decision(
            answer="unknown",
            proceed=is_open,
            summary=f"unknown: {unknowns[0].says}; {door}",
            reasons=tuple(reasons),
        )
    return Decision(answer="go", proceed=True, summary="go: nothing speaks against it", reasons=tuple(reasons))


def covering(overrides: tuple[Override, ...], *, version: str | None, now: datetime) -> Override | None:
    """The override that holds now for this version; the one that lasts longest."""
    valid = [
        one
        for one in overrides
        if one.withdrawn_at is None
        and one.created_at <= now < one.expires_at
        and (one.version is None or one.version == version)
    ]
    return max(valid, key=lambda one: one.expires_at, default=None)


def _slos(facts: Facts) -> Iterator[Reason]:
    if not facts.slos:
        yield Reason(
            code="no_slo",
            effect="unknown",
            says=f"{facts.service} has no SLO in {facts.environment}, so nobody knows whether it works",
            change="name an operation with an objective in its manifest",
        )
        return
    if facts.stale:
        yield Reason(
            code="stale", effect="unknown", says=facts.stale, change="it answers again when SLOs are evaluated"
        )
    for slo in facts.slos:
        yield from _burn(facts.policy, slo)
        yield from _budget(facts.policy, slo)
        yield from _budget_rules(slo)
        if slo.state in (None, "unmeasured"):
            yield Reason(
                code="unmeasured",
                effect="unknown",
                says=f"{slo.name} is not measured" + (f": {slo.reason}" if slo.reason else " yet"),
                change="send its telemetry; one fresh minute is enough",
            )


def _burn(policy: Policy, slo: SloFact) -> Iterator[Reason]:
    if slo.state != "firing" or policy.burn == "never" or (policy.burn == "page" and slo.tier != "page"):
        return
    if slo.traffic_lost:
        yield Reason(
            code="traffic_exempt" if slo.exempt else "traffic",
            effect="notes" if slo.exempt else "stops",
            says=f"{slo.name} has lost its traffic" + (f", because of {slo.exempt}" if slo.exempt else ""),
            change="" if slo.exempt else "it goes when requests come again; a fix (--fix) or a rollback goes now",
        )
        return
    rate = f" at {slo.burn:.1f} times the sustainable rate" if slo.burn is not None else ""
    if slo.exempt:
        yield Reason(code="burn_exempt", effect="notes", says=f"{slo.name} burns{rate}, because of {slo.exempt}")
        return
    yield Reason(
        code="burn",
        effect="stops",
        says=f"{slo.name} burns its budget{rate}",
        change="it goes when the burn stops; a fix (--fix) or a rollback goes now",
    )


def _budget_rules(slo: SloFact) -> Iterator[Reason]:
    """What the error budget policy of the team or service says; a freeze is not signed away, an approval is signed."""
    left = "" if slo.remaining is None else f", {slo.remaining:.1%} are left"
    for rule in slo.rules:
        since = f" since {rule.since_at:%-d %b %H:%M} UTC" if rule.since_at else ""
        asks = "freezes deploys" if rule.freeze else "asks for a signed override"
        yield Reason(
            code="budget_freeze" if rule.freeze else "budget_approval",
            effect="stops",
            says=f"the error budget policy {asks} at {rule.remaining:g}%: {slo.name} is there{since}{left}",
            change="a fix (--fix) or a rollback goes now; the rule ends 5 points above its threshold"
            if rule.freeze
            else "sign an override on the service's page; a fix (--fix) or a rollback goes now",
        )


def _budget(policy: Policy, slo: SloFact) -> Iterator[Reason]:
    if slo.remaining is None or policy.budget_below is None:
        return
    limit = policy.budget_below / 100
    if slo.remaining > limit:
        return
    own = slo.own_remaining if slo.own_remaining is not None else slo.remaining
    if own > limit:
        yield Reason(
            code="budget_exempt",
            effect="notes",
            says=f"{slo.name} has {slo.remaining:.0%} of its budget left, {own:.0%} without what dependencies spent",
        )
        return
    yield Reason(
        code="budget",
        effect="stops",
        says=f"{slo.name} has {slo.remaining:.0%} of its error budget left; it stops at {policy.budget_below:g}%",
        change="a fix (--fix) or a rollback goes now; the budget comes back as bad minutes leave the window",
        until_at=slo.back_at,
    )


def _incidents(facts: Facts) -> Iterator[Reason]:
    for incident in facts.incidents:
        stop_at: StopAt = facts.policy.dependencies if incident.dependency else facts.policy.incidents
        stops = incident.declared and _RANK[incident.severity] <= _RANK[stop_at]
        whose = f"of {incident.service}, which it depends on," if incident.dependency else ""
        kind = "declared" if incident.declared else "suspected"
        yield Reason(
            code="dependency_incident" if incident.dependency else "incident",
            effect="stops" if stops else "notes",
            says=" ".join(
                f"incident {incident.number} {whose} is open ({kind}, {incident.severity}): {incident.title}".split()
            ),
            change="it goes when the incident is resolved" if stops else "",
        )


def _freezes(policy: Policy, now: datetime) -> Iterator[Reason]:
    for freeze in policy.freeze:
        until = frozen_until(freeze, now=now)
        if until is not None:
            yield Reason(
                code="freeze",
                effect="stops",
                says=f"the freeze '{freeze.name}' is on",
                change="it goes when the freeze ends; a fix (--fix) or a rollback goes now",
                until_at=until,
            )


def frozen_until(freeze: Freeze, *, now: datetime) -> datetime | None:
    """When the freeze that holds at ``now`` ends; None when it does not hold. Walls of its own zone."""
    if not freeze.days:
        if freeze.start is None or freeze.end is None:
            return None
        return freeze.end if freeze.start <= now < freeze.end else None
    zone = ZoneInfo(freeze.time_zone)
    local = now.astimezone(zone)
    if DAYS[local.weekday()] not in freeze.days:
        return None
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    opens, closes = _at(midnight, freeze.after), _at(midnight, freeze.before)
    if not opens <= now < closes:
        return None
    # Days that touch are one freeze: its end is the last one's.
    for _ in range(6):
        following = (midnight + timedelta(days=1)).replace(fold=0)
        if freeze.before != "24:00" or freeze.after != "00:00" or DAYS[following.weekday()] not in freeze.days:
            break
        midnight, closes = following, _at(following, freeze.before)
    return closes.astimezone(UTC)


def _at(midnight: datetime, wall: str) -> datetime:
    """The instant of a wall time ``HH:MM`` of that day; ``24:00`` is the next midnight."""
    hours, _, minutes = wall.partition(":")
    days, hour = divmod(int(hours), 24)
    return (midnight + timedelta(days=days)).replace(hour=hour, minute=int(minutes)).astimezone(UTC)


def _count(amount: int, noun: str) -> str:
    return f"{amount} {noun}" if amount == 1 else f"{amount} {noun}s"
