"""One log stream: for people on a terminal, JSON lines otherwise; every line names its process."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, Literal

import structlog

_SECRET_KEYS = frozenset(
    {"password", "secret", "token", "key", "authorization", "cookie", "url_with_password", "database_url", "smtp_url"}
)
_QUIET = ("httpx", "httpcore", "alembic", "clickhouse_connect", "urllib3", "apprise", "uvicorn")


def setup(
    process: str,
    *,
    style: Literal["auto", "console", "json"] = "auto",
    level: Literal["debug", "info", "warning", "error"] = "info",
) -> None:
    """Send structlog's and the standard library's lines to standard error, each with ``process``.

    Uncaught exceptions, of threads too, become one line as well.
    """
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    least = getattr(logging, level.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console, key="at"),
        _name_process(process),
        _without_secrets,
    ]
    ending: list[Any] = (
        [_line_for_people]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(least)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(least, logging.WARNING))
    sys.excepthook = _log_uncaught


def _name_process(process: str) -> Any:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    return add


def _without_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in event.keys() & _SECRET_KEYS:
        event[key] = "…"
    return event


_COLOURS = {"debug": "2", "info": "0", "warning": "33", "error": "31", "critical": "31"}


def _line_for_people(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """``21:03:11 pager     page moved  page=… step=2``; structlog's own renderer costs 8 MB a process."""
    at, level, process = event.pop("at", ""), event.pop("level", "info"), event.pop("process", "")
    message = str(event.pop("event", ""))
    trace = structlog.processors.format_exc_info(None, "", event).pop("exception", "")
    rest = " ".join(f"{key}={value}" for key, value in sorted(event.items()) if not key.startswith("_"))
    colour, end = (f"\x1b[{_COLOURS.get(level, '0')}m", "\x1b[0m") if sys.stderr.isatty() else ("", "")
    line = f"{at} {process:<10} {colour}{message}{end}{'  ' if rest else ''}{rest}"
    return f"{line}\n{trace}" if trace else line


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger("watchbill").critical("stopped by an error", exc_info=(kind, error, trace))
