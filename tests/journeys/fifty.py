"""Fifty scripted incidents: who deploys what and when, what really is at fault, what people do meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from tests.journeys.rollback_stage import ROLL_BACK

Act = Literal["acknowledge", "deploy", "switch off", "observer away", "runner away", "press"]
ALONE = {**ROLL_BACK, "automatic": True}
BUTTON = ROLL_BACK


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A change at a minute; ``bad`` is the share of requests that it fails."""

    at: float
    service: str
    version: str = "v2"
    bad: float = 0.0
    reversible: Literal["yes", "no", "unknown"] = "yes"
    kind: Literal["deploy", "flag", "config", "schema"] = "deploy"
    told: bool = True


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One incident.

    ``guilty`` are (service, version) of the changes at fault, empty when it is none that was told; ``alone`` says
    whether automation must act (True), must not (False), or may. ``outside`` is a failure of a service that no
    change causes: (from minute, to minute, share). ``acts`` are what people do, by minute.
    """

    name: str
    steps: tuple[Step, ...]
    symptom: str = "front"
    guilty: tuple[tuple[str, str], ...] = ()
    alone: bool | None = None
    outside: tuple[tuple[str, float, float, float], ...] = ()
    acts: tuple[tuple[float, Act], ...] = ()
    rules: dict[str, Any] = msgspec.field(default_factory=lambda: dict(ALONE))


def scenarios() -> Iterator[Scenario]:
    """``front`` depends on ``middle`` and ``side``, ``middle`` on ``back``; ``apart`` is not on the path."""
    yield from _one_bad_deploy()
    yield from _several_at_once()
    yield from _no_change_at_fault()
    yield from _people_and_limits()
    yield from _irreversible_and_other_kinds()


def _one_bad_deploy() -> Iterator[Scenario]:
    for service in ("front", "middle", "back", "side"):
        for bad in (0.08, 0.3, 0.9):
            yield Scenario(
                name=f"one bad deploy of {service}, failing {bad:.0%}",
                steps=(Step(at=1, service=service, bad=bad),),
                guilty=((service, "v2"),),
                alone=True,
            )


def _several_at_once() -> Iterator[Scenario]:
    order = ("front", "middle", "back", "side")
    for guilty in order:
        others = [service for service in order if service != guilty]
        yield Scenario(
            name=f"{guilty} is bad, three good ones follow",
            steps=(
                Step(at=1, service=guilty, bad=0.3),
                *(Step(at=1.05 + 0.05 * at, service=service) for at, service in enumerate(others)),
            ),
            guilty=((guilty, "v2"),),
        )
        yield Scenario(
            name=f"{guilty} is bad, three good ones came before",
            steps=(
                *(Step(at=0.2 + 0.2 * at, service=service) for at, service in enumerate(others)),
                Step(at=1, service=guilty, bad=0.3),
            ),
            guilty=((guilty, "v2"),),
        )
        yield Scenario(
            name=f"{guilty} is bad, and what is not on the path is deployed last",
            steps=(Step(at=1, service=guilty, bad=0.3), Step(at=1.2, service="apart")),
            guilty=((guilty, "v2"),),
            alone=True,
        )
    yield Scenario(
        name="lockstep: all at once, the deepest is bad",
        steps=tuple(Step(at=1, service=service, bad=0.3 if service == "back" else 0.0) for service in order),
        guilty=(("back", "v2"),),
    )


def _no_change_at_fault() -> Iterator[Scenario]:
    yield Scenario(name="nothing was deployed", steps=(), outside=(("back", 2, 9, 0.4),), alone=False)
    yield Scenario(
        name="a good deploy an hour before an outage of something deeper",
        steps=(Step(at=0, service="front"),),
        outside=(("back", 9, 15, 0.4),),
        alone=False,
    )
    for service in ("front", "middle"):
        yield Scenario(
            name=f"a good deploy of {service}, and minutes later a shared cause below",
            steps=(Step(at=1, service=service),),
            outside=(("back", 6, 12, 0.4),),
            alone=False,
        )
    yield Scenario(
        name="an outage of a dependency that nobody deployed, after deploys elsewhere",
        steps=(Step(at=1, service="apart"), Step(at=2, service="apart", version="v3")),
        outside=(("side", 3, 9, 0.4),),
        alone=False,
    )
    yield Scenario(
        name="flapping: a dependency fails every other minute",
        steps=(Step(at=0.2, service="front"),),
        outside=tuple(("back", at, at + 1, 0.5) for at in (5, 7, 9, 11)),
        alone=False,
    )
    yield Scenario(
        name="an untold bad deploy",
        steps=(Step(at=1, service="middle", bad=0.4, told=False),),
        alone=False,
    )
    yield Scenario(
        name="a good deploy of what hurts, long after it began to hurt",
        steps=(Step(at=5, service="front"),),
        outside=(("back", 1, 12, 0.4),),
        alone=False,
    )


def _people_and_limits() -> Iterator[Scenario]:
    bad = (Step(at=1, service="front", bad=0.4),)
    guilty = (("front", "v2"),)
    yield Scenario(
        name="acknowledged before it was measured",
        steps=bad,
        guilty=guilty,
        alone=False,
        acts=((0, "observer away"), (2, "acknowledge"), (3, "observer away")),
    )
    yield Scenario(
        name="a person deploys a fix first",
        steps=(*bad, Step(at=2.6, service="front", version="v3")),
        guilty=guilty,
        alone=False,
        acts=((0, "observer away"), (4, "observer away")),
    )
    yield Scenario(name="automation is switched off", steps=bad, guilty=guilty, alone=False, acts=((0, "switch off"),))
    yield Scenario(
        name="telemetry is away all the time", steps=bad, guilty=guilty, alone=False, acts=((0, "observer away"),)
    )
    yield Scenario(
        name="no runner is there", steps=bad, guilty=guilty, alone=False, acts=((-1.5, "runner away"), (2, "press"))
    )
    yield Scenario(name="the team wants a button", steps=bad, guilty=guilty, alone=False, rules=BUTTON)
    yield Scenario(
        name="the team wants a button, and presses it",
        steps=bad,
        guilty=guilty,
        alone=False,
        rules=BUTTON,
        acts=((3, "press"),),
    )
    yield Scenario(
        name="the team wants certainty",
        steps=bad,
        guilty=guilty,
        alone=False,
        rules={**ALONE, "confidence": 1.0},
    )


def _irreversible_and_other_kinds() -> Iterator[Scenario]:
    for reversible in ("no", "unknown"):
        for service in ("front", "back"):
            yield Scenario(
                name=f"a bad deploy of {service}, reversible: {reversible}",
                steps=(Step(at=1, service=service, bad=0.4, reversible=reversible),),  # type: ignore[arg-type]  # a word
                guilty=((service, "v2"),),
                alone=False,
            )
    for kind in ("flag", "schema", "config"):
        yield Scenario(
            name=f"a bad {kind} change",
            steps=(Step(at=1, service="middle", bad=0.4, kind=kind),),  # type: ignore[arg-type]  # a word
            guilty=(("middle", "v2"),),
            alone=False,
        )
    yield Scenario(
        name="a migration and a bad deploy together",
        steps=(
            Step(at=0.9, service="back", version="m7", kind="schema", reversible="no"),
            Step(at=1, service="back", bad=0.4),
        ),
        guilty=(("back", "v2"),),
    )
    yield Scenario(
        name="two bad deploys at once",
        steps=(Step(at=1, service="middle", bad=0.3), Step(at=1, service="side", bad=0.3)),
        guilty=(("middle", "v2"), ("side", "v2")),
    )
