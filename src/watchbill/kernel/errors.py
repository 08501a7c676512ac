"""Errors as a user meets them: a code, what happened, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import msgspec


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong.

    ``place`` is ``file.yaml:8:16`` (1-based line and column); ``field`` a key path such as
    ``spec.members[1]``; ``hint`` says how to mend it.
    """

    code: str
    message: str
    place: str | None = None
    field: str | None = None
    hint: str | None = None
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        field = f" ({self.field})" if self.field else ""
        hint = f"\n    mend: {self.hint}" if self.hint else ""
        return f"{where}{self.message}{field}{hint}"


class WatchbillError(Exception):
    """Base of every error that Watchbill raises on purpose; becomes an HTTP answer or an exit code."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    retry_after_seconds: ClassVar[int | None] = None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        place: str | None = None,
        field: str | None = None,
        hint: str | None = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(message)
        self.problem = Problem(code=code or self.code, message=message, place=place, field=field, hint=hint)
        self.problems: tuple[Problem, ...] = tuple(problems) or (self.problem,)

    def __str__(self) -> str:
        if self.problems == (self.problem,):
            return str(self.problem)
        return "\n".join([self.problem.message, *(f"  {problem}" for problem in self.problems)])


class Invalid(WatchbillError):
    """What was sent cannot be understood or breaks a rule; sending it again will not help."""

    code = "invalid"
    status = 400
    exit_code = 2


class Unauthenticated(WatchbillError):
    """No or unknown credentials."""

    code = "unauthenticated"
    status = 401
    exit_code = 3


class Forbidden(WatchbillError):
    """The caller is known but may not do this."""

    code = "forbidden"
    status = 403
    exit_code = 3


class NotFound(WatchbillError):
    """There is no such thing, or the caller may not know of it."""

    code = "not_found"
    status = 404
    exit_code = 4


class Conflict(WatchbillError):
    """The thing is in a state that does not allow this now."""

    code = "conflict"
    status = 409
    exit_code = 5


class TooLarge(WatchbillError):
    """The body is over the limit."""

    code = "too_large"
    status = 413
    exit_code = 2


class TooMany(WatchbillError):
    """Too many attempts or requests; wait."""

    code = "too_many_requests"
    status = 429
    exit_code = 6
    retry_after_seconds = 60


class Unavailable(WatchbillError):
    """Something Watchbill needs is away; try again."""

    code = "unavailable"
    status = 503
    exit_code = 6
    retry_after_seconds = 5


class SetupError(WatchbillError):
    """Watchbill cannot start here: one clear line and a non-zero exit."""

    code = "setup"
    status = 500
    exit_code = 7
