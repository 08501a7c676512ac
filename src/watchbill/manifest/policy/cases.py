# ruff: noqa: RUF012  msgspec copies an empty list default for each instance
"""The file of policy tests: ``policyTests:``, a list of what fires, what people do, and who must be asked when."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from watchbill.kernel.errors import Invalid, Problem
from watchbill.manifest.bundle import File
from watchbill.manifest.reading import walk
from watchbill.manifest.words import Duration, Login, Name, Part, Text
from watchbill.runtime.yaml import Document, parse

_TESTS = re.compile(r"^[\"']?policyTests[\"']?\s*:", re.MULTILINE)


class Fires(Part, frozen=True, kw_only=True):
    """An alert of ``service`` at ``at``: a wall-clock time such as 2026-03-07T03:00 in ``timeZone``."""

    service: Name
    at: Annotated[
        str,
        Meta(
            pattern=r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2})?$",
            extra={"expected": "a day and a time such as 2026-03-07T03:00"},
        ),
    ]
    time_zone: str = "UTC"
    declared: bool = False


class Answer(Part, frozen=True, kw_only=True):
    """Somebody acknowledges; with ``for`` they snooze it that long."""

    after: Duration
    by: Login | None = None
    for_: Duration | None = msgspec.field(name="for", default=None)


class Expected(Part, frozen=True, kw_only=True):
    """One thing that must happen, ``after`` the alert fired: exactly one of the others says what.

    ``notify`` names everybody who is asked then, in any order. ``skipped`` and ``again`` (paging begins anew) hold
    words of the reason; where a test names none of them, they are not compared.
    """

    after: Duration
    notify: list[Login] | None = None
    channels: list[Text] = []
    fallback: bool | None = None
    held: Annotated[str, Meta(description="Until when, on the alert's wall clock.")] | None = None
    skipped: str | None = None
    again: str | None = None
    nobody: Literal[True] | None = None


class PolicyTest(Part, frozen=True, kw_only=True):
    """What fires, what people do, and what must happen until the last thing expected (or ``until``)."""

    name: Text
    alert: Fires
    expect: list[Expected]
    unreachable: list[Login] = []
    acknowledge: list[Answer] | Answer | None = None
    resolve: Duration | None = None
    until: Duration | None = None


class _File(Part, frozen=True, kw_only=True):
    policy_tests: Annotated[list[PolicyTest], Meta(min_length=1)]


class Placed(msgspec.Struct, frozen=True):
    """A test, and where it stands."""

    test: PolicyTest
    document: Document
    position: int

    def problem(self, message: str, path: tuple[str | int, ...], hint: str) -> Problem:
        """Something wrong with it, at ``path`` of the test."""
        whole = ("policyTests", self.position, *path)
        field = ".".join(str(part) for part in whole)
        return Problem(
            code="policy_test.invalid", message=message, place=self.document.place(whole), field=field, hint=hint
        )


def is_policy_tests(text: str) -> bool:
    """Whether a file holds policy tests."""
    return _TESTS.search(text) is not None


def read_tests(files: list[File]) -> list[Placed]:
    """The tests in these files.

    Raises:
        Invalid: every problem at once, each with its place.
    """
    problems: list[Problem] = []
    found: list[Placed] = []
    for file in files:
        documents, wrong = parse(file.text, file=file.path)
        problems += wrong
        for document in documents:
            try:
                read = msgspec.convert(document.data, _File)
            except msgspec.ValidationError as error:
                _, wrong = walk(document, _File)
                problems += wrong or [Problem(code="policy_test.invalid", message=str(error), place=document.place())]
                continue
            found += [Placed(test, document, position) for position, test in enumerate(read.policy_tests)]
    if problems:
        raise Invalid("the policy tests cannot be read", code="policy_tests_invalid", problems=problems)
    return found
