# ruff: noqa: RUF012  msgspec copies an empty list default for each instance
"""``spec.gate`` of a Team or Service: what stops a deploy. Contributed by the feature *gates*.

The gate reads it from the stored spec (`gates.policy_of`), so applying it needs nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import available_timezones

from msgspec import Meta

from watchbill.kernel.errors import Problem
from watchbill.manifest.words import Part, Text

if TYPE_CHECKING:
    from watchbill.manifest.bundle import Bundle, Item, World

Wall = Annotated[
    str,
    Meta(
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$",
        extra={"expected": "a time of day such as 16:00, in quotes"},
    ),
]
Moment = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})$",
        description="An instant with its offset, such as 2026-11-27T00:00:00Z.",
        extra={"expected": "an instant such as 2026-11-27T00:00:00Z, in quotes"},
    ),
]
Severity = Literal["sev1", "sev2", "sev3", "sev4", "never"]
Door = Literal["open", "closed"]


class Freeze(Part, frozen=True, kw_only=True):
    """Time in which only rollbacks and fixes go out: from ``start`` to ``end``, or every week on ``days``."""

    name: Text
    start: Moment | None = None
    end: Moment | None = None
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = []
    after: Annotated[Wall, Meta(description="On those days from this time on.")] = "00:00"
    before: Annotated[Wall, Meta(description="Until this time; 24:00 is the day's end.")] = "24:00"
    time_zone: Annotated[str, Meta(extra={"expected": "a time zone such as Europe/Berlin"})] = "UTC"


class Gate(Part, frozen=True, kw_only=True):
    """What stops a deploy. What is left out follows the team, then the tier; freezes of both hold."""

    budget_below: (
        Annotated[
            str,
            Meta(
                pattern=r"^(never|[0-9]{1,2}(\.[0-9]{1,3})?)$",
                description="No-go when so many percent of an error budget or less are left; tiers 1 to 3: 0.",
                extra={"expected": "a percent such as 10, or never"},
            ),
        ]
        | None
    ) = None
    burn: (
        Annotated[
            Literal["page", "ticket", "never"],
            Meta(description="No-go while an SLO fires with this urgency; tiers 1 to 3: page."),
        ]
        | None
    ) = None
    incidents: (
        Annotated[
            Severity,
            Meta(description="No-go during a declared incident of this severity or worse; tiers 1, 2: sev2; 3: sev1."),
        ]
        | None
    ) = None
    dependencies: (
        Annotated[Severity, Meta(description="The same for incidents of what it depends on; never.")] | None
    ) = None
    unknown: Annotated[Door, Meta(description="The door when an SLO is unmeasured; open.")] | None = None
    away: Annotated[Door, Meta(description="The door when Watchbill itself does not answer; open.")] | None = None
    freeze: Annotated[list[Freeze], Meta(max_length=50)] = []


def check(bundle: Bundle, _world: World) -> Iterator[Problem]:
    """Each freeze says when, in one way, in a zone there is."""
    items: list[Item] = [*bundle.teams, *bundle.services]
    for item in items:
        gate = item.manifest.spec.gate
        for at, freeze in enumerate(gate.freeze if gate else ()):
            path = ("spec", "gate", "freeze", at)
            yield from _check_freeze(item, path, freeze)


def _check_freeze(item: Item, path: tuple[str | int, ...], freeze: Freeze) -> Iterator[Problem]:
    once = freeze.start is not None or freeze.end is not None
    if once == bool(freeze.days):
        yield item.problem(
            "manifest.value",
            f"the freeze '{freeze.name}' does not say when",
            path,
            "give start and end, or days (with after and before)",
        )
        return
    if freeze.time_zone not in available_timezones():
        yield item.problem(
            "manifest.value",
            f"'{freeze.time_zone}' is not a time zone",
            (*path, "timeZone"),
            "use an IANA name such as Europe/Berlin",
        )
    if freeze.days:
        if freeze.after >= freeze.before:
            yield item.problem(
                "manifest.value",
                f"the freeze '{freeze.name}' ends before it begins",
                path,
                "a night is two freezes: until 24:00, and from 00:00 of the next day",
            )
        return
    try:
        ordered = (
            freeze.start is not None
            and freeze.end is not None
            and datetime.fromisoformat(freeze.start) < datetime.fromisoformat(freeze.end)
        )
    except ValueError as error:
        yield item.problem("manifest.value", f"the freeze '{freeze.name}': {error}", path, "write a day there is")
        return
    if not ordered:
        yield item.problem(
            "manifest.value", f"the freeze '{freeze.name}' needs a start before its end", path, "give both, in order"
        )
