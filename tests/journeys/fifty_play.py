"""Playing the fifty scripted incidents on the stage of rollbacks, and the figures of what became of them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import msgspec

from tests.journeys.fifty import Scenario, scenarios
from tests.journeys.rollback_stage import RollbackStage
from watchbill.features import incidents, rollback
from watchbill.features.identity import Caller
from watchbill.kernel.ids import new_id

MINUTES = 14.0
CALM = timedelta(hours=26)
"""Between two of them, so that none knows of the changes before."""
STEP = timedelta(seconds=30)
ADMIN = Caller(kind="token", id=new_id(), name="admin", role="admin")


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one."""

    name: str
    top: tuple[str, str] | None
    latest: tuple[str, str] | None
    guilty: tuple[tuple[str, str], ...]
    automatic: list[tuple[str, str]]
    states: list[str]
    alone: bool | None


def play(stage: RollbackStage, scenario: Scenario) -> Ended:
    """Its minutes on the stage; services of its own, so that the fifty do not meet."""
    prefix = f"s{len(stage.services)}-"
    for name, depends_on in (
        ("apart", ()),
        ("back", ()),
        ("side", ()),
        ("middle", ("back",)),
        ("front", ("middle", "side")),
    ):
        on = tuple(prefix + each for each in depends_on)
        stage.service(prefix + name, owner="payments", depends_on=on, rules=scenario.rules)
    stage.symptoms.clear()
    stage.runner_is_away = stage.world.away = False
    stage.watch(prefix + scenario.symptom)
    began = stage.clock.now() + timedelta(minutes=2)
    for service, start, end, share in scenario.outside:
        window = (began + timedelta(minutes=start), began + timedelta(minutes=end), share)
        stage.world.outside.setdefault(prefix + service, []).append(window)
    todo = sorted([*((step.at, step) for step in scenario.steps), *scenario.acts], key=lambda each: each[0])
    before = {run.id for run in stage.runs()}
    number, top, latest = None, None, None
    while (passed := (stage.clock.now() - began).total_seconds() / 60) < MINUTES:
        while todo and todo[0][0] <= passed + 0.25:
            _do(stage, prefix, todo.pop(0)[1], number)
        stage.pass_time(STEP, step=STEP)
        number = number or _incident(stage)
        found = stage.ranking(number) if number is not None else None
        if found is not None and found.suspects and not _acted(stage, before):
            best = found.suspects[0]
            top = (best.service.removeprefix(prefix), best.version or "") if best.confidence >= 0.2 else None
            last = next(s for s in found.suspects if s.change_id == found.latest) if found.latest else None
            latest = (last.service.removeprefix(prefix), last.version or "") if last else None
    runs = [run for run in stage.runs() if run.id not in before]
    with stage.db.transaction() as tx:
        if not rollback.read_switch(tx).automation:
            rollback.set_switch(tx, automation=True, why="next", caller=ADMIN)
        for one in incidents.incident_list(tx, state="open"):
            incidents.close_incident(tx, incident=one, actor=ADMIN.actor, resolution="the scenario is over")
    names = {id: name.removeprefix(prefix) for name, id in stage.services.items()}
    ended = Ended(
        name=scenario.name,
        top=top,
        latest=latest,
        guilty=scenario.guilty,
        automatic=[(names[run.service_id], run.version or "") for run in runs if run.mode == "automatic"],
        states=[run.state for run in runs],
        alone=scenario.alone,
    )
    stage.clock.advance(CALM)
    stage.runner_seen()
    stage.work()
    return ended


def _acted(stage: RollbackStage, before: set[UUID]) -> bool:
    return any(run.id not in before and run.state not in rollback.BUSY for run in stage.runs())


def _incident(stage: RollbackStage) -> int | None:
    with stage.db.transaction() as tx:
        found = incidents.incident_list(tx, state="open", limit=1)
        return found[0].number if found else None


def _do(stage: RollbackStage, prefix: str, what: object, number: int | None) -> None:
    match what:
        case "acknowledge":
            stage.acknowledge("alice", number or 1)
        case "switch off":
            with stage.db.transaction() as tx:
                rollback.set_switch(tx, automation=False, why="a test", caller=ADMIN)
        case "observer away":
            stage.world.away = not stage.world.away
        case "runner away":
            stage.runner_is_away = True
            stage.clock.advance(timedelta(minutes=2))
        case "press":
            with stage.db.transaction() as tx:
                incident = incidents.incident_by_number(tx, number=number or 1)
                found = rollback.ranking_of(tx, incident=incident)
                assert found is not None
                change_id = found.suspects[0].change_id
                rollback.press(tx, change_id=change_id, incident=incident, caller=stage.caller("bob"), via="test")
        case _:
            given = {name: getattr(what, name) for name in ("version", "bad", "reversible", "kind", "told")}
            stage.deploy(prefix + what.service, **given)  # type: ignore[attr-defined]  # a Step


def play_all(stage: RollbackStage, *, every: int = 1) -> list[Ended]:
    """All fifty (or each so-manieth), one after another on one stage."""
    stage.team("payments", "alice", "bob")
    stage.team("shop", "charlie", fallback=True)
    stage.runner_seen()
    return [play(stage, scenario) for scenario in list(scenarios())[::every]]


def broken_promises(ended: list[Ended]) -> list[str]:
    """Each incident that did not end as it must, in words."""
    found = []
    for each in ended:
        if any(change not in each.guilty for change in each.automatic):
            found.append(f"{each.name}: a wrong automatic rollback of {each.automatic}")
        if len(each.automatic) > 1:
            found.append(f"{each.name}: automation acted twice")
        if any(state not in rollback.ENDED for state in each.states):
            found.append(f"{each.name}: a run without an end: {each.states}")
        if each.alone is not None and bool(each.automatic) is not each.alone:
            found.append(f"{each.name}: automation {'did not act' if each.alone else 'acted'}")
    return found


def report(ended: list[Ended]) -> str:
    """The figures: top-1 of the ranking beside "latest change", over the incidents that a told change caused."""
    caused = [each for each in ended if each.guilty]
    ours = sum(each.top in each.guilty for each in caused)
    latest = sum(each.latest in each.guilty for each in caused)
    wrong = sum(change not in each.guilty for each in ended for change in each.automatic)
    right = sum(change in each.guilty for each in ended for change in each.automatic)
    blamed = sum(each.top is not None for each in ended if not each.guilty)
    return (
        f"{len(ended)} incidents: {wrong} wrong and {right} right automatic rollbacks; "
        f"top-1 {ours}/{len(caused)}, latest change {latest}/{len(caused)}; "
        f"a change blamed in {blamed}/{len(ended) - len(caused)} incidents without a guilty one"
    )
