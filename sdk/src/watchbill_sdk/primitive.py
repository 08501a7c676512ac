"""What all primitives share: usable as a decorator and as a guard, in sync and async code alike."""

from __future__ import annotations

import functools
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, TypeVar, cast

from watchbill_sdk.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])
Seconds = float | int | timedelta


def seconds(value: Seconds, name: str) -> float:
    """Return a finite, positive number of seconds.

    Raises:
        ConfigError: for zero, a negative number, NaN, infinity, or something that is no number.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise ConfigError(f"{name} must be a positive, finite number of seconds, got {value!r}")
    return float(value)


def whole(value: int, name: str, *, least: int = 1) -> int:
    """Return an integer of at least ``least``.

    Raises:
        ConfigError: otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return value


def share(value: float, name: str) -> float:
    """Return a number between 0 (exclusive) and 1.

    Raises:
        ConfigError: otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ConfigError(f"{name} must be above 0 and at most 1, got {value!r}")
    return float(value)


def label(value: str, name: str = "dependency") -> str:
    """Return a name that may become a metric attribute.

    Raises:
        ConfigError: when empty or longer than 100 characters.
    """
    if not isinstance(value, str) or not value.strip() or len(value) > 100:
        raise ConfigError(f"{name} must be a name of 1 to 100 characters, got {value!r}")
    return value


class Primitive(ABC):
    """Begin may refuse; end learns how it went. Both are quick and hold no lock while the call runs."""

    waits = False
    """True when beginning may have to wait, so that async code must await it."""

    @abstractmethod
    def begin(self) -> Any:
        """Ask to start a call; what is returned is handed to :meth:`end`.

        Raises:
            Rejected: the call must not start.
        """

    @abstractmethod
    def end(self, held: Any, error: BaseException | None) -> None:
        """Tell how the call went."""

    async def begin_async(self) -> Any:
        """Like :meth:`begin`, for primitives that wait."""
        return self.begin()

    def guard(self) -> Guard:
        """Return a context manager for ``with`` and ``async with``, for one use."""
        return Guard(self)

    def __call__(self, function: F) -> F:
        """Protect a function or coroutine function."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def protected_async(*arguments: Any, **named: Any) -> Any:
                held = await self.begin_async() if self.waits else self.begin()
                try:
                    result = await function(*arguments, **named)
                except BaseException as error:
                    self.end(held, error)
                    raise
                self.end(held, None)
                return result

            return cast("F", protected_async)

        @functools.wraps(function)
        def protected(*arguments: Any, **named: Any) -> Any:
            held = self.begin()
            try:
                result = function(*arguments, **named)
            except BaseException as error:
                self.end(held, error)
                raise
            self.end(held, None)
            return result

        return cast("F", protected)


class Guard:
    """One protected block."""

    __slots__ = ("_held", "_primitive")

    def __init__(self, primitive: Primitive) -> None:
        self._primitive = primitive
        self._held: Any = None

    def __enter__(self) -> None:
        self._held = self._primitive.begin()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._primitive.end(self._held, error)

    async def __aenter__(self) -> None:
        self._held = await self._primitive.begin_async()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._primitive.end(self._held, error)
