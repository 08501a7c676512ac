"""What an apply would change: decided from what is written and what is known, without touching anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

import msgspec

from watchbill.features.catalog import FieldChange, Kind, Known
from watchbill.kernel.errors import Problem
from watchbill.manifest.bundle import Bundle, Item, TeamItem, hash_of

Verb = Literal["add", "change", "remove"]

SMALL_SHARE = 0.10
"""Removing more than this share of a source asks for confirmation."""


class Action(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a plan. ``renamed_from`` and ``taken_from`` (a source) say more about a change."""

    verb: Verb
    kind: Kind
    name: str
    id: UUID | None = None
    place: str | None = None
    renamed_from: str | None = None
    taken_from: str | None = None
    fields: list[FieldChange] = []


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A document that differs from what is known; ``before`` is None for one that is new (or comes back)."""

    item: Item
    kind: Kind
    spec_hash: str
    before: Known | None
    removed: Known | None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """``changes`` and ``removals`` in the order they are written; ``unchanged`` counts the rest."""

    changes: list[Change]
    removals: list[Known]
    unchanged: int
    confirm_because: list[str]


def make_plan(
    bundle: Bundle, *, known: Sequence[Known], source: str, prune: bool, take_over: bool
) -> tuple[Plan, list[Problem]]:
    """Compare a bundle with what is known.

    ``known`` has removed ones too. A name that another source holds is a problem unless ``take_over``.
    ``prune`` removes what this source applied before and no longer describes.
    """
    changes: list[Change] = []
    problems: list[Problem] = []
    kept: set[UUID] = set()
    unchanged = 0
    kinds: tuple[tuple[Kind, Sequence[Item]], ...] = (("Team", bundle.teams), ("Service", bundle.services))
    for kind, items in kinds:
        live = {each.name: each for each in known if each.kind == kind and not each.removed}
        gone = {each.name: each for each in known if each.kind == kind and each.removed}
        for item in items:
            before, found = _before(item, live)
            problems.extend(found)
            if before is not None:
                kept.add(before.id)
                if before.source != source and not take_over:
                    problems.append(_owned_elsewhere(item, before, source))
                    continue
            spec_hash = hash_of(item)
            if before and (before.name, before.spec_hash, before.source) == (item.name, spec_hash, source):
                unchanged += 1
                continue
            removed = None if before else gone.get(item.name)
            changes.append(Change(item=item, kind=kind, spec_hash=spec_hash, before=before, removed=removed))
    removals: list[Known] = []
    confirm_because: list[str] = []
    if prune:
        mine = [each for each in known if each.source == source and not each.removed]
        removals = [each for each in mine if each.id not in kept]
        if len(removals) > SMALL_SHARE * len(mine):
            confirm_because.append(f"{len(removals)} of {len(mine)} objects of source '{source}' would be removed")
    plan = Plan(changes=changes, removals=removals, unchanged=unchanged, confirm_because=confirm_because)
    return plan, problems


def _before(item: Item, live: Mapping[str, Known]) -> tuple[Known | None, list[Problem]]:
    """The live object that a document describes: by its name, else by a former one."""
    metadata = item.manifest.metadata
    same = live.get(item.name)
    former = [(at, live[name]) for at, name in enumerate(metadata.formerly) if name in live]
    if same is None and len(former) == 1:
        return former[0][1], []
    problems = [
        item.problem(
            "manifest.formerly",
            f"'{each.name}' cannot have become {item.name}: both exist, each with its own history",
            ("metadata", "formerly", at),
            f"remove {each.name} first, or take it out of formerly",
        )
        for at, each in former
    ]
    return same, problems


def _owned_elsewhere(item: Item, before: Known, source: str) -> Problem:
    return item.problem(
        "manifest.conflict",
        f"{before.kind} '{before.name}' is applied from source '{before.source}', not '{source}'",
        ("metadata", "name"),
        "change it there, choose another name, or move it here with --take-over",
    )


def field_changes(before: Any, after: Any) -> list[FieldChange]:
    """The leaves of two JSON values that differ, by path; lists are compared item by item."""
    return list(_differences("", before, after))


def _differences(path: str, before: Any, after: Any) -> Iterator[FieldChange]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _differences(f"{path}.{key}" if path else key, before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and _has_mappings([*before, *after]):
        for at in range(max(len(before), len(after))):
            old, new = (each[at] if at < len(each) else None for each in (before, after))
            yield from _differences(f"{path}[{at}]", old, new)
    elif before != after:
        yield FieldChange(field=path, before=before, after=after)


def _has_mappings(values: Iterable[Any]) -> bool:
    return any(isinstance(value, dict) for value in values)


def described(item: Item, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A document as the diff compares it."""
    metadata = item.manifest.metadata
    return _described(item.name, metadata.title or item.name, metadata.formerly, spec)


def described_known(known: Known, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A known object as the diff compares it."""
    return _described(known.name, known.title, known.former_names, spec)


def _described(name: str, title: str, formerly: Sequence[str], spec: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "title": title, "formerly": list(formerly) or None}
    return {"metadata": metadata, "spec": dict(spec)}


def is_team(change: Change) -> bool:
    """True for a change of a Team."""
    return isinstance(change.item, TeamItem)
