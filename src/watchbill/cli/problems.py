"""Problems as a person reads them, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import msgspec

from watchbill.kernel.errors import Problem

_COLOURS = {"error": "\x1b[31m", "warning": "\x1b[33m"}


def print_problems(problems: Iterable[Problem | dict[str, Any]]) -> None:
    """One after the other: severity, place, what, and how to mend it."""
    for each in problems:
        problem = each if isinstance(each, Problem) else msgspec.convert(each, Problem)
        colour, plain = (_COLOURS[problem.severity], "\x1b[0m") if sys.stderr.isatty() else ("", "")
        sys.stderr.write(f"{colour}{problem.severity}{plain}: {problem}\n")
