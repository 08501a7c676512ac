"""``spec.budgetPolicy`` and ``spec.excludeAlone`` of a Team or Service: what happens when an error budget runs low.

Contributed by the feature *slo*. A service's rules stand instead of its team's.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

from msgspec import Meta

from watchbill.features import slo
from watchbill.kernel.errors import Problem
from watchbill.manifest.words import Part
from watchbill.runtime.db import Tx

if TYPE_CHECKING:
    from watchbill.manifest.bundle import Applying, Bundle, Item, World

Share = Annotated[
    str,
    Meta(
        pattern=r"^(100|[0-9]{1,2})(\.[0-9]{1,3})?%?$",
        extra={"expected": "a percent such as 20%"},
    ),
]
Act = Literal["ticket", "approval", "freeze", "review", "postmortem"]


class BudgetRule(Part, frozen=True, kw_only=True):
    """At so much of the error budget or less, do these."""

    remaining: Annotated[Share, Meta(description="What is left of the budget; over again 5 points above.")]
    do: Annotated[
        list[Act],
        Meta(
            min_length=1,
            description="ticket: tell the team. approval: the gate asks for a signed override. freeze: the gate lets"
            " only fixes and rollbacks out. review, postmortem: due on the SLO's page until somebody wrote it.",
        ),
    ]


BudgetRules = Annotated[
    list[BudgetRule],
    Meta(max_length=10, description="What happens when an error budget runs low; a service's instead of its team's."),
]
ExcludeAlone = Annotated[
    Share,
    Meta(
        description="Of the time an SLO may be down in its window, so much may be excluded ahead by one signature; 50%."
    ),
]


def check(bundle: Bundle, _world: World) -> Iterator[Problem]:
    """Each threshold is named once."""
    items: list[Item] = [*bundle.teams, *bundle.services]
    for item in items:
        seen: set[Decimal] = set()
        for at, rule in enumerate(item.manifest.spec.budget_policy or ()):
            path = ("spec", "budgetPolicy", at, "remaining")
            share = _share(rule.remaining)
            if share > 100:
                yield item.problem("manifest.value", f"{rule.remaining} is more than all of it", path, "write 50%")
            if share in seen:
                yield item.problem(
                    "manifest.value", f"{rule.remaining} is named twice", path, "put what it does into one rule"
                )
            seen.add(share)


def apply(tx: Tx, applying: Applying) -> None:
    """Write what is said; a document that says nothing (any more) has none."""
    said: dict[tuple[Literal["team", "service"], UUID], slo.BudgetPolicy] = {}
    for team in applying.teams:
        said["team", applying.team_ids[team.name]] = _policy(team)
    for service in applying.services:
        said["service", applying.service_ids[service.name]] = _policy(service)
    slo.sync_policies(tx, said=said, actor=applying.actor)


def _policy(item: Item) -> slo.BudgetPolicy:
    spec = item.manifest.spec
    rules = spec.budget_policy
    return slo.BudgetPolicy(
        rules=None
        if rules is None
        else tuple(
            sorted(
                (slo.Rule(remaining=_share(rule.remaining), do=tuple(dict.fromkeys(rule.do))) for rule in rules),
                key=lambda rule: -rule.remaining,
            )
        ),
        exclude_alone=None if spec.exclude_alone is None else _share(spec.exclude_alone),
    )


def _share(text: str) -> Decimal:
    return Decimal(text.removesuffix("%"))
