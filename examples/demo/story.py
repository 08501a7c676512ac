"""The voice of the demo: lines with the time since it began, a table of checks, a waterfall of moments."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from examples.demo.mailbox import Mail

BAR_WIDTH = 46


class DemoFailed(Exception):
    """A step did not happen as told; the message says which and what was seen instead."""


@dataclass
class Story:
    """Tells, and remembers the moments for the waterfall and the checks for the verdict."""

    console: Console
    began: float | None = None
    moments: list[tuple[str, float]] = field(default_factory=list)
    checks: list[tuple[str, bool, str]] = field(default_factory=list)

    @property
    def interactive(self) -> bool:
        """A person may be looking: standard input and output are a terminal."""
        return self.console.is_terminal and sys.stdin.isatty()

    def tell(self, text: str, *, style: str = "") -> None:
        """One line with the time."""
        self.console.print(Text(f"{self.clock()}  ", style="dim") + Text.from_markup(text, style=style))

    def clock(self) -> str:
        """Since the story began; blank while setting up."""
        if self.began is None:
            return " " * len("T+00:00")
        seconds = int(time.monotonic() - self.began)
        return f"T+{seconds // 60:02}:{seconds % 60:02}"

    def chapter(self, title: str) -> None:
        self.console.print()
        self.console.rule(Text(title, style="bold"), align="left", style="dim")

    def moment(self, name: str, at: float | None = None) -> float:
        """Remember when something happened (`time.monotonic`; now unless given)."""
        instant = time.monotonic() if at is None else at
        self.moments.append((name, instant))
        return instant

    def show_mail(self, mail: Mail) -> None:
        """The mail as it came. Long links are not broken, so that they can be opened from the terminal."""
        lines = [f"To: {', '.join(mail.to)}", f"Subject: {mail.subject}", "", *mail.text.strip().splitlines()]
        for line in lines:
            shown = Text("         ┃ ", style="yellow") + Text(line, style="default")
            shown.highlight_regex(r"https?://\S+", "cyan")
            self.console.print(shown, soft_wrap=True)

    def check(self, sentence: str, holds: bool, seen: str = "") -> None:
        """One thing the demo promised; ``seen`` says what was there instead."""
        self.checks.append((sentence, holds, seen))

    @property
    def kept_its_promises(self) -> bool:
        return bool(self.checks) and all(holds for _, holds, _ in self.checks)

    @contextmanager
    def waiting(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show that something is under way; the function given changes the words."""
        if self.console.is_terminal:
            with self.console.status(text) as status:
                yield status.update
        else:
            said = text
            self.tell(text)

            def say(words: str) -> None:
                nonlocal said
                if words.partition(" (")[0] != said.partition(" (")[0]:
                    said = words
                    self.tell(words)

            yield say

    def offer(self, question: str, *, seconds: float, done: Callable[[], bool]) -> str:
        """Let the person at the terminal do it: "enter", "done" when ``done()`` became true, or "time"."""
        end = time.monotonic() + seconds
        with self.console.status(question) as status:
            while (left := end - time.monotonic()) > 0:
                status.update(f"{question} [dim]({left:.0f} s)[/dim]")
                if select.select([sys.stdin], [], [], 0.5)[0]:
                    sys.stdin.readline()
                    return "enter"
                if done():
                    return "done"
        return "time"

    def show_waterfall(self) -> None:
        """Each moment, how long after the one before it, and where it lies in the whole."""
        if len(self.moments) < 2:
            return
        moments = sorted(self.moments, key=lambda moment: moment[1])
        first, last = moments[0][1], moments[-1][1]
        whole = max(last - first, 0.001)
        table = Table(box=None, padding=(0, 1), header_style="dim")
        table.add_column("moment")
        table.add_column("after", justify="right")
        table.add_column("")
        before = first
        for name, at in moments:
            start, end = (round((instant - first) / whole * BAR_WIDTH) for instant in (before, at))
            bar = Text(" " * start + "─" * max(0, end - start), style="dim") + Text("●", style="bold cyan")
            table.add_row(name, "" if at == first else f"+{at - before:.1f} s", bar)
            before = at
        table.add_row("in all", f"{whole:.1f} s", "", style="dim")
        self.console.print(table)

    def show_timeline(self, entries: list[dict[str, Any]]) -> None:
        """An incident's timeline as Watchbill wrote it down."""
        table = Table(box=None, padding=(0, 1), show_header=False)
        for entry in entries:
            at = datetime.fromisoformat(entry["at"]).strftime("%H:%M:%S.%f")[:-5]
            table.add_row(Text(at, style="dim"), entry["name"], Text(entry["by"], style="cyan"), Text(entry["why"]))
        self.console.print(table)

    def show_checks(self) -> None:
        for sentence, holds, seen in self.checks:
            mark = "[green]✓[/green]" if holds else "[bold red]✗[/bold red]"
            self.console.print(f"  {mark} {sentence}" + ("" if holds or not seen else f" [red]— {seen}[/red]"))
