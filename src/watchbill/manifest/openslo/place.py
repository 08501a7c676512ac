"""One document of a file, in its place: what it says, and how to say what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeVar

import msgspec

from watchbill.kernel.errors import Problem
from watchbill.manifest.reading import Reading
from watchbill.runtime.yaml import Document, Path, child_of, field

T = TypeVar("T", bound=msgspec.Struct)


class Place:
    """A document, or one item of a document that is a list of them; paths count from it."""

    def __init__(self, document: Document, prefix: Path = ()) -> None:
        self.document = document
        self.prefix = prefix
        self.problems: list[Problem] = []

    @property
    def data(self) -> Any:
        return self.document.value(self.prefix)

    def note(
        self,
        rule: str,
        message: str,
        path: Path,
        hint: str,
        *,
        severity: Literal["error", "warning"] = "error",
        key: bool = False,
    ) -> None:
        """Keep a problem at ``path``. ``rule`` is its code."""
        whole = (*self.prefix, *path)
        place = self.document.place(whole, key=key)
        self.problems.append(
            Problem(code=rule, message=message, place=place, field=field(path) or None, hint=hint, severity=severity)
        )

    def lint(self, rule: str, message: str, path: Path, hint: str) -> None:
        """Keep a warning at ``path``: it is understood, but others may not."""
        self.note(rule, message, path, hint, severity="warning")

    @property
    def broken(self) -> bool:
        return any(problem.severity == "error" for problem in self.problems)

    def read(self, wanted: type[T], path: Path = (), *, lenient: bool = False) -> T | None:
        """The part at ``path`` as ``wanted``; None (and its problems kept) when it does not fit.

        ``lenient``: unknown keys are warnings, and left out.
        """
        node = self.document.root
        for part in (*self.prefix, *path):
            child = child_of(node, part)
            if child is None:
                return None
            node = child[1]
        reading = Reading(self.document)
        data = reading.struct(node, wanted, (*self.prefix, *path))
        for problem in reading.problems:
            unknown = lenient and problem.code == "manifest.unknown_key"
            self.problems.append(
                msgspec.structs.replace(
                    problem,
                    code=problem.code.replace("manifest.", "openslo."),
                    severity="warning" if unknown else problem.severity,
                )
            )
        if self.broken:
            return None
        return msgspec.convert(data, wanted)


def places(document: Document) -> Iterator[Place]:
    """The documents inside a YAML document: itself, or each item where it is a list."""
    if isinstance(document.data, list):
        for index in range(len(document.data)):
            yield Place(document, (index,))
    else:
        yield Place(document)
