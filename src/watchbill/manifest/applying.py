"""Apply manifests: check, plan, ask, write; everything or nothing, in the caller's one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from watchbill.features import catalog, identity, paging
from watchbill.features.catalog import Known
from watchbill.kernel.errors import Conflict, Invalid, Problem
from watchbill.kernel.ids import new_id
from watchbill.manifest.bundle import Applying, Bundle, File, TeamItem, World, spec_of
from watchbill.manifest.check import check, in_order, strictly
from watchbill.manifest.gather import gather
from watchbill.manifest.plan import Action, Change, Plan, described, described_known, field_changes, make_plan
from watchbill.manifest.sections import budget, delivery, escalation, objectives, on_call, ownership, people
from watchbill.runtime.db import Tx
from watchbill.runtime.ledger import Actor

AFTER: tuple[Callable[[Tx, Applying], None], ...] = (
    on_call.apply,
    objectives.apply,
    budget.apply,
    escalation.apply,
    delivery.apply,
)
"""The sections that hang something on the teams and services once these are written."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to apply. ``confirm``: yes to what asks for confirmation. ``take_over``: names of other sources too."""

    source: str
    dry_run: bool = False
    prune: bool = False
    strict: bool = False
    confirm: bool = False
    take_over: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The plan, and whether it was carried out. ``unchanged`` counts what was already as described."""

    source: str
    applied: bool
    actions: list[Action]
    added: int
    changed: int
    removed: int
    unchanged: int
    warnings: list[Problem]
    confirm_because: list[str]


Authorize = Callable[[frozenset[UUID], bool], None]
"""Given the teams that are touched, and whether the catalog as a whole is (a new team, say): raises Forbidden."""


def apply_files(
    tx: Tx, *, files: Iterable[File], options: Options, actor: Actor, authorize: Authorize | None = None
) -> Outcome:
    """Make the catalog, the rotations and the objectives be as these files describe.

    1. Read every file; 2. compare with what is known; 3. check all references; any error ends it here.
    4. Ask the caller's rights and, for large removals, a confirmation. 5. Write teams, services, removals,
    then what other features keep.

    Raises:
        Invalid: every error at once; nothing is written.
        Conflict: code ``confirmation_needed``; send it again with ``confirm``.
    """
    bundle, problems = gather(files)
    catalog.lock_catalog(tx)
    known = catalog.known(tx)
    plan, found = make_plan(
        bundle, known=known, source=options.source, prune=options.prune, take_over=options.take_over
    )
    problems += found
    live = [each for each in known if not each.removed]
    removed = {each.id for each in plan.removals}
    problems += check(bundle, _world(tx, bundle, [each for each in live if each.id not in removed], problems))
    ids = _ids(plan, live)
    problems += _unreachable(tx, bundle, ids)
    problems += _orphans(tx, plan, bundle)
    problems += _last_resort(tx, bundle, live, removed)
    if options.strict:
        problems = strictly(problems)
    _raise_errors(problems)
    actions, befores = _actions(tx, plan, ids)
    if authorize is not None:
        authorize(*_touched(plan, befores, ids))
    reasons = [*plan.confirm_because, *_open_pages(tx, plan)]
    if actions and not options.dry_run:
        if reasons and not options.confirm:
            raise Conflict(
                f"this removes a lot: {'; '.join(reasons)}",
                code="confirmation_needed",
                hint="look at it with --dry-run, then say --yes (in the API: confirm: true)",
            )
        _write(tx, plan, actions, ids=ids, source=options.source, actor=actor)
    if not options.dry_run:
        catalog.remember_source(tx, name=options.source, changed=bool(actions))
    return Outcome(
        source=options.source,
        applied=not options.dry_run,
        actions=actions,
        added=sum(each.verb == "add" for each in actions),
        changed=sum(each.verb == "change" for each in actions),
        removed=len(plan.removals),
        unchanged=plan.unchanged,
        warnings=in_order(each for each in problems if each.severity == "warning"),
        confirm_because=reasons,
    )


class _Ids(msgspec.Struct, frozen=True):
    teams: dict[str, UUID]
    services: dict[str, UUID]


def _world(tx: Tx, bundle: Bundle, staying: Sequence[Known], problems: Sequence[Problem]) -> World:
    named = [
        target.removeprefix("person:").lower()
        for item in bundle.teams
        if item.manifest.spec.escalation
        for step in item.manifest.spec.escalation.steps or ()
        for target in step.notify
        if target.startswith("person:")
    ]
    return World(
        teams=frozenset(name for each in staying if each.kind == "Team" for name in (each.name, *each.former_names)),
        services=frozenset(
            name for each in staying if each.kind == "Service" for name in (each.name, *each.former_names)
        ),
        logins=frozenset(identity.ids_of(tx, logins=named)) if named else frozenset(),
        fallback=next((each.name for each in staying if each.fallback), None),
        # what could not be read may be just what is referred to: one cause, one error
        external=any(each.severity == "error" and not each.code.startswith("manifest.conflict") for each in problems),
    )


def _ids(plan: Plan, live: Sequence[Known]) -> _Ids:
    """Every name that may be referred to, after the apply: former names first, so that live ones win."""
    found: dict[str, dict[str, UUID]] = {"Team": {}, "Service": {}}
    for each in live:
        found[each.kind].update(dict.fromkeys(each.former_names, each.id))
    for each in live:
        found[each.kind][each.name] = each.id
    for change in plan.changes:
        id = (change.before or change.removed).id if change.before or change.removed else new_id()  # type: ignore[union-attr]
        for name in change.item.manifest.metadata.formerly:
            found[change.kind].setdefault(name, id)
        found[change.kind][change.item.name] = id
    return _Ids(found["Team"], found["Service"])


def _unreachable(tx: Tx, bundle: Bundle, ids: _Ids) -> list[Problem]:
    return list(people.reachability(tx, bundle, ids.teams))


def _orphans(tx: Tx, plan: Plan, bundle: Bundle) -> list[Problem]:
    """A team may not go while a service that stays is owned by it."""
    going = {each.id: each.name for each in plan.removals if each.kind == "Team"}
    if not going:
        return []
    services_going = {each.id for each in plan.removals if each.kind == "Service"}
    described = {item.name for item in bundle.services} | {
        name for item in bundle.services for name in item.manifest.metadata.formerly
    }
    return [
        Problem(
            code="manifest.reference",
            message=f"the team '{going[service.team_id]}' would be removed, but it owns '{service.name}'",
            place=f"{service.source}:0:0",
            field="spec.owner",
            hint=f"give {service.name} (source '{service.source}') another owner first",
        )
        for service in catalog.services(tx)
        if service.team_id in going and service.id not in services_going and service.name not in described
    ]


def _last_resort(tx: Tx, bundle: Bundle, live: Sequence[Known], removed: Collection[UUID]) -> list[Problem]:
    """The loud warning that what nobody owns would reach nobody once this is applied."""
    here = {name for item in bundle.teams for name in (item.name, *item.manifest.metadata.formerly)}
    stays = any(each.fallback and each.id not in removed and each.name not in here for each in live)
    follows = any(item.manifest.spec.fallback for item in bundle.teams)
    if follows:
        return []
    problem = paging.last_resort_problem(tx, fallback=stays)
    return [problem] if problem else []


def _raise_errors(problems: Sequence[Problem]) -> None:
    errors = in_order(each for each in problems if each.severity == "error")
    if errors:
        count = f"{len(errors)} errors" if len(errors) > 1 else "1 error"
        raise Invalid(f"{count} in the manifests; nothing was applied", code="manifest_invalid", problems=errors)


def _actions(tx: Tx, plan: Plan, ids: _Ids) -> tuple[list[Action], dict[UUID, Any]]:
    """The lines of the plan, and the teams and services as they were."""
    befores: dict[UUID, Any] = {}
    for kind, read in (("Team", catalog.teams), ("Service", catalog.services)):
        wanted = [each.before.id for each in plan.changes if each.before and each.kind == kind]
        wanted += [each.id for each in plan.removals if each.kind == kind]
        if wanted:
            befores.update({each.id: each for each in read(tx, ids=wanted)})
    actions = [_action(change, befores, ids) for change in plan.changes]
    actions += [Action(verb="remove", kind=each.kind, name=each.name, id=each.id) for each in plan.removals]
    return actions, befores


def _action(change: Change, befores: dict[UUID, Any], ids: _Ids) -> Action:
    item, before = change.item, change.before
    id = (ids.teams if change.kind == "Team" else ids.services)[item.name]
    place = item.document.place()
    if before is None:
        return Action(verb="add", kind=change.kind, name=item.name, id=id, place=place)
    fields = field_changes(described_known(before, befores[before.id].spec), described(item, spec_of(item)))
    return Action(
        verb="change",
        kind=change.kind,
        name=item.name,
        id=id,
        place=place,
        renamed_from=before.name if before.name != item.name else None,
        taken_from=before.source,
        fields=fields,
    )


def _touched(plan: Plan, befores: dict[UUID, Any], ids: _Ids) -> tuple[frozenset[UUID], bool]:
    teams: set[UUID] = set()
    whole = False
    for change in plan.changes:
        if isinstance(change.item, TeamItem):
            whole = whole or change.before is None or change.before.fallback != change.item.manifest.spec.fallback
            teams |= {change.before.id} if change.before else set()
        else:
            teams.add(ids.teams[change.item.manifest.spec.owner])
            teams |= {befores[change.before.id].team_id} if change.before else set()
    for each in plan.removals:
        teams.add(each.id if each.kind == "Team" else befores[each.id].team_id)
    return frozenset(teams), whole


def _open_pages(tx: Tx, plan: Plan) -> list[str]:
    """Reasons to ask: something to be removed is being paged for right now."""
    if not plan.removals:
        return []
    names = {each.id: f"{each.kind.lower()} {each.name}" for each in plan.removals}
    reasons: dict[str, None] = {}
    for line in paging.incident_list(tx, state="open", limit=1000):
        paged = {page.team_id for page in line.pages if page.state != "ended" and page.team_id is not None}
        involved = paged | (set(line.service_ids) if paged else set())
        for id in involved & names.keys():
            reasons[f"{names[id]} has open pages (incident {line.incident.number})"] = None
    return list(reasons)


def _write(tx: Tx, plan: Plan, actions: Sequence[Action], *, ids: _Ids, source: str, actor: Actor) -> None:
    fields = {each.id: each.fields for each in actions}
    applying = Applying(
        source=source,
        actor=actor,
        teams=[each.item for each in plan.changes if isinstance(each.item, TeamItem)],
        services=[each.item for each in plan.changes if not isinstance(each.item, TeamItem)],
        removed_teams=[each.id for each in plan.removals if each.kind == "Team"],
        removed_services=[each.id for each in plan.removals if each.kind == "Service"],
        team_ids=ids.teams,
        service_ids=ids.services,
        people={},
    )
    people.apply(tx, applying)
    why = f"no longer described by {source}"
    catalog.remove(tx, kind="Service", ids=applying.removed_services, actor=actor, why=why)
    ownership.write(tx, applying, plan.changes, fields)
    catalog.remove(tx, kind="Team", ids=applying.removed_teams, actor=actor, why=why)
    for section in AFTER:
        section(tx, applying)
