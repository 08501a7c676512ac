"""Acting on error budgets: crossings are written once, tell the team by a ticket, and stay in the history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa

from watchbill.features import alerts, catalog
from watchbill.features.slo import words
from watchbill.features.slo.budget import as_decimal
from watchbill.features.slo.definitions import Definition
from watchbill.features.slo.exclusion_store import slo_crossing, slo_policy
from watchbill.features.slo.model import Slo
from watchbill.features.slo.policy import (
    BudgetPolicy,
    Cause,
    Crossed,
    Direction,
    Level,
    Rule,
    Standing,
    cross,
    effective,
)
from watchbill.features.slo.policy_reads import (
    Crossing,
    budget_identity,
    insert_crossings,
    levels,
    policies,
    to_crossing,
)
from watchbill.kernel.errors import Conflict, Invalid, NotFound
from watchbill.kernel.ids import new_id
from watchbill.runtime import ledger
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor

_OBSERVER = ledger.system("observer")
_TELLING = {"ticket", "review", "postmortem"}


def act_on_budgets(
    tx: Tx, *, definitions: Sequence[Definition], standing_of: Callable[[int], Standing | None], base_url: str
) -> int:
    """Compare every budget that has a policy with its thresholds; returns how many were crossed.

    ``standing_of`` takes the number of a definition; where it answers None nothing is known, and nothing changes.
    """
    said = policies(tx)
    known = levels(tx)
    if not said and not any(level.below for of in known.values() for level in of.values()):
        return 0
    services = {service.id: service for service in catalog.services(tx)}
    made: list[tuple[Definition, Crossing]] = []
    for row, item in enumerate(definitions):
        service = services.get(item.slo.service_id)
        if service is None:
            continue
        rules = effective(said.get(("service", service.id)), said.get(("team", service.team_id))).rules
        of = known.get(item.slo.id, {})
        if not rules and not any(level.below for level in of.values()):
            continue
        standing = standing_of(row)
        if standing is not None:
            made += [(item, one) for one in _crossings(tx, item.slo, rules, of, standing)]
    insert_crossings(tx, rows=[one for _, one in made])
    for item, one in made:
        _note(tx, item, one, services[item.slo.service_id].team_id)
    events = [event for item, one in made if (event := _event(item, one, base_url)) is not None]
    if events:
        alerts.accept_events(tx, integration_id=alerts.builtin_integration(tx, name="slo").id, events=events)
    return len(made)


def _crossings(
    tx: Tx, slo: Slo, rules: Sequence[Rule], of: Mapping[Fraction, Level], standing: Standing
) -> list[Crossing]:
    found = []
    for rule in rules:
        level = of.get(rule.threshold, Level())
        crossed = cross(rule.threshold, level, standing, now=tx.now)
        if crossed is not None:
            why = _why(rule.threshold, level, standing, crossed.direction, crossed.cause)
            found.append(_crossing(tx, slo, rule, standing, crossed, why))
    named = {rule.threshold for rule in rules}
    for threshold, level in of.items():
        if level.below and threshold not in named:
            rule = Rule(remaining=as_decimal(100 * threshold), do=())
            why = f"the policy names {_percent(threshold)} no longer"
            over = Crossed(direction="up", told=True, cause="policy")
            found.append(_crossing(tx, slo, rule, standing, over, why))
    return found


def _crossing(  # noqa: PLR0917  (one call's facts, handed on)
    tx: Tx, slo: Slo, rule: Rule, standing: Standing, crossed: Crossed, why: str
) -> Crossing:
    return Crossing(
        id=new_id(),
        slo_id=slo.id,
        threshold=as_decimal(rule.threshold),
        direction=crossed.direction,
        at=tx.now,
        told=crossed.told,
        remaining=as_decimal(standing.remaining),
        actions=list(rule.do),
        cause=crossed.cause,
        why=why,
        target=slo.target,
        window_seconds=slo.window_seconds,
        reviewed_at=None,
        reviewed_by=None,
        review=None,
    )


def _why(threshold: Fraction, level: Level, standing: Standing, direction: Direction, cause: Cause) -> str:
    side = "at or below" if direction == "down" else "well above"
    left = f"{_percent(standing.remaining)} of the budget is left, {side} {_percent(threshold)}"
    if cause == "target" and level.target is not None:
        share = 1 - Fraction(level.target) / 100
        before = 1 - Fraction(standing.bad) / (share * standing.total)
        return (
            f"{left}: the target changed from {level.target.normalize():f} to {standing.target.normalize():f} %;"
            f" under the old one {_percent(before)} would be left"
        )
    if cause == "exclusion":
        return f"{left}: what is excluded lifts it, without that {_percent(standing.without)} would be left"
    if cause == "period":
        return f"{left}: a new period began"
    return left


def _percent(share: Fraction) -> str:
    return f"{float(share) * 100:.3g} %"


def _note(tx: Tx, item: Definition, one: Crossing, team_id: UUID) -> None:
    ledger.append(
        tx,
        name="slo.budget_fell" if one.direction == "down" else "slo.budget_rose",
        actor=_OBSERVER,
        subject=("slo", one.slo_id),
        team_id=team_id,
        why=one.why,
        data={
            "threshold": str(one.threshold),
            "remaining": str(one.remaining),
            "actions": list(one.actions),
            "cause": one.cause,
            "told": one.told,
            "target": str(one.target),
        },
    )
    tx.hint("watchbill_live", f"slo:{item.slo.id}")


def _event(item: Definition, one: Crossing, base_url: str) -> alerts.Event | None:
    """The ticket: it begins when the threshold is passed for the first time in a window, and ends when it is over."""
    falls = one.direction == "down"
    if falls and not (one.told and _TELLING & set(one.actions)):
        return None
    place = words.label(item.service, item.operation)
    asks = {
        "approval": "deploys need a signature (sign on the service's page)",
        "freeze": "only fixes and rollbacks go out",
        "review": "a review is due: write on the SLO's page what will be done",
        "postmortem": "a postmortem is due: put its link on the SLO's page",
    }
    said = [asks[action] for action in one.actions if action in asks]
    return alerts.Event(
        identity=budget_identity(item.slo.id, Fraction(one.threshold)),
        action="trigger" if falls else "resolve",
        title=f"{place}: {item.slo.name} has {float(one.remaining) * 100:.3g} % of its error budget left",
        description=". ".join(text[0].upper() + text[1:] for text in [one.why, *said]) + ".",
        severity="warning",
        urgency="ticket",
        labels={"slo": item.slo.name, "service": item.service, "operation": item.operation},
        links=[alerts.Link(title="SLO", url=f"{base_url}/slos/{item.slo.id}")],
        environment=item.slo.environment,
        service=item.service,
        operation=item.operation,
        occurred_at=one.at,
        delivery_id=str(one.id),
    )


def review_crossing(
    tx: Tx, *, crossing_id: UUID, slo_id: UUID, text: str, person_id: UUID, actor: Actor
) -> Crossing:
    """Somebody says what was learned and what will be done; for a postmortem with its link.

    Raises:
        NotFound: no such crossing.
        Conflict: nothing is due.
        Invalid: no text, or no link where a postmortem is asked for.
    """
    wanted = (slo_crossing.c.id == crossing_id, slo_crossing.c.slo_id == slo_id)
    row = tx.execute(sa.select(slo_crossing).where(*wanted).with_for_update()).one_or_none()
    if row is None:
        raise NotFound("there is no such crossing", hint="see the SLO's page")
    one = to_crossing(row)
    if not one.review_due:
        raise Conflict("no review is due here", code="no_review_due")
    if len(text.strip()) < 10:
        raise Invalid("say in a sentence what will be done", field="review", hint="such as: retries get a budget")
    if "postmortem" in one.actions and "https://" not in text and "http://" not in text:
        raise Invalid("the policy asks for a postmortem: give its link", field="review", hint="https://…")
    values: dict[str, Any] = {"reviewed_at": tx.now, "reviewed_by": person_id, "review": text.strip()[:4000]}
    tx.execute(sa.update(slo_crossing).where(slo_crossing.c.id == one.id).values(**values))
    ledger.append(
        tx,
        name="slo.budget_reviewed",
        actor=actor,
        subject=("slo", one.slo_id),
        why=text.strip()[:500],
        data={"crossing": str(one.id), "threshold": str(one.threshold)},
    )
    tx.hint("watchbill_live", f"slo:{one.slo_id}")
    return msgspec.structs.replace(one, **values)


Owner = tuple[Literal["team", "service"], UUID]


def sync_policies(tx: Tx, *, said: Mapping[Owner, BudgetPolicy], actor: Actor) -> int:
    """Make the policies of these teams and services be as said, each change in the ledger; returns how many changed."""
    known = policies(tx)
    changed = 0
    for (kind, owner_id), policy in said.items():
        before = known.get((kind, owner_id), BudgetPolicy())
        if before == policy:
            continue
        key = (slo_policy.c.owner_kind == kind, slo_policy.c.owner_id == owner_id)
        tx.execute(sa.delete(slo_policy).where(*key))
        if policy != BudgetPolicy():
            values = {"owner_kind": kind, "owner_id": owner_id, "policy": msgspec.to_builtins(policy)}
            tx.execute(sa.insert(slo_policy).values(**values, changed_at=tx.now))
        ledger.append(
            tx,
            name="slo.policy_changed",
            actor=actor,
            subject=(kind, owner_id),
            data={"before": msgspec.to_builtins(before), "after": msgspec.to_builtins(policy)},
        )
        changed += 1
    return changed

