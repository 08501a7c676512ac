"""What commands print: JSON for machines, tables for people. Colour only on a terminal (and not with NO_COLOR)."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from watchbill.kernel.clock import parse_instant

if TYPE_CHECKING:
    from rich.console import RenderableType

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Home = Annotated[
    Path | None,
    typer.Option(
        "--home", help="Home folder of the `watchbill up` on this machine; no token needed.", show_default=False
    ),
]


def emit(data: Any, *, json: bool, table: Callable[[Any], RenderableType] | None = None) -> None:
    """Print ``data``: as JSON, else as ``table(data)``, else as key and value lines."""
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n")
        return
    from rich.console import Console

    Console(soft_wrap=not sys.stdout.isatty()).print(table(data) if table else facts(data))


def rows(items: Iterable[Any], *columns: tuple[str, str | Callable[[Any], Any]], empty: str = "none") -> RenderableType:
    """A table of mappings: each column is a heading, and a key or a function of the item.

    Example: ``rows(people, ("Login", "login"), ("Since", lambda p: when(p["created_at"])))``
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    listed = list(items)
    if not listed:
        return Text(empty, style="dim")
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading, _ in columns:
        shown.add_column(heading, overflow="fold")
    for item in listed:
        shown.add_row(*(_cell(item.get(of) if isinstance(of, str) else of(item)) for _, of in columns))
    return shown


def facts(data: Any) -> RenderableType:
    """Key and value lines of a mapping; anything else as it is."""
    from rich.table import Table
    from rich.text import Text

    if not isinstance(data, dict):
        return Text("done" if data is None else str(data))
    shown = Table.grid(padding=(0, 2))
    for key, value in data.items():
        shown.add_row(Text(str(key).replace("_", " "), style="dim"), _cell(value))
    return shown


def _cell(value: Any) -> RenderableType:
    """Text, never markup: what users wrote cannot colour our tables. Rich text passes as it is."""
    from rich.text import Text

    if value is None or value == "":
        return Text("–", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return Text(", ".join(str(part) for part in value))
    return value if isinstance(value, Text) else Text(str(value))


def when(instant: str | datetime | None) -> str:
    """An instant in the reader's zone, ``2026-03-02 10:00 CET``; an en dash for None."""
    if instant is None:
        return "–"
    at = parse_instant(instant) if isinstance(instant, str) else instant
    return at.astimezone().strftime("%Y-%m-%d %H:%M %Z")


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show on a terminal's stderr that ``what`` is going on, once it has taken a second."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    status = Console(stderr=True).status(what)
    timer = threading.Timer(1.0, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        status.stop()
