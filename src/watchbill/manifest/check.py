"""Everything that can be said about a bundle before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from watchbill.kernel.errors import Problem
from watchbill.manifest.bundle import Bundle, File, World
from watchbill.manifest.gather import gather
from watchbill.manifest.sections import (
    budget,
    capacity,
    escalation,
    gate,
    objectives,
    on_call,
    ownership,
    people,
    rollback,
    tickets,
)

CHECKS: tuple[Callable[[Bundle, World], Iterator[Problem]], ...] = (
    people.check,
    ownership.check,
    on_call.check,
    escalation.check,
    gate.check,
    budget.check,
    objectives.check,
    rollback.check,
    capacity.check,
    tickets.check,
)
"""One of each section."""


def check(bundle: Bundle, world: World) -> list[Problem]:
    """All problems, in the order of the files."""
    return in_order(problem for each in CHECKS for problem in each(bundle, world))


def strictly(problems: Iterable[Problem]) -> list[Problem]:
    """An owner whom nobody can be reached for is an error."""
    return [
        msgspec.structs.replace(each, severity="error") if each.code == people.UNREACHABLE else each
        for each in problems
    ]


def validate(files: Iterable[File], *, external: bool = False, strict: bool = False) -> tuple[Bundle, list[Problem]]:
    """What `apply` would refuse, as far as can be told without a server.

    ``external``: names that these files do not describe may exist elsewhere; a warning, not an error.
    """
    bundle, problems = gather(files)
    # a team or service that could not be read would make every reference to it an error of its own
    unreadable = any(problem.severity == "error" for problem in problems)
    problems = in_order([*problems, *check(bundle, World(external=external or unreadable))])
    return bundle, strictly(problems) if strict else problems


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sorted by file, line and column."""

    def key(problem: Problem) -> tuple[str, int, int]:
        file, line, column = (problem.place or ":0:0").rsplit(":", 2)
        return file, int(line), int(column)

    return sorted(problems, key=key)
