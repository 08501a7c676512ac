"""From what an export has to manifests: a team for each policy, its schedules as slots, and services below it."""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Sequence
from pathlib import Path

from watchbill.leaving.model import Found, Imported, Json, Names, Pair, Policy, SourceSchedule, Step, refuse
from watchbill.leaving.reading import Dump

SOURCES = {"pagerduty": "pagerduty", "opsgenie": "opsgenie", "grafana-oncall": "grafana_oncall"}
_MOST_STEPS = 20
_LONGEST_SECONDS = 86_400


def convert(source: str, paths: Sequence[Path]) -> Imported:
    """Read and convert an export. Raises `Invalid` with the place of what cannot be understood."""
    module = importlib.import_module(f"watchbill.leaving.{SOURCES[source]}")
    found = Found()
    dump = Dump(module.KINDS, found, module.VERSIONS)
    dump.read(paths)
    try:
        module.take(dump, found)
    except (AttributeError, TypeError, KeyError) as error:
        raise refuse(str(paths[0]), f"the export has another form than documented ({error})", "export again") from error
    return _assemble(source, found)


def _assemble(source: str, found: Found) -> Imported:
    made = Imported(
        source=source,
        teams=[],
        services=[],
        contact_commands=[
            shlex.join(["watchbill", "contact", "add", channel, address, "--person", login])
            for login, channel, address in found.contacts
        ],
        override_commands=[],
        notes=found.notes,
        pairs=[],
    )
    by_key = {schedule.key: schedule for schedule in found.schedules}
    teams, names = {}, Names()
    used: set[str] = set()
    for policy in found.policies:
        wanted = dict.fromkeys(
            target.removeprefix("schedule:")
            for step in policy.steps
            for target in step.notify
            if target.startswith("schedule:")
        )
        schedules = [by_key[key] for key in wanted if key in by_key]
        teams[policy.key] = _team(names.give(policy.name), policy, schedules, found, made)
        used |= {schedule.key for schedule in schedules}
    for schedule in found.schedules:
        if schedule.key not in used:
            _team(names.give(schedule.name), None, [schedule], found, made)
    services = Names()
    for service in found.services:
        if service.policy not in teams:
            found.note(service.place, f"the service '{service.name}' has no policy in the export, so no owner")
            continue
        made.services.append(
            {
                "apiVersion": "watchbill/v1",
                "kind": "Service",
                "metadata": {"name": services.give(service.name)},
                "spec": {"owner": teams[service.policy]},
            }
        )
    return made


def _team(name: str, policy: Policy | None, schedules: list[SourceSchedule], found: Found, made: Imported) -> str:
    """One team: the first schedule that has anybody is its primary slot, each other one a slot of its own."""
    slots: dict[str, str] = {}
    slot_names, layer_names = Names(), Names()
    layers: list[Json] = []
    people: dict[str, None] = {}
    slot_names.give("primary")
    primary = next((schedule.key for schedule in schedules if schedule.layers), None)
    for schedule in sorted(schedules, key=lambda each: each.key != primary):
        slot = "primary" if schedule.key == primary else slot_names.give(f"s-{schedule.name}", 31)
        slots[schedule.key] = slot if schedule.layers else ""
        made.pairs.append(Pair(schedule=schedule, team=name, slot=slot))
        for layer in schedule.layers:
            given = {**layer, "name": layer_names.give(f"{schedule.name} {layer['name']}", 120)}
            if slot != "primary":
                given["slot"] = slot
            layers.append(given)
            for member in layer["members"]:
                people |= dict.fromkeys([member] if isinstance(member, str) else member)
        for cover in schedule.covers:
            people[cover.person] = None
            words = ["watchbill", "oncall", "override", name, "--person", cover.person]
            words += ["--from", f"{cover.start:%Y-%m-%dT%H:%M:%SZ}", "--to", f"{cover.end:%Y-%m-%dT%H:%M:%SZ}"]
            words += ["--reason", f"from {made.source}"] + (["--slot", slot] if slot != "primary" else [])
            made.override_commands.append(shlex.join(words))
    if len(layers) > 50:
        raise refuse(policy.place if policy else schedules[0].place, "more than 50 layers in one policy", "split it")
    steps = _steps(policy, slots, found) if policy else []
    for step in steps:
        people |= dict.fromkeys(
            target.removeprefix("person:") for target in step["notify"] if target.startswith("person:")
        )
    zone = schedules[0].zone if schedules else "UTC"
    spec: Json = {"members": list(people), "timeZone": zone}
    if layers:
        spec["onCall"] = {"layers": layers}
    if steps:
        spec["escalation"] = {"steps": steps, "repeatLast": 0}
        if policy and (zones := {step.during[2] for step in policy.steps if step.during}):
            spec["escalation"]["timeZone"] = zones.pop()  # one source has conditions, and writes them in UTC
    if not people:
        found.note(policy.place if policy else schedules[0].place, f"the team '{name}' has nobody")
    made.teams.append({"apiVersion": "watchbill/v1", "kind": "Team", "metadata": {"name": name}, "spec": spec})
    return name


def _steps(policy: Policy, slots: dict[str, str], found: Found) -> list[Json]:
    once: list[Json] = []
    for at, step in enumerate(policy.steps):
        notify = _targets(policy, at, step, slots, found)
        wait = min(max(step.wait_seconds, 10), _LONGEST_SECONDS)
        if wait != step.wait_seconds:
            found.note(f"{policy.place} step {at + 1}", f"a wait of {step.wait_seconds} s becomes {wait} s")
        if not notify:
            found.note(f"{policy.place} step {at + 1}", "the step asks nobody; it is left out")
            continue
        made: Json = {"notify": notify, "wait": f"{wait}s" if wait % 60 else f"{wait // 60}m"}
        if step.during:
            made["during"] = [{"from": step.during[0], "to": step.during[1]}]
        once.append(made)
    loops = min(policy.loops, _MOST_STEPS // len(once) - 1) if once else 0
    if loops < policy.loops and once:
        found.note(policy.place, f"{policy.loops} repeats become {loops}: a policy has at most {_MOST_STEPS} steps")
    if len(once) > _MOST_STEPS:
        found.note(policy.place, f"only the first {_MOST_STEPS} of {len(once)} steps are kept")
    return (once * (max(loops, 0) + 1))[:_MOST_STEPS]


def _targets(policy: Policy, at: int, step: Step, slots: dict[str, str], found: Found) -> list[str]:
    notify: dict[str, None] = {}
    for target in step.notify:
        key = target.removeprefix("schedule:")
        if key == target:
            notify[target] = None
        elif slots.get(key):
            notify["on-call" if slots[key] == "primary" else f"layer:{slots[key]}"] = None
        else:
            found.note(f"{policy.place} step {at + 1}", f"the schedule '{key}' is missing or has nobody")
    return list(notify)
