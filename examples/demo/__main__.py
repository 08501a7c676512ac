"""``make demo``: under three minutes from nothing to a page, an acknowledgement and a recovered service.

On a terminal it leaves the screens up until Ctrl-C. With ``ONCE=1`` it ends by itself: 0 when every step was
as told, else 1. ``KILL=1`` ends Watchbill's own processes with ``kill -9`` in the middle: the story must stay the same.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType

import httpx
from rich.console import Console
from rich.text import Text

from examples.demo.play import Seen, play, verify
from examples.demo.stage import Stage
from examples.demo.story import DemoFailed, Story


def main() -> int:
    """Run the demo; the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    story = Story(console)
    once = os.environ.get("ONCE", "") not in ("", "0")
    console.print(Text("Watchbill", style="bold") + Text("  the demo: a shop, a bad release, and who is woken"))
    stage = Stage()
    try:
        return _run(stage, story, once=once)
    except DemoFailed as failure:
        console.print()
        console.print(Text(f"✗ {failure}", style="bold red"))
        story.show_checks()
        console.print(f"the logs are in {stage.keep_logs()}", style="dim")
        return 1
    except KeyboardInterrupt:
        console.print()
        return 130
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # a second Ctrl-C must not leave things running
            signal.signal(number, signal.SIG_IGN)
        with story.waiting("stopping everything that was started"):
            stage.strike()
        story.tell("all stopped, nothing left behind", style="dim")


def _run(stage: Stage, story: Story, *, once: bool) -> int:
    token = _set_up(stage, story)
    seen = Seen()
    story.began = time.monotonic()
    try:
        play(stage, story, seen=seen, killing=os.environ.get("KILL", "") not in ("", "0"))
        verify(stage, story, seen)
    except httpx.HTTPError as error:
        raise DemoFailed(f"Watchbill did not answer: {type(error).__name__}: {error}") from error
    story.chapter("What Watchbill wrote down")
    story.show_timeline(stage.watch.incident(seen.incident)["timeline"])
    story.chapter("What took how long")
    story.show_waterfall()
    story.chapter("Checked")
    story.show_checks()
    if not story.kept_its_promises:
        story.console.print(f"the logs are in {stage.keep_logs()}", style="dim")
    code = 0 if story.kept_its_promises else 1
    if once or not story.interactive:
        return code
    story.chapter("Look around")
    story.console.print(f"  {stage.url}   sign in with the token [bold]{token}[/bold]")
    story.console.print(f"  {stage.url}/incidents/{seen.incident}   what just happened")
    story.console.print(f"  {stage.shop_url('storefront')}   the shop, still busy")
    story.console.print("  Ctrl-C stops everything", style="dim")
    try:
        while True:
            time.sleep(1)
            stage.refuse_dead_processes()
    except KeyboardInterrupt:
        story.console.print()
        return code


def _set_up(stage: Stage, story: Story) -> str:
    """Start everything; returns a token to sign in with."""
    story.chapter("Setting up")
    for name, port, wanted in (("web", stage.port, 8080), ("OTLP", stage.otlp_port, 4318)):
        if port != wanted:
            story.tell(f"port {wanted} is taken; the demo's {name} port is {port}", style="yellow")
    began = time.monotonic()
    with story.waiting("Watchbill starts: PostgreSQL, ClickHouse and four processes") as say:
        stage.start_watchbill(
            lambda: say(
                f"Watchbill starts: PostgreSQL, ClickHouse and four processes ({time.monotonic() - began:.0f} s)"
            )
        )
        story.tell(f"Watchbill is ready after {time.monotonic() - began:.1f} s: {stage.url}")
        say("applying examples/shop/watchbill.yaml")
        token = stage.make_token("demo")
        stage.sign_in(token)
        plan = stage.apply_manifest()
        lines = [line for line in plan.splitlines() if line.strip()]
        story.tell(f"examples/shop/watchbill.yaml is applied: {lines[-1].strip() if lines else 'done'}")
        stage.start_shop(lambda name: say(f"the shop opens: {name}"))
    story.tell(f"the shop is open: {stage.shop_url('storefront')}, about 20 requests a second")
    return token


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
